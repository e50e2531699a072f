"""What of a file is shown that is too large to be shown whole: parts, each of whole lines, in their order.

Bodies of functions are left out, but for those that were edited last; if that is still too much, everything but imports and
the first lines of definitions. It follows from the text and the places of its edits alone, so an edit leaves the
parts before it as they were.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import accumulate, pairwise

from scrubjay.code_text import common_ends
from scrubjay.outline.grammars import outline_of
from scrubjay.outline.outline import Definition, Outline
from scrubjay.prompt.limits import Limits
from scrubjay.tokenizer.token_cache import MAX_CHARACTERS_PER_TOKEN, Preparation, concatenated
from scrubjay.tokens import Tokens
from scrubjay.workspace.project import Project

MIN_CHARACTERS = 4_096
"""A shorter file is shown whole or not at all."""
PARTS_SHARE = 6
"""A file has parts if it has more than one in this many of the tokens that a prompt may have."""
MIN_CUT_LINES = 3
"""A body of fewer lines is shown: to leave it out would save nothing."""
MAX_SIGNATURE_LINES = 8
N_TABLE_LINES = 2
"""So much is shown of a table."""
MAX_OPENED = 3
"""So many edited places are shown with what they are in."""
OPENED_LINES = 24
"""If what an edit is in has more than twice as many lines, that many around it are shown."""
STEP_LINES = 8
"""They begin at a multiple of this, so that they stay where they are while someone edits on."""
MAX_STALE_CHARACTERS = 64
"""If no more has changed in what is shown, it stays as it was."""
Range = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class FileParts:
    """The parts of one text of a file.

    Args:
        edited: where it was edited, see `shown_parts`.
        limit: how many tokens the parts may have.
        shown: the parts, of this text or of one that differs little in them.
        is_whole: it is so short that nothing is left out.
    """

    text: str
    edited: tuple[int, ...]
    limit: int
    shown: tuple[str, ...]
    tokens: Tokens
    is_whole: bool

    @classmethod
    def of(
        cls, label: str, text: str, edited: tuple[int, ...], limit: int, tokenize: Callable[[str], Tokens]
    ) -> "FileParts":
        """For threads."""
        tokens = cache(tokenize)
        is_whole = len(text) <= limit * MAX_CHARACTERS_PER_TOKEN and len(tokens(text)) <= limit
        shown = (
            (text,)
            if is_whole
            else shown_parts(text, outline_of(label, text), edited, lambda one: len(tokens(one)), limit)
        )
        return cls(text, edited, limit, shown, concatenated([*map(tokens, shown)]), is_whole)


class KnownParts:
    """The parts of a project's large files, as they were when there was time to look for them.

    Attributes:
        by_key: by the key of the document; of files that are shown whole there are none. A new one after each change.
    """

    def __init__(self) -> None:
        self.by_key: Mapping[str, FileParts] = {}
        self._known: dict[str, FileParts] = {}

    def missing(
        self, project: Project, limits: Limits, tokenize: Callable[[str], Tokens], but: str = ""
    ) -> list[Preparation]:
        """What has to be done before they are those of the present texts, that of the key `but` aside.

        Args:
            tokenize: for any thread.
        """
        limit = min(limits.n_ctx - limits.reserve, limits.context_budget or limits.n_ctx) // PARTS_SHARE
        large = [one for one in project.documents.values() if len(one.text) > MIN_CHARACTERS]
        self._know({one.key: self._known[one.key] for one in large if one.key in self._known})
        found = []
        for one in large:
            edited, known = tuple(project.history.places(one.key)), self._known.get(one.key)
            if one.key != but and (
                known is None or (known.text, known.edited, known.limit) != (one.text, edited, limit)
            ):
                wanted = (project.label(one), one.text, edited, limit)
                run = partial(FileParts.of, *wanted, tokenize)
                found.append(Preparation(("parts", *wanted), len(one.text), run, partial(self._keep, one.key)))
        return found

    def _keep(self, key: str, new: FileParts) -> None:
        old = self._known.get(key)
        # All that stands after a file is read again when it is shown anew, so that a few characters are not worth it. The
        # very same tokens tell that nothing is to be done.
        is_alike = old is not None and (old.limit, old.is_whole) == (new.limit, new.is_whole)
        is_kept = old and is_alike and _n_changed(old.shown, new.shown) <= MAX_STALE_CHARACTERS
        kept = replace(new, shown=old.shown, tokens=old.tokens) if old and is_kept else new
        self._know({**self._known, key: kept})

    def _know(self, parts: dict[str, FileParts]) -> None:
        self._known = parts
        self.by_key = {key: one for key, one in parts.items() if not one.is_whole}


def shown_parts(
    text: str, outline: Outline, edited: Sequence[int], count: Callable[[str], int], limit: int
) -> tuple[str, ...]:
    """The parts of `text` that are shown, of at most `limit` tokens.

    Args:
        edited: offsets of edits, the last one first.
        count: how many tokens a text has.
    """
    lines = text.split("\n")
    ends = [*accumulate((len(line) + 1 for line in lines), initial=0)]
    places = [text.count("\n", 0, offset) for offset in edited]
    opened = list(dict.fromkeys(_opened(outline, place) for place in places))[:MAX_OPENED]

    def pieces(ranges: Iterable[Range]) -> tuple[str, ...]:
        return tuple(text[ends[start] : ends[end]] for start, end in _joined(ranges))

    def fits(found: Sequence[str]) -> bool:
        return sum(map(len, found)) <= limit * MAX_CHARACTERS_PER_TOKEN and sum(map(count, found)) <= limit

    # Of what was edited as much as leaves half to the rest.
    kept: list[Range] = []
    for one in opened:
        if sum(map(count, pieces([*kept, one]))) <= limit // 2:
            kept.append(one)
    without_bodies = pieces([*_without(len(lines), _cuts(outline)), *kept])
    if fits(without_bodies):
        return without_bodies
    groups = [*outline.imports, *_signatures(outline)]
    low, high = 0, len(groups)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(pieces([*groups[:middle], *kept])) else (low, middle - 1)
    return pieces([*groups[:low], *kept])


def _n_changed(old: Sequence[str], new: Sequence[str]) -> int:
    """How many characters of the parts are others."""
    before, after = "".join(old), "".join(new)
    return max(len(before), len(after)) - sum(common_ends(before, after))


def _cuts(outline: Outline) -> Iterator[Range]:
    """The lines that say least: bodies of functions, and most of tables."""
    for one in outline.definitions:
        if one.is_leaf and one.body_end - one.body >= MIN_CUT_LINES:
            yield one.body, one.body_end
    for start, end in outline.tables:
        yield start + N_TABLE_LINES, end


def _without(n_lines: int, cuts: Iterable[Range]) -> Iterator[Range]:
    joined = _joined(cuts)
    borders = [0, *(border for cut in joined for border in cut), n_lines]
    return ((start, end) for start, end in list(pairwise(borders))[::2] if start < end)


def _signatures(outline: Outline) -> list[Range]:
    """The first lines of definitions: of those that are in nothing else first."""
    ranked: list[tuple[int, Range]] = []
    around: list[Definition] = []
    for one in outline.definitions:
        while around and around[-1].end <= one.start:
            around.pop()
        ranked.append(
            (len(around), (one.start, min(max(one.body, one.start + 1), one.start + MAX_SIGNATURE_LINES, one.end)))
        )
        around.append(one)
    return [lines for _, lines in sorted(ranked, key=lambda item: item[0])]


def _opened(outline: Outline, place: int) -> Range:
    """What is shown of an edited place: the innermost definition that it is in, if it is not too long."""
    around = outline.around(place)
    first, last = (around[-1].start, around[-1].end) if around else (0, outline.n_lines)
    if last - first <= 2 * OPENED_LINES:
        return first, last
    start = max((place - first - OPENED_LINES // 2) // STEP_LINES * STEP_LINES + first, first)
    return start, min(start + OPENED_LINES, last)


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """The same lines in order, as few ranges as there can be."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
