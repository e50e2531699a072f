"""`scrubjay doctor`: one line for each thing that completions depend on, and what to do where it is not right."""

import argparse
import getpass
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from scrubjay import __version__
from scrubjay.cli.editors import Change, changes
from scrubjay.cli.status import STYLES, is_remote, missing_gpu
from scrubjay.config import Config
from scrubjay.engine.remote import address
from scrubjay.errors import ScrubjayError
from scrubjay.isolation import python_command, safe_environment
from scrubjay.process.claim import is_running, require_place
from scrubjay.process.client import Client
from scrubjay.process.model_files import checked, known_model

Json = dict[str, Any]
Level = Literal["ok", "hint", "broken"]
CHILD_S = 60.0
ANSWER_S = 10.0
LOADING = "import json; from scrubjay.llama.devices import describe; print(json.dumps(describe()))"
GIB = 1 << 30
MIN_FREE_BYTES = GIB
MIN_WATCHES = 65_536
MIN_PARAMS = 50_000_000
"""A smaller model says little about a machine."""
MIN_FLOPS_A_THREAD = 5e9
MIN_BYTES_A_S = 2e9
"""What the slowest machines do that people use: operations of a prefill by thread of the processor, and bytes of weights read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. `do`: what to do about it, "" for nothing."""

    about: str
    level: Level
    says: str
    do: str = ""


def doctor(arguments: argparse.Namespace, read: Callable[[argparse.Namespace], Config]) -> int:
    """Look at everything; status 1 if something is broken."""
    findings = list(examine(lambda: read(arguments)))
    is_broken = any(finding.level == "broken" for finding in findings)
    if arguments.json:
        print(json.dumps({"ok": not is_broken, "findings": list(map(asdict, findings))}, separators=(",", ":")))
    elif arguments.report:
        print(private("\n".join(_report(findings))))
    else:
        print("\n".join(map(_line, findings)))
    return int(is_broken)


def examine(read: Callable[[], Config]) -> Iterator[Finding]:
    """All findings; `read` reads the configuration."""
    yield Finding("scrubjay", "ok", f"{__version__}, {sys.prefix}")
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield from _safely("llama.cpp", _llama)
    try:
        config = read()
    except ScrubjayError as error:
        yield Finding("options", "broken", str(error), "`scrubjay config` shows where each value comes from")
        return
    for table in config.served:
        yield from _safely("model", partial(_model, table.source))
    yield from _safely("socket", lambda: _socket(config.socket))
    yield from _safely("daemon", lambda: _daemon(config))
    yield from _safely("disk", lambda: _disk(config.data_dir))
    yield from _watches(Path("/proc/sys/fs/inotify"))
    yield _git()
    if home := home_folder():
        yield from _safely("editor", lambda: map(_editor, changes(home)))


