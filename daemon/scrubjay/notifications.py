"""What the daemon tells event streams and editor sessions."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

Notification = Mapping[str, object]
"""An event as JSON: `type` is one of project, files, edit, checkpoint, restore, progress, completion, state, model."""


MAX_QUEUED = 1000
"""Events that wait for a slow listener; beyond that the oldest are dropped."""


def facts_of(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass that has nothing nested. `asdict` looks into each of them, which takes ten times as long."""
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}


class Subscription:
    """One listener: an asynchronous iterator that ends when the broadcaster is closed.

    Args:
        types: of the events that it gets; None for all.
    """

    def __init__(self, types: Collection[str] | None = None) -> None:
        self.types = types
        self._queue: asyncio.Queue[Notification | None] = asyncio.Queue(MAX_QUEUED)

    def put(self, notification: Notification | None) -> None:
        """Add an event; None is the end."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(notification)

    def __aiter__(self) -> AsyncIterator[Notification]:
        return self

    async def __anext__(self) -> Notification:
        if (notification := await self._queue.get()) is None:
            raise StopAsyncIteration
        return notification


class Broadcaster:
    """Hands every event to every listener; no listener waits for another."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False
        self._last: dict[object, Notification] = {}

    def subscribe(self, types: Collection[str] | None = None) -> Subscription:
        """A new listener, to events of these types or to all; `unsubscribe` it."""
        subscription = Subscription(types)
        self._subscriptions.add(subscription)
        if self._is_closed:
            subscription.put(None)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def publish(self, notification: Notification) -> None:
        for subscription in self._subscriptions:
            if subscription.types is None or notification["type"] in subscription.types:
                subscription.put(notification)

    def publish_change(self, notification: Notification) -> None:
        """Publish it, unless it is what the last change of its type, and of what it names, said."""
        about = (notification["type"], notification.get("name"))
        if self._last.get(about) != notification:
            self._last[about] = notification
            self.publish(notification)

    def close(self) -> None:
        """End all subscriptions, those to come as well."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.put(None)
