"""`python -m scrubjay.llama FILE [OUT]`: how the vocabulary in FILE cuts texts, as JSON.

FILE is a GGUF file, or a tokenizer.json, which is written to OUT as a GGUF file. Standard input has the `texts`, and as
`tokens` how they are to be cut, as far as that is known: of the ways to read a tokenizer.json, the closest is taken.

In a process of its own: at some damaged files llama.cpp ends the process that opens them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scrubjay.errors import ModelRefused
from scrubjay.llama.tokenizer_json import vocabulary_files
from scrubjay.llama.vocabulary import Vocabulary

Cuts = list[list[int]]


def main() -> None:
    file, *out = map(Path, sys.argv[1:])
    asked: dict[str, Any] = json.load(sys.stdin)
    try:
        found = _converted(file, out[0], asked) if out else _cut(file, asked["texts"])
    except ModelRefused as refusal:
        sys.exit(str(refusal))
    json.dump(dict(zip(("n_tokens", "tokens"), found, strict=True)), sys.stdout)


def _cut(file: Path, texts: Sequence[str]) -> tuple[int, Cuts]:
    """How many tokens the vocabulary has, and those of `texts`."""
    vocabulary = Vocabulary.open(file)
    try:
        return vocabulary.n_tokens, [vocabulary.tokenize(text).tolist() for text in texts]
    finally:
        vocabulary.close()


def _converted(file: Path, out: Path, asked: dict[str, Any]) -> tuple[int, Cuts]:
    """The same of the best way to read the tokenizer.json `file`, which is in `out` then."""
    best, n_best, found = b"", -1, (0, Cuts())
    for made in vocabulary_files(file):
        out.write_bytes(made)
        cut = _cut(out, asked["texts"])
        n_alike = sum(own == theirs for own, theirs in zip(cut[1], asked["tokens"], strict=True))
        if n_alike > n_best:
            best, n_best, found = made, n_alike, cut
        if n_best == len(asked["texts"]):
            break
    out.write_bytes(best)
    return found


if __name__ == "__main__":
    main()
