"""The tokens of texts, kept: by content for small texts, by document for those that are edited.

Everything here is bounded in bytes; what was not used for longest goes first.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np
import xxhash

from scrubjay.tokenizer.chunks import MAX_TOKENIZED_CHARACTERS, Chunk, ChunkedText, Tokenize, find_split_rule
from scrubjay.tokens import EMPTY, Tokens, frozen

V = TypeVar("V")
MAX_CHARACTERS_PER_TOKEN = 16
"""Texts have tokens that are shorter than this, but for long runs of the same character."""
_ENTRY_BYTES = 200
"""What an entry costs besides its content, about."""
_BYTES_PER_CHARACTER = 4
"""What a text in chunks costs, about: its characters once more, and their tokens."""


class _Lru(Generic[V]):
    """Values by key; when they take more than `max_bytes`, those not used for longest go."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[object, tuple[V, int]] = OrderedDict()
        self.n_bytes = 0

    def get(self, key: object) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: object, value: V, n_bytes: int) -> None:
        """Keep `value`, which may itself be too big to be kept."""
        self.n_bytes += n_bytes - self._entries.pop(key, (value, 0))[1]
        self._entries[key] = (value, n_bytes)
        while self.n_bytes > self._max_bytes:
            self.n_bytes -= self._entries.popitem(last=False)[1][1]

    def drop(self, key: object) -> None:
        """Forget the value of `key`, if there is one."""
        self.n_bytes -= self._entries.pop(key, (None, 0))[1]


@dataclass(frozen=True, slots=True)
class Preparation:
    """A text that is to be tokenised before a prompt shows it.

    Args:
        name: the same for the same work.
        n_characters: how long it is.
        run: does the work. Any thread may call it, beside all that others do with the cache.
        keep: puts what `run` returned into the cache; for the thread that the cache belongs to.
    """

    name: Hashable
    n_characters: int
    run: Callable[[], Any]
    keep: Callable[[Any], None]


