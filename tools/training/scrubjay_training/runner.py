"""A GGUF file as evaluation uses it: text in, greedy tokens or logits out, through llama.cpp as the daemon does."""

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from scrubjay.llama.context import MAX_OUTPUTS, DecodeResult, LlamaContext
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings
from scrubjay.tokens import as_tokens
from scrubjay_training.values import SPECIALS

_N_UBATCH = 512
Logits = npt.NDArray[np.float32]


def _agree(piece: bytes, typed: bytes) -> bool:
    """Whether a token's text is what was typed, the beginning of it, or goes on from it."""
    return typed.startswith(piece) or piece.startswith(typed)


class Runner:
    """One model and one context, for one thread. Close it, or use it in a `with` statement."""

    def __init__(self, path: Path, n_ctx: int = 4096, n_threads: int = 1) -> None:
        settings = EngineSettings(str(path), n_threads=n_threads, gpu_layers=0)
        self._model = Model(path, settings, mapped=True)
        self._context = LlamaContext(self._model, settings, n_ctx, _N_UBATCH, swa_full=False, abort_address=0)
        self.vocabulary = self._model.vocabulary
        self.specials = {text: self.vocabulary.special(text) or 0 for text in SPECIALS}
        special = set(self.specials.values())
        self._pieces = [b"" if i in special else self.vocabulary.piece(i) for i in range(self.vocabulary.n_tokens)]

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._context.close()
        self._model.close()

    def encode(self, text: str) -> list[int]:
        """Tokens of a text in which nothing is special."""
        return [int(token) for token in self.vocabulary.tokenize(text)]

    def all_logits(self, tokens: Sequence[int]) -> Logits:
        """The logits behind each of the tokens, [time, n_vocab]."""
        self._context.clear()
        rows = []
        for i, token in enumerate(tokens):
            self._decode([token], i)
            rows.append(self._context.logits().copy())
        return np.stack(rows)

    def foretold(self, before: Sequence[int], tokens: Sequence[int]) -> Logits:
        """The logits from which each of `tokens` behind `before` is foretold, [len(tokens), n_vocab]."""
        self._prefill(before)
        rows = [self._context.logits().copy()]
        for start in range(0, len(tokens) - 1, MAX_OUTPUTS):
            several = tokens[start : min(start + MAX_OUTPUTS, len(tokens) - 1)]
            self._decode(several, len(before) + start, len(several))
            for self._context.row in range(len(several)):
                rows.append(self._context.logits().copy())
        return np.stack(rows)

    def complete(
        self, prompt: Sequence[int], max_tokens: int, stops: Collection[int], typed: bytes = b""
    ) -> tuple[list[int], bool]:
        """What the model writes after the prompt, greedily, and whether it ended by itself.

        Args:
            typed: with what it has to begin, in tokens of its own choice; a token may go on beyond it.
        """
        self._prefill(prompt)
        written: list[int] = []
        while len(written) < max_tokens:
            token = self._likeliest(typed)
            if token in stops:
                return written, True
            written.append(token)
            typed = typed[len(self.vocabulary.piece(token)) :]
            self._decode([token], len(prompt) + len(written) - 1)
        return written, False

    def _likeliest(self, typed: bytes) -> int:
        logits = self._context.logits()
        if not typed:
            return int(logits.argmax())
        fitting = [i for i, piece in enumerate(self._pieces) if piece and _agree(piece, typed)]
        return fitting[int(logits[fitting].argmax())]

    def _prefill(self, prompt: Sequence[int]) -> None:
        self._context.clear()
        for start in range(0, len(prompt), _N_UBATCH):
            self._decode(prompt[start : start + _N_UBATCH], start)

    def _decode(self, tokens: Sequence[int], start: int, n_outputs: int = 1) -> None:
        result = self._context.decode(as_tokens(tokens), start, want_logits=n_outputs, abortable=False)
        if result is not DecodeResult.DONE:
            raise RuntimeError(f"llama.cpp refused {len(tokens)} tokens at {start} ({result.name.lower()}).")
