"""The whole daemon in one process: a service, a web application on a Unix socket, and an end in good order."""

import asyncio
import logging
import signal
from pathlib import Path

from scrubjay.events import Drain
from scrubjay.http.app import serving
from scrubjay.service import Service, ServiceSettings

logger = logging.getLogger(__name__)

DRAIN_S = 10.0
"""How long requests may take to end once the daemon has been told to."""


async def run_until(stop: asyncio.Event, settings: ServiceSettings, socket: Path) -> None:
    """Be the daemon until `stop` is set; then take no more work, answer what is in flight, and end the engine."""
    service = Service(settings)
    loop = asyncio.create_task(service.run())
    try:
        async with serving(service, socket):
            logger.info("Listening on %s.", socket)
            stopping = asyncio.create_task(stop.wait())
            # The loop ends only by a mistake of ours; a daemon that answers nothing is worse than none.
            await asyncio.wait([loop, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await _drain(service, loop)
    finally:
        loop.cancel()
        await asyncio.wait([loop])
        await service.close()
    if not loop.cancelled():
        loop.result()


async def _drain(service: Service, loop: "asyncio.Task[None]") -> None:
    event = Drain()
    service.post(event)
    await asyncio.wait([event.reply, loop], timeout=DRAIN_S, return_when=asyncio.FIRST_COMPLETED)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