class TokenCache:
    """Tokenises, and remembers. To be used from one thread; others may only run `Preparation`s.

    Args:
        tokenize: the tokens of a text, without a BOS and without special tokens.
        max_bytes: how much memory to use, about.
    """

    def __init__(self, tokenize: Tokenize, max_bytes: int) -> None:
        self._tokenize = tokenize
        self._rule = find_split_rule(tokenize)
        self._by_content: _Lru[Tokens] = _Lru(max_bytes // 2)
        self._by_document: _Lru[TokenizedText] = _Lru(max_bytes // 2)

    def empty(self) -> "TokenCache":
        """A cache for the same vocabulary that remembers nothing: for a thread of its own."""
        other = copy(self)
        other._by_content, other._by_document = _Lru(0), _Lru(0)
        return other

    @property
    def n_bytes(self) -> int:
        """About how much memory is used."""
        return self._by_content.n_bytes + self._by_document.n_bytes

    def __call__(self, text: str) -> Tokens:
        """The tokens of `text`, standing alone."""
        return self._remembered(text, after_cut=False)

    def alone(self, text: str) -> Tokens:
        """The same without looking or remembering: for any thread."""
        return self._tokens(text, after_cut=False)

    def after_cut(self, text: str) -> Tokens:
        """The tokens of `text`, standing after a cut in a longer text."""
        return self._remembered(text, after_cut=self._rule is not None and self._rule.n_lead > 0)

    def typed(self, text: str, is_after_cut: bool) -> Tokens:
        """The tokens of `text`, at the end of which someone is typing: of those before its last line nothing is new."""
        start = self.after_cut if is_after_cut else self
        cut = self._rule.last_cut(text) if self._rule else 0
        return concatenated([start(text[:cut]), self.after_cut(text[cut:])]) if cut else start(text)

    def document(self, key: str, text: str) -> "TokenizedText":
        """The document `key`, whose text is `text` now: only chunks that no earlier text had have to be tokenised."""
        old = self._by_document.get(key)
        if old is not None and old.text == text:
            return old
        chunks = ChunkedText.of(text, self._rule) if old is None else old.chunked.updated(text, self._rule)
        new = TokenizedText(chunks, self)
        self._keep(key, new)
        return new

    def count(self, documents: Iterable[tuple[str, str]]) -> int:
        """How many tokens documents have together, of which the keys and the present texts are given.

        Those with a chunk that is too long to be tokenised do not count.
        """
        texts = (self.document(key, text) for key, text in documents)
        return sum(len(text.tokens) for text in texts if not text.has_long_chunk)

    def missing(self, documents: Iterable[tuple[str, str]]) -> "list[Preparation]":
        """What has to be tokenised before documents can be shown, of which the keys and the present texts are given."""
        return [missing for key, text in documents if (missing := self._missing(key, text))]

    def _missing(self, key: str, text: str) -> "Preparation | None":
        known = self._by_document.get(key)
        if known is None:
            return Preparation((key, text), len(text), partial(self._tokenized, text), partial(self._keep, key))
        current = known if known.text is text else self.document(key, text)
        if n_characters := current.n_untokenized:
            chunks = current.untokenized()
            return Preparation((key, text), n_characters, partial(self.tokenize_ahead, chunks), lambda _: None)
        return None

    def missing_text(self, text: str) -> "Preparation | None":
        """What has to be tokenised before `text`, standing alone, can be shown; None if nothing has."""
        name = _name(text, after_cut=False)
        if not text or self._by_content.get(name) is not None:
            return None
        return Preparation(name, len(text), partial(self._tokens, text, False), partial(self._remember, name))

    def last_tokens(self, text: str, n_tokens: int) -> Tokens:
        """The last `n_tokens` tokens of `text`, of which only as much is read as surely has that many."""
        return self(text[-n_tokens * MAX_CHARACTERS_PER_TOKEN :])[-n_tokens:]

    def forget(self, key: str) -> None:
        """The document `key` is closed: drop its text and tokens."""
        self._by_document.drop(key)

    def tokenize_ahead(self, chunks: Iterable[tuple[Chunk, bool]]) -> None:
        """Tokenise chunks (see `TokenizedText.untokenized`). Any thread may call it at any time."""
        for chunk, after_cut in chunks:
            if chunk.tokens is None:
                chunk.tokens = self._tokens(chunk.text, after_cut)

    def _remembered(self, text: str, after_cut: bool) -> Tokens:
        if not text:
            return EMPTY
        name = _name(text, after_cut)
        tokens = self._by_content.get(name)
        if tokens is None:
            tokens = self._tokens(text, after_cut)
            self._remember(name, tokens)
        return tokens

    def _remember(self, name: Hashable, tokens: Tokens) -> None:
        self._by_content.put(name, tokens, _ENTRY_BYTES + tokens.nbytes)

    def _keep(self, key: str, text: "TokenizedText") -> None:
        n_bytes = _ENTRY_BYTES * len(text.chunked.chunks) + _BYTES_PER_CHARACTER * len(text.text)
        self._by_document.put(key, text, n_bytes)

    def _tokenized(self, text: str) -> "TokenizedText":
        """`text` with all its tokens. Touches nothing that is kept."""
        tokenized = TokenizedText(ChunkedText.of(text, self._rule), self)
        self.tokenize_ahead(tokenized.untokenized())
        return tokenized

    def _tokens(self, text: str, after_cut: bool) -> Tokens:
        if after_cut and self._rule is not None:
            return self._tokenize(self._rule.lead + text)[self._rule.n_lead :]
        return self._tokenize(text)


@dataclass(slots=True)
class TokenizedText:
    """A text in chunks with their tokens. Equal to tokenising the text whole, because of where the cuts are.

    A chunk of more than `MAX_TOKENIZED_CHARACTERS`, such as a line of minified code, is never tokenised whole, so that no key
    costs what the line is long. Callers that ask for tokens have to keep clear of it: see `readable_start` and `has_long_chunk`.
    """

    chunked: ChunkedText
    _cache: TokenCache = field(repr=False)
    _tokens: Tokens | None = field(default=None, repr=False)
    _has_long_chunk: bool | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        return self.chunked.text

    @property
    def tokens(self) -> Tokens:
        """The tokens of the whole text."""
        if self._tokens is None:
            self._tokens = concatenated([self._chunk(index) for index in range(len(self.chunked.chunks))])
        return self._tokens

    @property
    def n_untokenized(self) -> int:
        """How many characters the chunks have together that still have to be tokenised."""
        if self._tokens is not None:
            return 0
        return sum(len(chunk.text) for chunk, _ in self.untokenized())

    @property
    def has_long_chunk(self) -> bool:
        """Whether a chunk is too long to be tokenised, so that there are no tokens of the whole text."""
        if self._has_long_chunk is None:
            self._has_long_chunk = any(map(_is_long, self.chunked.chunks))
        return self._has_long_chunk

    def untokenized(self) -> list[tuple[Chunk, bool]]:
        """The chunks that still have to be tokenised, and whether each comes after a cut; for `TokenCache.tokenize_ahead`."""
        chunks = enumerate(self.chunked.chunks)
        return [(chunk, index > 0) for index, chunk in chunks if chunk.tokens is None and not _is_long(chunk)]

    def between(self, start: int, end: int) -> Tokens:
        """The tokens of the text in [start, end), which are those of that text alone."""
        #  start        cuts[first]    ...    cuts[last]         end
        #    |  tokenised  |      whole chunks     |  tokenised  |
        cuts = self.chunked.cuts
        first, last = bisect_left(cuts, start), self._last_cut_index(end)
        if first >= last:
            return self._cache.typed(self.text[start:end], is_after_cut=False)
        head, tail = self.text[start : cuts[first]], self.text[cuts[last] : end]
        begin = [self._cache(head), self._chunk(first)] if head or first == 0 else [self._alone(first)]
        whole = [self._chunk(index) for index in range(first + 1, last)]
        return concatenated([*begin, *whole, self._cache.typed(tail, is_after_cut=True)])

    def counts(self, end: int, start: int = 0) -> tuple[int, ...]:
        """For each cut before `end`, how many tokens of the text from `start`, which is a cut, are before it."""
        first = bisect_left(self.chunked.cuts, start)
        chunks = range(first, self._last_cut_index(end))
        tokens = (self._alone(index) if index == first else self._chunk(index) for index in chunks)
        return tuple(accumulate(map(len, tokens), initial=0))

    def cut_at(self, start: int, index: int) -> int:
        """Offset of the cut that is `index` cuts after the one at `start`."""
        return self.chunked.cuts[bisect_left(self.chunked.cuts, start) + index]

    def chunk_start(self, end: int) -> int:
        """Offset of the last cut before `end` that the text before `end` has, too; 0 if there is none."""
        cuts = self.chunked.cuts
        return cuts[max(min(self._last_cut_index(end), bisect_left(cuts, end) - 1), 0)]

    def readable_start(self, cut: int) -> int:
        """Offset of the end of the last chunk before `cut` that is too long to be tokenised; 0 if there is none."""
        if not self.has_long_chunk:
            return 0
        cuts = self.chunked.cuts
        before = range(bisect_left(cuts, cut) - 1, -1, -1)
        return next((cuts[index + 1] for index in before if _is_long(self.chunked.chunks[index])), 0)

    def _last_cut_index(self, end: int) -> int:
        cuts = self.chunked.cuts
        last = bisect_right(cuts, end) - 1
        # A cut is one because of what follows it: nothing but spaces and line ends allows none.
        while last > 0 and cuts[last] < len(self.text) and self.text[cuts[last] : end].strip() == "":
            last -= 1
        return last

    def _chunk(self, index: int) -> Tokens:
        chunk = self.chunked.chunks[index]
        if chunk.tokens is None:
            chunk.tokens = self._cache.after_cut(chunk.text) if index > 0 else self._cache(chunk.text)
        return chunk.tokens

    def _alone(self, index: int) -> Tokens:
        return self._cache(self.chunked.chunks[index].text)


def _is_long(chunk: Chunk) -> bool:
    return len(chunk.text) > MAX_TOKENIZED_CHARACTERS


def concatenated(arrays: list[Tokens]) -> Tokens:
    """One token array after the other."""
    return frozen(np.concatenate(arrays)) if arrays else EMPTY


def _name(text: str, after_cut: bool) -> Hashable:
    return xxhash.xxh3_128_digest(text.encode(errors="surrogatepass")), after_cut
