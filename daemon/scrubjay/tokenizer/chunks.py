"""Cutting a text into chunks that may be tokenised one by one, so that an edit costs the tokens of one chunk.

A cut is allowed only where it cannot change the tokens. Byte-level tokenizers first split a text into words by a regular
expression, from left to right, and never merge across words. So a cut is safe if a word always ends there, and if what
comes after it cannot change how the words before it were found: that depends on how the expression treats line ends and
indentation. There are three kinds of them, and SentencePiece, which knows no words but has no token in which anything
follows a line end. Which rule holds for a vocabulary is found by trying it on texts made to break it.

Among the safe places the content itself chooses, so that an edit moves no cut but those next to it.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, cycle, product

import numpy as np
import xxhash

from scrubjay.code_text import common_prefix_length, common_suffix_length
from scrubjay.tokens import Tokens

Tokenize = Callable[[str], Tokens]

MIN_CHUNK_CHARACTERS = 256
"""No chunk but the last has fewer."""
MAX_CHUNK_CHARACTERS = 2048
"""After this many the next safe place is taken, whatever its content."""
CONTENT_CHARACTERS = 24
"""So many after a safe place choose it or not."""
MAX_TOKENIZED_CHARACTERS = 32_768
"""A chunk without a place to cut may be longer than that, and is then never tokenised whole: see `TokenizedText`."""
MAX_INDENT = 64
"""A line indented further is no safe place."""
LOOKAHEAD_CHARACTERS = MAX_INDENT + 1
"""What is further after a cut than this has no say in it."""
MAX_MATCH_CHARACTERS = MAX_INDENT + 4
"""What a match of a rule looks at."""
WINDOW_CHARACTERS = 4096
SAFE_PLACES_PER_CUT = 8
"""How many safe places there are to one that is chosen."""

# No "/": the words of some tokenizers run on over a line end into it. After a space no digit either: some take digits
# out before anything else, and no symbols: some leave them to the spaces before them.
_FIRST = r"[A-Za-z0-9!\"#%&'()*,\-.:;?@\[\\\]_{}]"
_AFTER_SPACE = r"[A-Za-z!\"#%&'()*,\-.:;?@\[\\\]_{}]"


@dataclass(frozen=True, slots=True)
class SplitRule:
    """Where a vocabulary allows cuts: at the end of each match of `pattern`.

    Args:
        lead: what must stand before a chunk while it is tokenised, so that it does not pass for the start of a text.
        n_lead: how many tokens `lead` is then.
    """

    pattern: re.Pattern[str]
    lead: str = ""
    n_lead: int = 0

    def last_cut(self, text: str) -> int:
        """Offset of the last place where `text` may be cut, 0 if there is none."""
        end = len(text)
        while (end := text.rfind("\n", 0, end)) >= 0:
            if match := self.pattern.match(text, end):
                return match.end()
        return 0


# Each pattern begins with the line end itself: so the next one is found quickly, in a long line and among blank lines.
_AT_LINES = re.compile(rf"\n(?=[ \t]{{0,{MAX_INDENT}}}{_FIRST})")
_IN_INDENTS = re.compile(rf"\n(?:[ \t]{{0,{MAX_INDENT - 1}}}(?=[ \t]{_AFTER_SPACE})|(?<=\S\n)(?={_FIRST}))")
_NO_SPACE = re.compile(r"\S")
_AT_BARE_LINES = re.compile(rf"\n(?<=\S\n)(?={_FIRST})")


def find_split_rule(tokenize: Tokenize) -> SplitRule | None:
    """The rule with the most cuts that stands every trial with this vocabulary; None if none does."""
    remembered = cache(tokenize)
    lead = SplitRule(_AT_LINES, "\n", len(tokenize("\n")))
    rules = (SplitRule(_AT_LINES), SplitRule(_IN_INDENTS), lead, SplitRule(_AT_BARE_LINES))
    return next((rule for rule in rules if all(_is_safe(rule, text, remembered) for text in _trials())), None)


def _is_safe(rule: SplitRule, text: str, tokenize: Tokenize) -> bool:
    cuts = [match.end() for match in rule.pattern.finditer(text)]
    return all(
        np.array_equal(
            tokenize(text), np.concatenate((tokenize(text[:cut]), tokenize(rule.lead + text[cut:])[rule.n_lead :]))
        )
        for cut in cuts
    )


def _trials() -> Iterator[str]:
    """Every short run of spaces and line ends between two words, and longer ones of the usual kind.

    Short runs are enough: a vocabulary that joins more of them joins pairs first. Only indentation may be a token of
    its own at any length.
    """
    runs = ["".join(run) for n in range(3) for run in product((" ", "\t", "\n", "\r\n"), repeat=n)]
    indents = ["".join(run) for n in range(3) for run in product(" \t", repeat=n)] + [
        " " * n for n in (3, 4, 8, 12, 24)
    ]
    words = cycle(product(("x", "f();", "1", "é"), ("return 1", "'mes", '"""Doc', "1.5", "}", "_a")))
    for run, line_end, indent in product(runs, ("\n", "\r\n"), indents):
        before, after = next(words)
        yield f"{before}{run}{line_end}{indent}{after}"


