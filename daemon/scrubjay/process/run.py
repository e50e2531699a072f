"""The whole daemon in one process: a service, a web application on a local socket, and an end in good order."""

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

from scrubjay.completion.rules import Unasked
from scrubjay.config import Config
from scrubjay.errors import DaemonError, UsageError
from scrubjay.http.app import MAX_DESCRIPTORS, Listeners, serving
from scrubjay.http.guard import Address
from scrubjay.loopback import VARIABLE, uses_unix_sockets
from scrubjay.model_tables import ModelTable
from scrubjay.process.about import About
from scrubjay.process.acceptance_file import acceptance_file, keeping_acceptance, read_acceptance
from scrubjay.process.claim import SocketClaim, claim_socket, is_running
from scrubjay.process.records import records_folder
from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.events import Drain
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from scrubjay.starter import LANGUAGES, model_path

logger = logging.getLogger(__name__)

FIRST_GIVEN = 3
"""The descriptor of the first socket that a service manager hands over."""
DRAIN_S = 10.0
"""How long requests may take to end once the daemon has been told to."""
SWITCH_S = 0.001
"""How long a thread may go on while another one waits for its turn."""
LOOK_S = 5.0
"""How often the daemon looks whether its socket is still where clients look for it, and for garbage."""
N_YOUNG = 10
"""After so many looks for garbage among young values Python looks among all."""
QUIET_S = 0.05
NEVER = 2**31 - 1


def _nothing() -> None:
    pass


async def run_daemon(config: Config, on_listening: Callable[[], None] = _nothing, about: About | None = None) -> None:
    """Be the daemon until SIGTERM or SIGINT.

    Args:
        config: its `model` is the path of a file.
        about: what the daemon says of itself; by default, that it was started without flags.
        on_listening: called once requests are answered; the model is still loading then.

    Raises:
        DaemonError: another daemon has the socket, or it cannot be made; or the address of --http cannot be had.
        UsageError: other machines could reach that address, and no key is set; or see `given_socket`.
    """
    address = Address(*config.http, config.api_key, config.keys) if config.http else None
    if address:
        address.require_safe()
    _allow_descriptors()
    favour_the_loop()
    given = given_socket(config.socket, os.environ)
    with claim_socket(config.socket, given is not None) as claim:
        about = about or About(config, {}, None, None)
        logging.getLogger().addHandler(about.last_error)
        try:
            await _run_until(stop_on_signals(), config, claim, address, on_listening, about, given)
        finally:
            logging.getLogger().removeHandler(about.last_error)


def given_socket(path: Path, environment: MutableMapping[str, str]) -> socket.socket | None:
    """The socket at `path` on which a service manager listens for this process, by systemd's protocol; None if it does not.

    Takes what says so out of the environment: it is not meant for child processes.

    Raises:
        DaemonError: it listens elsewhere.
        UsageError: TCP is wanted instead.
    """
    pid, n_sockets = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or n_sockets != "1":
        return None
    given = socket.socket(fileno=FIRST_GIVEN)
    given.set_inheritable(False)
    if not uses_unix_sockets():
        raise UsageError(
            f"The service manager hands over a Unix socket, which {VARIABLE}=tcp does not want; unset that."
        )
    if given.getsockname() != str(path):
        raise DaemonError(f"The service manager listens on {given.getsockname()}, not on {path}; install it again.")
    return given


def _allow_descriptors() -> None:
    """Take as many descriptors as the system gives: the usual 1024 are fewer than a machine's programs can open connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS may have a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def favour_the_loop() -> None:
    """Threads that work beside the event loop give way to it soon, and looking for garbage passes over what is imported.

    To look through everything stops all threads, for up to 75 ms while somebody's request has a million values. That has to
    wait for `collect_garbage`; hardly anything is found by it that was not found when it was young.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)
    gc.collect()
    gc.freeze()


def collect_garbage(worked_s: float) -> None:
    """Look through everything, if that is due and nothing goes on: the daemon has worked for `worked_s` since the last call."""
    if worked_s < QUIET_S and gc.get_count()[2] >= N_YOUNG:
        gc.collect()


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say in one line that there are no descriptors left: the loop tries again after a second. All else is a mistake of ours."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        logger.warning("A connection has to wait: %s.", error.strerror)
    else:
        loop.default_exception_handler(context)