def _safely(about: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `look` finds; what it raises is a finding, too."""
    try:
        yield from look()
    except (ScrubjayError, OSError) as error:
        yield Finding(about, "broken", str(error))


# --- what is installed -----------------------------------------------------------------------------------------------


def _llama() -> Iterator[Finding]:
    """In a process of its own: a library that does not fit this processor kills the process that loads it."""
    again = "install Scrubjay again on this machine, see docs/install.md"
    try:
        done = subprocess.run(
            python_command("-c", LOADING),
            capture_output=True,
            text=True,
            env=safe_environment(),
            cwd="/",
            timeout=CHILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding("llama.cpp", "broken", f"cannot be loaded within {CHILD_S:.0f} s", again)
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        yield Finding("llama.cpp", "broken", f"cannot be loaded: {last}", again)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    yield Finding("llama.cpp", "ok", f"llama-cpp-python {found['version']}: {', '.join(found['features'])}")
    with suppress(OSError):
        if "avx2" in Path("/proc/cpuinfo").read_text("utf-8").split() and "AVX2" not in found["features"]:
            yield Finding("processor", "hint", "llama.cpp was built without AVX2, which this processor has", again)
    for gpu in found["gpus"]:
        yield Finding("gpu", "ok", f"{gpu['description']}, by {gpu['kind']}; {_size(gpu['total'])} of memory")
    if advice := missing_gpu({"device": "cpu", "can_offload": bool(found["gpus"]), "built_for": found["built_for"]}):
        yield Finding("gpu", "hint", advice)


def _model(source: str) -> Iterator[Finding]:
    import psutil

    if address.is_remote(source):
        yield Finding("model", "ok", f"{address.parse_remote(source).url} runs it")
        return
    known = known_model(source)
    if known is None:
        yield Finding("model", "hint", f"{source} is not on this machine", f"`scrubjay model pull {source}`")
        return
    size, memory = checked(Path(known)).stat().st_size, psutil.virtual_memory().total
    if size > memory:
        yield Finding("model", "broken", f"{known} has {_size(size)}, the machine {_size(memory)}", "use a smaller one")
    else:
        yield Finding("model", "ok", f"{known}, {_size(size)}; the machine has {_size(memory)} of memory")


def _editor(found: Change | str) -> Finding:
    if isinstance(found, Change):
        return Finding("editor", "hint", f"{found.editor} is not connected", "`scrubjay setup`")
    return Finding("editor", "ok" if "already" in found else "hint", found)


def _git() -> Finding:
    if git := shutil.which("git"):
        return Finding("git", "ok", git)
    return Finding("git", "hint", "not on the PATH: ignore files are read without it", "install git")


# --- what runs -------------------------------------------------------------------------------------------------------


def _socket(path: Path) -> Iterator[Finding]:
    if path.parent.exists():
        require_place(path)
    yield Finding("socket", "ok", f"{path}, for this user only")


def _daemon(config: Config) -> Iterator[Finding]:
    if not is_running(config.socket):
        yield Finding("daemon", "hint", "does not run", "`scrubjay start`, or just use an editor")
        yield exposure(
            [f"{config.http[0]}:{config.http[1]}"] if config.http else [], bool(config.api_key or config.keys)
        )
        return
    report = Client(config.socket, ANSWER_S).get("status")
    yield from _state(report)
    if model := report["model"]:
        yield from _running_model(model, report["fim"])
    running = report.get("config") or {"http": [], "options": {}}
    yield exposure(running["http"], bool(running["options"].get("api_key") or report.get("keys")))


def _state(report: Json) -> Iterator[Finding]:
    what = f"process {report['pid']}, up for {report['uptime_s']:.0f} s: {report['state']}"
    log = (report.get("config") or {}).get("log") or "its standard error"
    if report["state"] == "failed" or (report["state"] == "ready" and report["message"]):
        yield Finding("daemon", "broken", f"{what}. {report['message']}", f"its log is {log}")
    elif report["version"] != __version__:
        yield Finding("daemon", "hint", f"{what}, of version {report['version']}", "`scrubjay restart`")
    else:
        yield Finding("daemon", "ok", what)
    if n := report["counters"]["n_restarts"]:
        yield Finding("engine", "hint", f"was started again {n} times", f"{log} says why")
    held = report["checkpoints"]
    says = f"{held['count']} checkpoints, {_size(held['bytes'])} of {_size(held['budget'])}"
    yield Finding("memory", "ok", says)


def _running_model(model: Json, fim: Json | None) -> Iterator[Finding]:
    says = f"{model['name']} ({model['architecture']}, {model['memory_class']}), {model['n_ctx']} tokens of context"
    style = (fim or {}).get("style", "fim")
    do = "" if style == "fim" else "a model for filling in the middle completes better"
    yield Finding("prompts", "hint" if do else "ok", f"{says}; prompted {STYLES[style].partition(':')[0]}", do)
    if not is_remote(model):
        yield speed(model)


def speed(model: Json) -> Finding:
    """Whether the model is as fast as it should be on such a machine."""
    says = f"{model['prefill_speed']:.0f} tokens/s in, {model['generation_speed']:.0f} out, on {model['device']}"
    flops = 2 * model["n_params"] * model["prefill_speed"] / max(model["n_threads"], 1)
    is_slow = flops < MIN_FLOPS_A_THREAD or model["size"] * model["generation_speed"] < MIN_BYTES_A_S
    if model["n_params"] < MIN_PARAMS or not is_slow:
        return Finding("speed", "ok", says)
    do = "end other programs and `scrubjay restart`, or use a smaller model or another number of --threads"
    return Finding("speed", "hint", f"{says}: slower than the slowest usual machines", do)


def exposure(addresses: list[str], has_key: bool) -> Finding:
    """Who can reach the daemon, at these addresses beside its socket."""
    others = [
        address for address in addresses if not re.search(r"(127\.\d+\.\d+\.\d+|\[?::1\]?|localhost):\d+", address)
    ]
    if others:
        key = "with a key" if has_key else "without any key"
        do = "leave --http out, or bind it to 127.0.0.1, if that is not meant"
        return Finding(
            "exposed", "hint" if has_key else "broken", f"other machines reach {', '.join(others)} {key}", do
        )
    if addresses:
        return Finding("exposed", "ok", f"programs of this machine reach {', '.join(addresses)}; web pages are refused")
    return Finding("exposed", "ok", "nothing but the socket")


# --- the machine -----------------------------------------------------------------------------------------------------


def _disk(folder: Path) -> Iterator[Finding]:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        yield Finding("disk", "broken", f"{there} cannot be written", "choose another --data-dir")
        return
    free = shutil.disk_usage(there).free
    do = "" if free >= MIN_FREE_BYTES else "make room: logs and records may be cut off"
    yield Finding("disk", "hint" if do else "ok", f"{_size(free)} free in {folder}", do)


def _watches(folder: Path) -> Iterator[Finding]:
    """Only Linux has such limits."""
    with suppress(OSError, ValueError):
        n = int((folder / "max_user_watches").read_text())
        do = "" if n >= MIN_WATCHES else "`sudo sysctl fs.inotify.max_user_watches=524288`"
        yield Finding("watches", "hint" if do else "ok", f"{n:,} folders of this user can be watched", do)


def home_folder() -> Path | None:
    """The user's home folder, if there is one."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"


# --- how it is shown -------------------------------------------------------------------------------------------------


def _line(finding: Finding) -> str:
    do = f" -> {finding.do}" if finding.do else ""
    return f"{finding.level:<7} {finding.about:<10} {finding.says}{do}"


def _report(findings: Iterable[Finding]) -> Iterator[str]:
    yield f"Scrubjay {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield from map(_line, findings)


def private(text: str) -> str:
    """`text` without the names of the user, of the home folder and of the machine."""
    if (home := home_folder()) and home != Path("/"):
        text = text.replace(str(home), "~")
    with suppress(OSError, KeyError, ImportError):
        text = re.sub(rf"(?<![\w-]){re.escape(getpass.getuser())}(?![\w-])", "USER", text)
    return re.sub(rf"(?<![\w-]){re.escape(socket.gethostname() or 'localhost')}(?![\w-])", "HOST", text)
