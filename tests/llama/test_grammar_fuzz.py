"""A thousand random grammars and schemas: each is followed or refused in a sentence, and none ends the process."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from tests.llama.test_grammar import END, constraint

N_CASES = 1000
MAX_S = 5.0
"""A bound against hanging; most take a millisecond."""
NUMBERS = (0, 1, -1, 2, 7, 1000, 65536, 10**9, 10**18, 10**40, 0.5, -1e300, 1e-300)
WORDS = ("a", "", "p q", '"', "\\", "\n", "é", "漢", "\0", "\ud800", "$ref", "type", "x" * 300)
REGEXES = (
    "a",
    "^a$",
    "\\S",
    "^(a|b)*c{1,1000}$",
    "(((",
    "[",
    "\\p{L}+",
    "(?=x)",
    "\\1",
    "^.{65536}$",
    "(.*a){50}",
    "(a?){99}{99}",
    "\\u{110000}",
)
TYPES: tuple[Any, ...] = (
    "string",
    "number",
    "integer",
    "object",
    "array",
    "boolean",
    "null",
    "nonsense",
    None,
    5,
    ["string", "null"],
    [],
)
FORMATS = ("date-time", "uuid", "email", "ipv6", "uri", "regex", "iso-flux", 7)
PIECES = (
    *("root", "a", "b", "a-b", "::=", "::=", "\n", "\n", "|", "(", ")", "*", "+", "?", ".", "{2}", "{0,999}", "{,3}"),
    *(
        '"x"',
        '"\\n"',
        '"',
        "[a-z]",
        "[^\\x00-\\uFFFF]",
        "[",
        "[]",
        "# c\n",
        "\\",
        "é",
        "\0",
        "\ud800",
        '"' + "y" * 999 + '"',
    ),
)


def schemas(rng: random.Random, depth: int = 4) -> Any:
    """A schema, mostly; sometimes what is none."""
    if depth == 0 or rng.random() < 0.1:
        return rng.choice((True, False, {}, {"type": "string"}, {"$ref": "#"}, {"$ref": "#/$defs/a"}, None, 3, [], "x"))

    def inner() -> Any:
        return schemas(rng, depth - 1)

    def some() -> list[Any]:
        return [inner() for _ in range(rng.randrange(4))]

    def named() -> dict[str, Any]:
        return {rng.choice(WORDS): inner() for _ in range(rng.randrange(4))}

    made = {
        "type": lambda: rng.choice(TYPES),
        "pattern": lambda: rng.choice(REGEXES),
        "format": lambda: rng.choice(FORMATS),
        "enum": lambda: [rng.choice((*WORDS, *NUMBERS, None, {}, [])) for _ in range(rng.randrange(5))],
        "const": lambda: rng.choice((*WORDS, *NUMBERS, {"a": [1]})),
        "$ref": lambda: rng.choice(("#", "#/$defs/a", "#/properties/a", "#/%zz", "http://example.invalid/x", 4, "")),
        **dict.fromkeys(
            ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"), lambda: rng.choice(NUMBERS)
        ),
        **dict.fromkeys(
            ("exclusiveMinimum", "multipleOf", "minProperties", "maxProperties"), lambda: rng.choice(NUMBERS)
        ),
        **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "else", "contains"), inner),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), named),
        "required": lambda: [rng.choice(WORDS) for _ in range(rng.randrange(3))],
        "uniqueItems": lambda: rng.choice((True, False)),
        "propertyNames": inner,
    }
    return {key: made[key]() for key in rng.sample(sorted(made), rng.randrange(1, 6))}


def grammars(rng: random.Random) -> str:
    body = " ".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 40)))
    return rng.choice((body, f"root ::= {body}", f"root ::= a* b?\na ::= {body}\nb ::= root | a"))


def cases(seed: int) -> Iterator[tuple[str, str]]:
    """Grammars and texts of schemas."""
    rng = random.Random(seed)
    for number in range(N_CASES):
        if number % 2:
            yield grammars(rng) or " ", ""
            continue
        text = json.dumps(schemas(rng))
        yield "", text if number % 10 else text[: rng.randrange(len(text)) + 1] + rng.choice(("", "}", "\0", "[" * 900))


def follow(grammar: str, schema: str, rng: random.Random) -> None:
    """Write some text as the grammar will have it."""
    state = constraint(grammar, schema)
    for _ in range(30):
        choices = np.flatnonzero(state.allowed()[:END])
        if state.is_complete or not len(choices):
            return
        state.accept(int(rng.choice(choices)))


def main(seed: int) -> None:
    n_followed, longest = 0, 0.0
    for grammar, schema in cases(seed):
        sys.stderr.write(json.dumps([grammar, schema]) + "\n")  # the last line names what ended the process
        begun = perf_counter()
        try:
            follow(grammar, schema, random.Random(seed))
            n_followed += 1
        except ValueError as refused:
            assert "rammar" in str(refused), refused
        longest = max(longest, perf_counter() - begun)
        assert longest < MAX_S, longest
    sys.stdout.write(f"{n_followed} {longest:.3f}\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0])
def test_no_random_grammar_or_schema_ends_a_process(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.llama.test_grammar_fuzz", str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    n_followed, _ = done.stdout.split()
    assert N_CASES / 20 < int(n_followed) < N_CASES


if __name__ == "__main__":
    main(int(sys.argv[1]))