def service_settings(config: Config) -> ServiceSettings:
    """What of the configuration concerns the service and its engines."""
    first, *others = (_model_settings(config.of(table), table) for table in config.served)
    return ServiceSettings(
        first.engine,
        context_budget=first.context_budget,
        warm=config.warm,
        warm_delay_ms=config.warm_delay_ms,
        layout=first.layout,
        latency_budget_ms=first.latency_budget_ms,
        rules=config.rules,
        prompt_style=first.prompt_style,
        unasked=Unasked(config.confidence, LANGUAGES if config.model in ("starter", str(model_path())) else ()),
        warm_on_battery=config.warm_on_battery,
        watch=config.watch,
        show_secrets=config.show_secrets,
        show_diff=config.show_diff,
        idle_unload_s=first.idle_unload_s,
        name=first.name,
        purposes=first.purposes,
        others=tuple(others),
    )


def _model_settings(config: Config, table: ModelTable) -> ModelSettings:
    """Those of one model; `config` has the options that count for it."""
    engine = EngineSettings(
        model=config.model,
        n_ctx=config.ctx,
        n_threads=config.threads,
        interval=config.interval,
        checkpoint_budget=config.checkpoint_budget,
        gpu_layers=config.gpu_layers,
        kv_type=config.kv_type,
        eager_load=config.eager_load,
        draft=config.draft,
        store=str(records_folder(config)) if config.store else "",
        tokenizer=str(config.tokenizer or ""),
        remote_key_file=str(config.remote_key_file or ""),
        store_budget=config.store,
        store_daily=config.store_daily,
        embeds="embed" in table.purposes,
    )
    return ModelSettings(
        engine,
        table.name,
        table.purposes,
        context_budget=config.context_budget,
        latency_budget_ms=config.latency_budget_ms,
        layout=config.layout,
        prompt_style=config.prompt_style,
        idle_unload_s=60.0 * config.idle_unload,
    )


async def _run_until(
    stop: asyncio.Event,
    config: Config,
    claim: SocketClaim,
    address: Address | None,
    on_listening: Callable[[], None],
    about: About,
    given: socket.socket | None,
) -> None:
    """Be the daemon until `stop` is set; then take no more work, answer what is in flight, and end the engine."""
    asyncio.get_running_loop().set_exception_handler(log_loop_error)
    counts = acceptance_file(config.data_dir)
    service = Service(replace(service_settings(config), acceptance=read_acceptance(counts)))
    service.start()
    try:
        answering = serving(service, config.socket, address, config.anchor, about, given)
        async with keeping_acceptance(service, counts), answering as listeners:
            claim.note_bound()
            about.urls = listeners.urls
            for place in (str(config.socket), *listeners.urls):
                logger.info("Listening on %s.", place)
            on_listening()
            stopping = asyncio.create_task(stop.wait())
            await _until_over(stopping, config.socket, claim, listeners)
            stopping.cancel()
            await _drain(service)
    finally:
        await service.close()


async def _until_over(stopping: "asyncio.Task[bool]", socket: Path, claim: SocketClaim, listeners: Listeners) -> None:
    """Wait until `stopping` is done, or another daemon has taken over.

    Somebody may delete the runtime folder of a daemon that runs: it makes its socket again, because without one it would
    never be found, nor stopped.
    """
    told, looked_s = "", process_time()
    while not (await asyncio.wait([stopping], timeout=LOOK_S))[0]:
        collect_garbage(process_time() - looked_s)
        looked_s = process_time()
        if claim.is_intact:
            continue
        try:
            await asyncio.to_thread(claim.take)
            await listeners.listen_again()
            claim.note_bound()
            logger.warning("The socket %s was deleted; it is there again.", socket)
        except (DaemonError, OSError) as error:
            if await asyncio.to_thread(_is_taken, socket):
                logger.warning("The socket %s was deleted, and another daemon listens there; this one ends.", socket)
                return
            if str(error) != told:
                logger.warning("The socket %s was deleted and cannot be made again: %s", socket, error)
            told = str(error)


def _is_taken(socket: Path) -> bool:
    try:
        return is_running(socket)
    except DaemonError:
        return False


async def _drain(service: Service) -> None:
    event = Drain()
    service.post(event)
    await asyncio.wait([event.reply], timeout=DRAIN_S)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
