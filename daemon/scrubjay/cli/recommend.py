"""`scrubjay model recommend`: which models of the catalogue this machine can run, and how quickly they would answer."""

import argparse
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from textwrap import wrap
from time import thread_time

import psutil

GIB = 1 << 30
CATALOGUE = Path(__file__).with_name("catalogue.toml")
MEMORY_SHARE = 0.5
"""Of a machine's memory, for a model's weights: the rest is for contexts, checkpoints, and everything else that runs."""
GPU_SHARE = 0.8
LEAST_READ = 40.0
"""Tokens per second: with fewer, a jump in a file takes too long to wait for."""
LEAST_WRITTEN = 8.0
N_TYPING = 2
"""Tokens that a key costs, as a rule."""
N_JUMP = 1000
"""Tokens that an edit or a jump far from the last one costs in a long file, as a rule."""
TASKS = {
    "completion": ("To complete code", "scrubjay model use {}"),
    "chat": ("To talk with", "scrubjay start --model chat={}"),
    "edit": ("For next edits", "scrubjay start --model edit={}"),
}
"""What a model may be for: a heading, and the command that takes one for it."""
FREE_LICENCES = ("apache-2.0", "mit")
"""Those that let everybody use a model for everything."""
WIDTH = 98
_MATRIX = 1024
_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue; parameters in billions, `memory` and `licence` "" if they could not be looked up.

    The catalogue's first lines say what each field is.
    """

    name: str
    repo: str
    tasks: Sequence[str]
    n_params: float
    n_active: float
    bits: float
    by_maker: bool
    source: str
    memory: str = ""
    licence: str = ""

    @property
    def n_bytes(self) -> int:
        """Of its weights."""
        return int(self.n_params * 1e9 * self.bits / 8)

    @property
    def capacity(self) -> float:
        """The parameters of a dense model that is about as good: of a mixture of experts the geometric mean, a rule of thumb."""
        return float((self.n_params * self.n_active) ** 0.5)

    @property
    def may_be_default(self) -> bool:
        """Whether it may be taken where nobody chooses: anybody may use it, and the file is its maker's or ggml.org's."""
        return self.by_maker and self.licence in FREE_LICENCES


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory in bytes, that of a GPU 0 if none was found; floating-point operations and bytes of memory per second."""

    memory: int
    gpu_memory: int
    flops: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on a machine: tokens per second as estimated, 0 on a GPU, which is not measured."""

    entry: Entry
    read: float
    written: float

    @property
    def is_quick(self) -> bool:
        """Whether it is worth waiting for."""
        return not self.read or (self.read >= LEAST_READ and self.written >= LEAST_WRITTEN)


def recommend(_: argparse.Namespace) -> int:
    """Measure the machine, and name for each task the best model, and the best of those that may be taken unasked."""
    machine = measure()
    gpu = f", GPU with {machine.gpu_memory / GIB:.0f} GiB" if machine.gpu_memory else ", no GPU that was found"
    print(f"This machine: {machine.memory / GIB:.0f} GiB of memory{gpu}.")
    print(f"Times are estimates: {N_TYPING} tokens read for a key, {N_JUMP} for an edit or a jump far away.")
    print("\n".join(report(fits(machine, catalogue()))))
    return 0


def report(found: Sequence[Fit]) -> list[str]:
    """What `recommend` says of the models that have room, in lines of at most `WIDTH` columns."""
    lines: list[str] = []
    shown: set[str] = set()
    for task, (heading, command) in TASKS.items():
        able = [fit for fit in found if task in fit.entry.tasks]
        default = next((fit for fit in able[1:] if fit.entry.may_be_default), None)
        named = [*able[:1], *([default] if default and not able[0].entry.may_be_default else [])]
        lines += ["", f"{heading}:"]
        for fit in named:
            lines += _lines(fit, command) if fit.entry.name not in shown else [f"  {fit.entry.name}, as above"]
            shown.add(fit.entry.name)
        if not able:
            lines.append("  no model of the catalogue has room")
    if not found:
        lines += ["", "The starter model, which comes with Scrubjay, completes Python everywhere."]
    return lines


def best(machine: Machine) -> Entry | None:
    """The model to complete with where nobody chooses; None if none has room and is quick."""
    wanted = [entry for entry in catalogue() if "completion" in entry.tasks and entry.may_be_default]
    found = fits(machine, wanted)
    return found[0].entry if found and found[0].is_quick else None


def catalogue() -> list[Entry]:
    """All models that are known."""
    return [Entry(**values) for values in tomllib.loads(CATALOGUE.read_text("utf-8"))["model"]]


def fits(machine: Machine, entries: Sequence[Entry]) -> list[Fit]:
    """The models that have room: those that are quick enough, the best first, then the others, the smallest first."""
    room = max(machine.gpu_memory * GPU_SHARE, machine.memory * MEMORY_SHARE)
    found = [_fit(machine, entry) for entry in entries if entry.n_bytes <= room]
    return sorted(
        found, key=lambda fit: (not fit.is_quick, -fit.entry.capacity if fit.is_quick else fit.entry.capacity)
    )


def measure() -> Machine:
    """What this machine has and can do; takes about a second."""
    return Machine(psutil.virtual_memory().total, gpu_memory(), _flops(), _bandwidth())


def gpu_memory(root: Path = Path("/")) -> int:
    """Bytes of the GPU by NVIDIA or AMD with the most memory; 0 if there is none, or another one.

    Args:
        root: under which the kernel's files are.
    """
    of_amd = (path.read_text() for path in root.glob("sys/class/drm/card*/device/mem_info_vram_total"))
    found = [int(text) for text in of_amd if text.strip().isdecimal()]
    if program := which("nvidia-smi"):
        command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        found += (int(line) << 20 for line in done.stdout.split() if line.isdecimal())
    return max(found, default=0)


def _fit(machine: Machine, entry: Entry) -> Fit:
    if entry.n_bytes <= machine.gpu_memory * GPU_SHARE:
        return Fit(entry, 0.0, 0.0)
    active = entry.n_active * 1e9
    return Fit(entry, machine.flops / (2 * active), machine.bandwidth / (active * entry.bits / 8))


def _flops() -> float:
    import numpy as np

    matrix = np.ones((_MATRIX, _MATRIX), dtype=np.float32)
    return 2 * _MATRIX**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(4))


def _bandwidth() -> float:
    import numpy as np

    data = np.ones(_BYTES // 4, dtype=np.float32)
    return _BYTES / min(_seconds(data.max) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    """Of this thread, which does its part of all: on the clock, other programs would count that will not be there for long."""
    begun = thread_time()
    work()
    return thread_time() - begun


def _lines(fit: Fit, command: str) -> list[str]:
    entry = fit.entry
    size = f"about {entry.n_bytes / GIB:.1f} GiB"
    memory = f"{entry.memory} memory" if entry.memory else "memory class not known"
    licence = f"licence {entry.licence}" if entry.licence else "licence not known"
    owner = "" if entry.by_maker else f"; converted by {entry.repo.partition('/')[0]}"
    said = [_speed(fit), command.format(entry.repo), f"named by {entry.source}{owner}"]
    below = [line for text in said for line in _wrapped(text, "    ")]
    return [*_wrapped(f"{entry.name}, {size}, {memory}, {licence}", "  "), *below]


def _wrapped(text: str, indent: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def _speed(fit: Fit) -> str:
    """What to expect, as a probe of a second lets estimate it."""
    if not fit.read:
        return "on the GPU, if llama.cpp is built for it"
    typing, jump = 1e3 * (N_TYPING / fit.read + 1 / fit.written), N_JUMP / fit.read
    slow = "" if fit.is_quick else "; slow here"
    return (
        f"first token about {typing:.0f} ms while typing, {jump:.0f} s after a far edit; "
        f"reads {fit.read:.0f}, writes {fit.written:.0f} tokens/s{slow}"
    )
