"""`scrubjay model recommend`: which models of the catalogue this machine can run, and how quickly they would answer."""

import argparse
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from time import perf_counter

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
"""Tokens that a jump in a long file costs, as a rule."""
_MATRIX = 1024
_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue; parameters in billions."""

    name: str
    repo: str
    tasks: Sequence[str]
    n_params: float
    n_active: float
    bits: float
    source: str

    @property
    def n_bytes(self) -> int:
        """Of its weights."""
        return int(self.n_params * 1e9 * self.bits / 8)


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
    """Measure the machine, and name models for it, the best first."""
    machine = measure()
    gpu = f", GPU with {machine.gpu_memory / GIB:.0f} GiB" if machine.gpu_memory else ", no GPU that was found"
    print(f"This machine: {machine.memory / GIB:.0f} GiB of memory{gpu}.")
    found = fits(machine, catalogue())
    for fit in found[:3]:
        print("\n".join(_lines(fit)))
    if not found:
        print("No model of the catalogue fits well; the starter model, which comes with Scrubjay, runs everywhere.")
    return 0


def best(machine: Machine) -> Entry | None:
    """The model to take where nobody chooses; None if none fits and is quick."""
    found = fits(machine, catalogue())
    return found[0].entry if found and found[0].is_quick else None


def catalogue() -> list[Entry]:
    """All models that are known."""
    return [Entry(**values) for values in tomllib.loads(CATALOGUE.read_text("utf-8"))["model"]]


def fits(machine: Machine, entries: Sequence[Entry]) -> list[Fit]:
    """The models that have room: those that are quick enough, the largest first, then the others, the smallest first."""
    room = max(machine.gpu_memory * GPU_SHARE, machine.memory * MEMORY_SHARE)
    found = [_fit(machine, entry) for entry in entries if entry.n_bytes <= room]
    return sorted(
        found, key=lambda fit: (not fit.is_quick, -fit.entry.n_params if fit.is_quick else fit.entry.n_params)
    )


def measure() -> Machine:
    """What this machine has and can do; takes about a second."""
    return Machine(psutil.virtual_memory().total, gpu_memory(), _flops(), _bandwidth())


def gpu_memory() -> int:
    """Bytes of the NVIDIA GPU with the most memory; 0 if there is none, or another one."""
    program = which("nvidia-smi")
    if program is None:
        return 0
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return max((int(line) << 20 for line in done.stdout.split() if line.isdecimal()), default=0)


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
    begun = perf_counter()
    work()
    return perf_counter() - begun


def _lines(fit: Fit) -> list[str]:
    entry = fit.entry
    return [
        f"\n{entry.name}: {' and '.join(entry.tasks)}, {entry.n_bytes / GIB:.1f} GiB",
        f"  {_speed(fit)}",
        f"  scrubjay model use {entry.repo}",
        f"  named by {entry.source}",
    ]


def _speed(fit: Fit) -> str:
    """What to expect, as a probe of a second lets estimate it."""
    if not fit.read:
        return "on the GPU, if llama.cpp is built for it"
    typing, jump = 1e3 * (N_TYPING / fit.read + 1 / fit.written), N_JUMP / fit.read
    slow = "" if fit.is_quick else "; slow here"
    return (
        f"about {fit.read:.0f} tokens/s read and {fit.written:.0f} written: {typing:.0f} ms to the first token while typing, "
        f"{jump:.0f} s after a jump in a long file{slow}"
    )
