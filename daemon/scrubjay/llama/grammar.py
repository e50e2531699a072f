"""What a grammar or a JSON schema lets a model write next: a mask over the vocabulary, by llguidance.

llama.cpp's own grammars end the process on a deep or a large one, and take it for minutes on an ambiguous one. llguidance bounds
what a grammar and each of its steps may cost, and says so where it is too much.
"""

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import llguidance
import numpy as np
import numpy.typing as npt

from scrubjay.llama.gbnf import lark_of

_T = TypeVar("_T")

MAX_SCHEMA_CHARACTERS = 131_072
MAX_REFERENCES = 1000
STACK_BYTES = 256 << 20
"""Only what is used of it takes memory."""
_LIMITS = llguidance.LLParserLimits(verbose_errors=False)
_IGNORABLE = "Unknown format"
"""What JSON Schema itself calls an annotation."""
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class Constraint:
    """The state of one text under a grammar.

    Args:
        trie: made by `trie_of`.
        n_tokens: size of the vocabulary.
        grammar: GBNF, or "".
        json_schema: text of a JSON schema, where there is no grammar.

    Raises:
        ValueError: it is wrong, or cannot be followed; the message names what in it.
    """

    def __init__(self, trie: llguidance.LLTokenizer, n_tokens: int, grammar: str, json_schema: str) -> None:
        self._n_tokens = n_tokens
        self._kind = "grammar" if grammar else "JSON schema"
        source = llguidance.LLMatcher.grammar_from_lark(lark_of(grammar)) if grammar else _schema_source(json_schema)
        self._matcher = _on_large_stack(lambda: llguidance.LLMatcher(trie, source, log_level=0, limits=_LIMITS))
        self._require_possible()
        unknown = [w for w in self._matcher.get_grammar_warnings() if not w.startswith(_IGNORABLE)]
        if unknown:
            raise _refusal("JSON schema", unknown[0])

    @property
    def is_complete(self) -> bool:
        """Whether the text can only end here."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, [n_tokens].

        Raises:
            ValueError: to find out takes too long.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._require_possible()
        return np.unpackbits(bits, count=self._n_tokens, bitorder="little").view(np.bool_)

    def accept(self, token: int) -> None:
        """`token`, one of the allowed ones, comes next."""
        self._matcher.consume_token(token)
        self._require_possible()

    def _require_possible(self) -> None:
        if self._matcher.is_error():
            raise _refusal(self._kind, self._matcher.get_error())


def _on_large_stack(make: Callable[[], _T]) -> _T:
    """What `make` returns: llguidance follows a chain of definitions by recursion, 8 KB and more a link."""
    before = threading.stack_size(STACK_BYTES)
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make).result()
    finally:
        threading.stack_size(before)


def _refusal(kind: str, reason: str) -> ValueError:
    words = " ".join(reason.replace("<non-verbose/>", "").split())[:300]
    what = "This grammar cannot be followed" if kind == "grammar" else f"No grammar can be made of this {kind}"
    return ValueError(f"{what} ({words}); simplify it.")


def _schema_source(text: str) -> str:
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise ValueError(
            f"No grammar can be made of a JSON schema of more than {MAX_SCHEMA_CHARACTERS} characters; simplify it."
        )
    if text.count('"$ref"') > MAX_REFERENCES:
        raise ValueError(
            f"No grammar can be made of a JSON schema of more than {MAX_REFERENCES} references; simplify it."
        )
    try:
        schema = _sound(json.loads(text))
        # Lenient: what it does not know becomes a warning, on which we decide.
        source: str = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides={"lenient": True})
    except (ValueError, RecursionError) as error:
        raise _refusal("JSON schema", str(error)) from error
    return source


def _sound(schema: Any) -> Any:
    """`schema` in the words that llguidance knows; what matches the result matches `schema`."""
    if schema is True:
        return {}
    if schema is False:
        raise ValueError("`false` allows nothing")
    if not isinstance(schema, dict):
        raise ValueError(f"it is {json.dumps(schema)[:40]}, not an object")  # noqa: TRY004 (no mistake of ours)
    return _with_conditions(_mapped(schema, lambda inner: _sound(inner) if isinstance(inner, dict) else inner))


def _mapped(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """`schema` with `change` applied to each schema in it; names and values that are data are left as they are."""

    def changed(key: str, value: Any) -> Any:
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            return {name: change(inner) for name, inner in value.items()}
        if key in _LISTS_OF_SCHEMAS and isinstance(value, list):
            return [change(inner) for inner in value]
        return change(value) if key in _SCHEMAS else value

    return {key: changed(key, value) for key, value in schema.items()}


def _with_conditions(schema: dict[str, Any]) -> dict[str, Any]:
    """Without if/then/else: what matches `if` and `then`, or `else` where its types exclude those of `if`, matches them."""
    if schema.get("propertyNames") in ({}, True, {"type": "string"}):
        schema = {key: value for key, value in schema.items() if key != "propertyNames"}  # all names are strings
    if schema.get("uniqueItems") is False:
        schema = {key: value for key, value in schema.items() if key != "uniqueItems"}
    if "if" not in schema:
        return {key: value for key, value in schema.items() if key not in ("then", "else")}
    condition, otherwise = schema["if"], schema.get("else", {})
    choices = [{"allOf": [condition, schema.get("then", {})]}]
    if _types(condition) and _types(otherwise) and not _types(condition) & _types(otherwise):
        choices.append(otherwise)
    rest = {key: value for key, value in schema.items() if key not in ("if", "then", "else")}
    return {**rest, "allOf": [*rest.get("allOf", []), {"anyOf": choices}]}


def _types(schema: Any) -> set[str]:
    """The types that `schema` names; none if it does not, and then it may be all."""
    named = schema.get("type", []) if isinstance(schema, dict) else []
    types = set(named if isinstance(named, list) else [named])
    return types | ({"integer"} if "number" in types else set())


class _Pieces:
    """The tokens of a vocabulary for llguidance, which takes those that begin with the byte 0xff for special."""

    bos_token_id = None

    def __init__(
        self, pieces: Sequence[bytes], ends: Collection[int], tokenize: Callable[[str], Iterable[int]]
    ) -> None:
        # Tokens without a text, or that end the text, must not be taken for a part of it.
        self.tokens = [b"\xff<%d>" % i if i in ends or not piece else piece for i, piece in enumerate(pieces)]
        self._ids = {piece: token for token, piece in enumerate(self.tokens)}
        self._max_bytes = max(map(len, self.tokens), default=0)
        self._tokenize = tokenize
        if not ends:
            self.tokens.append(b"\xff<end>")
        self.eos_token_id = min(ends, default=len(pieces))

    def __call__(self, text: bytes) -> list[int]:
        """The tokens of a text that a grammar forces: as the model would have it cut, if these tokens are that text."""
        tokens = [int(token) for token in self._tokenize(text.decode(errors="replace"))]
        return tokens if b"".join(self.tokens[token] for token in tokens) == text else [*self._longest(text)]

    def _longest(self, text: bytes) -> Iterator[int]:
        """The longest token that fits, again and again."""
        at = 0
        while at < len(text):
            ends = range(min(len(text), at + self._max_bytes), at, -1)
            end = next((end for end in ends if text[at:end] in self._ids), None)
            if end is None:
                return
            yield self._ids[text[at:end]]
            at = end


def trie_of(
    pieces: Sequence[bytes], ends: Collection[int], tokenize: Callable[[str], Iterable[int]]
) -> llguidance.LLTokenizer:
    """A vocabulary as llguidance wants it; takes up to a second for a large one.

    Args:
        pieces: the bytes of each token, none for control tokens.
        ends: the tokens that end a text. Where there are none, one beyond the vocabulary stands for them.
        tokenize: the tokens of a text, as the model was trained with them.
    """
    wrapper = llguidance.TokenizerWrapper(_Pieces(pieces, ends, tokenize))
    return llguidance.LLTokenizer(wrapper, eos_token=sorted(ends) or None)
