"""Everybody hears everything, and nobody waits for a slow listener."""

from scrubjay.notifications import MAX_QUEUED, Broadcaster


async def test_a_listener_hears_what_happens_until_the_feed_ends() -> None:
    feed = Broadcaster()
    early, late = feed.subscribe(), feed.subscribe()
    feed.publish({"type": "edit"})
    feed.unsubscribe(late)
    feed.publish({"type": "state"})
    feed.close()
    assert [news["type"] async for news in early] == ["edit", "state"]
    assert [news async for news in feed.subscribe()] == []


async def test_a_slow_listener_loses_the_oldest() -> None:
    feed = Broadcaster()
    slow = feed.subscribe()
    for number in range(MAX_QUEUED + 5):
        feed.publish({"number": number})
    assert await anext(slow) == {"number": 5}
    feed.close()
    assert [news["number"] async for news in slow][-1] == MAX_QUEUED + 4
