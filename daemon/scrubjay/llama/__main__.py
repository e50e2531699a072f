"""`python -m scrubjay.llama FILE`: how the vocabulary of a GGUF file cuts the text on standard input, as JSON.

In a process of its own: at some damaged files llama.cpp ends the process that opens them.
"""

import json
import sys
from pathlib import Path

from scrubjay.errors import ModelRefused
from scrubjay.llama.vocabulary import Vocabulary


def main() -> None:
    try:
        vocabulary = Vocabulary.open(Path(sys.argv[1]))
    except ModelRefused as refusal:
        sys.exit(str(refusal))
    tokens = vocabulary.tokenize(sys.stdin.buffer.read().decode()).tolist()
    sys.stdout.write(json.dumps({"n_tokens": vocabulary.n_tokens, "tokens": tokens}))


if __name__ == "__main__":
    main()
