"""What it costs to come back to what a context held before: tokens, and milliseconds until the first token.

    python -m tests.benchmarks.going_back [--tokens N] [KIND ...]

One engine in this process, on models of true shape with random weights (kinds of tests.support.gguf_models.true_shape; default:
deltanet dense), and prompts of N tokens (default: 8192). Times are printed, never asserted.
"""

from argparse import ArgumentParser
from time import perf_counter

import numpy as np

from scrubjay.contexts.naive import Control
from scrubjay.protocol.messages import EngineSettings, FromEngine, Piece, PrefillDone, Run, Sampling
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.load import open_model
from scrubjay.worker.loop import Worker
from tests.support.engine_rig import MIB, AbortFlag, random_tokens
from tests.support.gguf_models import true_shape

KEY = "/project"


class Bench:
    """The engine of one kind of model."""

    def __init__(self, kind: str, n_tokens: int) -> None:
        settings = EngineSettings(str(true_shape(kind)), n_ctx=n_tokens + 1024, interval=128, max_contexts=1)
        self.kind = kind
        loaded = open_model(settings, 0, lambda *_: None)
        self.worker = Worker(loaded, AbortFlag())  # type: ignore[arg-type]
        self.memory_class = loaded.memory_class

    def ask(self, action: str, prompt: Tokens) -> None:
        """One completion of a token after `prompt`, and a line about it."""
        costs: list[PrefillDone] = []
        first: list[float] = []

        def note(message: FromEngine) -> None:
            if isinstance(message, PrefillDone):
                costs.append(message)
            elif isinstance(message, Piece):
                first.append(perf_counter())

        begun = perf_counter()
        sampling = Sampling(max_tokens=1, ignore_end=True)
        self.worker.run(Run(1, KEY, prompt, sampling=sampling), Control(), note)
        cost = costs[0].cost
        ms = (first[0] - begun) * 1e3
        print(
            f"{self.kind:14} {action:44} {cost.processed:6} tokens, {cost.paged:5} paged, first after {ms:9.1f} ms, "
            f"of these {cost.restore_ms:6.1f} for going back"
        )

    def put_away(self, action: str) -> None:
        """Page the whole context out, and a line about it."""
        _, context = self.worker.contexts.all()[0]
        n, begun = context.n_resident, perf_counter()
        context.put_away()
        ms = (perf_counter() - begun) * 1e3
        n_bytes = self.worker.branches.n_bytes
        print(f"{self.kind:14} {action:44} {n:6} tokens out in {ms:.1f} ms; branches have {n_bytes / MIB:.0f} MiB")


def measure(kind: str, n_tokens: int) -> None:
    bench, rng = Bench(kind, n_tokens), np.random.default_rng(0)
    print(f"{kind}: memory class {bench.memory_class}")
    cut, n_gone = n_tokens * 5 // 8, n_tokens // 4
    text, other = random_tokens(rng, n_tokens), random_tokens(rng, n_tokens)
    bench.ask("cold", text)
    bench.put_away("put away, memory fresh")
    bench.ask("brought back whole", text)
    bench.worker.branches.clear()
    bench.put_away("put away, memory used before")
    bench.ask("brought back whole", text)
    without = as_tokens(np.concatenate([text[:cut], text[cut + n_gone :]]))
    for turn in ("first", "second"):
        bench.ask(f"{turn} deletion of {n_gone} tokens", without)
        bench.ask("its undo", text)
    places = [as_tokens(np.concatenate([text[:cut], other[n : n + n_gone]])) for n in (0, n_gone)]
    for turn in ("first", "second", "third"):
        for name, place in zip("AB", places, strict=True):
            bench.ask(f"place {name}, {turn} time", place)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["deltanet", "dense"])
    parser.add_argument("--tokens", type=int, default=8192)
    options = parser.parse_args()
    for kind in options.kinds:
        measure(kind, options.tokens)