@dataclass(slots=True)
class Chunk:
    """A part of a text; `tokens` are filled in when they are first needed, from whichever thread."""

    text: str
    tokens: Tokens | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ChunkedText:
    """A text in chunks. `cuts` are the offsets of all their edges, from 0 to the text's length."""

    text: str
    chunks: tuple[Chunk, ...]
    cuts: tuple[int, ...]

    @classmethod
    def of(cls, text: str, rule: SplitRule | None) -> "ChunkedText":
        return _joined(text, [Chunk(text[a:b]) for a, b in _ranges(text, 0, rule)])

    def updated(self, text: str, rule: SplitRule | None) -> "ChunkedText":
        """The chunks of `text`, the same as `of` makes, with those that are as before taken over."""
        #  self   | leading |  edited  |   trailing    |
        #  text   | leading | edited differently |   trailing    |     trailing chunks have moved by `shift`
        n_kept = self._n_leading(text)
        offset, shift = self.cuts[n_kept], len(text) - len(self.text)
        # From here on the old text is the end of the new one.
        end_begins = len(self.text) - common_suffix_length(self.text, text)
        fresh: list[Chunk] = []
        for start, end in _ranges(text, offset, rule):
            # Cuts depend on nothing before them, so from the first cut in common on all others are in common.
            index = self._index_of(start - shift)
            if start > offset and index and start - shift >= end_begins:
                return _joined(text, [*self.chunks[:n_kept], *fresh, *self.chunks[index:]])
            fresh.append(Chunk(text[start:end]))
        return _joined(text, [*self.chunks[:n_kept], *fresh])

    def _n_leading(self, text: str) -> int:
        """Number of leading chunks whose ends `text` chooses as well."""
        n_same = common_prefix_length(self.text, text)
        # A cut was chosen by what follows it, so the text must be as it was for some way after it.
        return max(bisect_right(self.cuts, n_same - LOOKAHEAD_CHARACTERS) - 1, 0)

    def _index_of(self, start: int) -> int:
        """The chunk that begins at `start`; 0 if none does."""
        index = bisect_left(self.cuts, start, 0, len(self.chunks))
        return index if index < len(self.chunks) and self.cuts[index] == start else 0


def _joined(text: str, chunks: list[Chunk]) -> ChunkedText:
    return ChunkedText(text, tuple(chunks), tuple(accumulate((len(chunk.text) for chunk in chunks), initial=0)))


def _ranges(text: str, start: int, rule: SplitRule | None) -> Iterator[tuple[int, int]]:
    """The ranges of the chunks from the cut at `start` on."""
    while rule is not None and (end := _next_cut(text, start, rule)) < len(text):
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _next_cut(text: str, start: int, rule: SplitRule) -> int:
    for cut in safe_places(text, start + MIN_CHUNK_CHARACTERS - 1, rule):
        if cut - start >= MAX_CHUNK_CHARACTERS or _is_chosen(text[cut : cut + CONTENT_CHARACTERS]):
            return cut
    return len(text)


def safe_places(text: str, start: int, rule: SplitRule) -> Iterator[int]:
    """The ends of all matches from `start` on, in windows: so that long white space, which has none, can be passed over."""
    while start < len(text):
        end = start + WINDOW_CHARACTERS
        match = rule.pattern.search(text, start, end)
        # A match that comes near the end of the window has not been seen whole: the next window begins before it.
        if match and (match.start() <= end - MAX_MATCH_CHARACTERS or end >= len(text)):
            yield match.end()
            start = match.end()
        elif end >= len(text):
            return
        else:
            start = end - MAX_MATCH_CHARACTERS + 1
            if not match and (first := _NO_SPACE.search(text, start)):
                start = max(start, first.start() - MAX_MATCH_CHARACTERS)
            elif not match:
                return


def _is_chosen(content: str) -> bool:
    """Whether a text is cut before `content`: by its hash, so that an edit moves no cut but those next to it."""
    return xxhash.xxh3_64_intdigest(content.encode(errors="surrogatepass")) % SAFE_PLACES_PER_CUT == 0
