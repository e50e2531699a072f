"""The values that every stage shares: the special tokens, the model's shape, and how long to train."""

from dataclasses import dataclass
from pathlib import Path

END = "<|endoftext|>"
PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
PAD, REPO, FILE = "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"
SPECIALS = (END, PREFIX, MIDDLE, SUFFIX, PAD, REPO, FILE)
"""In the order of their ids, behind all other tokens."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the model, all in elements.

    Args:
        attention: which layers attend; the others convolve.
        n_taps: how many tokens a short convolution sees, its own included.
    """

    n_vocab: int = 4096
    width: int = 192
    n_layers: int = 5
    feed_forward: int = 512
    n_heads: int = 3
    attention: tuple[int, ...] = (1, 3)
    n_taps: int = 3
    n_ctx: int = 4096
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.n_heads


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. The rate of learning is constant, then falls in a line to zero over the last `n_decay` steps.

    Args:
        n_tokens: of one step.
        n_threads: of each process.
        n_processes: that learn together, on a CPU; more than one have one thread each.
        n_workers: processes that make batches ahead; a GPU needs many, a CPU none.
        is_narrow: whether matrices are multiplied in bfloat16: twice as fast where a processor can do so.
        window: tokens of a sequence while the rate is constant, and `long_window` while it falls.
        minutes_between_saves: how much work an interruption may cost.
    """

    n_steps: int = 5100
    n_warmup: int = 20
    n_decay: int = 1600
    n_tokens: int = 4096
    window: int = 1024
    long_window: int = 2048
    matrix_rate: float = 0.02
    vector_rate: float = 0.003
    weight_decay: float = 0.02
    seed: int = 1
    n_threads: int = 2
    n_processes: int = 1
    n_workers: int = 0
    device: str = "cpu"
    is_narrow: bool = False
    minutes_between_saves: float = 4.0

    def rate(self, step: int) -> float:
        """The factor on both rates at a step that counts from 0."""
        return min(1.0, (step + 1) / self.n_warmup, max(0.0, (self.n_steps - step) / max(self.n_decay, 1)))

    def window_at(self, step: int) -> int:
        """Tokens of each sequence of a step."""
        return self.window if step < self.n_steps - self.n_decay else self.long_window

    def n_rows_at(self, step: int) -> int:
        """Sequences of a step."""
        return max(self.n_tokens // self.window_at(step), 1)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The files that the stages hand on to each other, all in one folder."""

    folder: Path

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.jsonl"

    @property
    def manifest(self) -> Path:
        return self.folder / "MANIFEST.tsv"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def stable_checkpoint(self) -> Path:
        """The last one before the rate began to fall: from here a longer training goes on."""
        return self.folder / "stable.pt"

    @property
    def log(self) -> Path:
        return self.folder / "train.jsonl"

    def gguf(self, kind: str) -> Path:
        return self.folder / f"starter-{kind}.gguf"
