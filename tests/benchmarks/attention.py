"""What decodes cost with flash attention and without it, by their length and by what is resident.

    python -m tests.benchmarks.attention MODEL [--depths N...] [--lengths N...] [--rounds N]

In milliseconds of one thread's processor time, which other programs change less than the time on the clock: the least of the
rounds, which alternate. On CPUs, `llama.model.Model` chooses by these figures.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.llama.context import Buffer, DecodeResult, LlamaContext
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings
from scrubjay.tokens import Tokens, as_tokens
from tests.benchmarks.contestants import BenchmarkFailed

N_FILLED = 128
"""Tokens of the decodes between the depths."""


class Side:
    """A context with flash attention, or without; with all tokens of sliding windows, so that it can be cut."""

    def __init__(self, model: Model, settings: EngineSettings, n_ctx: int, n_ubatch: int, has_it: bool) -> None:
        model.flash_attention = has_it
        self._llama = LlamaContext(model, settings, n_ctx, n_ubatch, True, 0)
        self._n = 0
        self._state: Buffer = np.empty(0, dtype=np.uint8)

    def fill(self, tokens: Tokens, n: int) -> None:
        """Have the first `n` tokens."""
        while self._n < n:
            stop = min(self._n + N_FILLED, n)
            self._decode(tokens[self._n : stop])
            self._n = stop
        self._state = np.empty(self._llama.state_size(), dtype=np.uint8)
        self._llama.save_state(self._state)

    def time(self, tokens: Tokens) -> float:
        """Milliseconds for `tokens` after what it has, which it has again afterwards."""
        begun = process_time()
        self._decode(tokens)
        elapsed = (process_time() - begun) * 1e3
        is_back = self._llama.truncate(self._n)
        if not is_back and not (self._llama.load_state(self._state) and self._llama.truncate(self._n)):
            raise BenchmarkFailed("A state could not be restored.")
        return elapsed

    def _decode(self, tokens: Tokens) -> None:
        if self._llama.decode(tokens, self._n, len(tokens) == 1, abortable=False) is not DecodeResult.DONE:
            raise BenchmarkFailed("llama.cpp refused a decode.")


def measure(path: Path, depths: Sequence[int], lengths: Sequence[int], n_rounds: int) -> Table:
    settings = EngineSettings(str(path), n_threads=1, gpu_layers=0)
    model = Model(path, settings, mapped=True)
    n_ctx = max(depths) + max(lengths) + 1
    sides = [Side(model, settings, n_ctx, max((*lengths, N_FILLED)), has_it) for has_it in (True, False)]
    rng = np.random.default_rng(0)
    tokens = as_tokens(rng.integers(0, model.vocabulary.n_tokens, n_ctx))
    table = Table(
        "resident", *(f"{n} tokens" for n in lengths), title=f"{path.name}: ms with : without flash attention"
    )
    for depth in sorted(depths):
        for side in sides:
            side.fill(tokens, depth)
        cells = []
        for n in lengths:
            rounds = [[side.time(tokens[depth : depth + n]) for side in sides] for _ in range(n_rounds)]
            cells.append(" : ".join(f"{min(times):.0f}" for times in zip(*rounds, strict=True)))
        table.add_row(str(depth), *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--depths", type=int, nargs="+", default=[512, 2048, 4096], help="numbers of resident tokens")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128], help="of decodes")
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    Console().print(measure(flags.model, flags.depths, flags.lengths, flags.rounds))


if __name__ == "__main__":
    main()
