"""Next edits without a model: what was done here, or twice, is to be done there as well. Quiet when in doubt."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, takewhile

from scrubjay.nextedit.examples import Example, examples_of
from scrubjay.nextedit.lexing import (
    class_around,
    function_around,
    is_name,
    is_word,
    kind_at,
    line_bounds,
    tokens_of,
)
from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.patterns import Match, Pattern, contradicts, generalised, matches
from scrubjay.workspace.edit_history import Edit

N_EARLIER = 24
"""How many edits back another example is looked for."""
N_BESIDE = 6
LITERAL = 6
MAX_PATTERNS = 8
N_TO_CROSS = 2
"""Earlier examples in this document after which others are looked at; one, if it is in another document."""
MAX_OTHERS = 20
_CLOSERS = {")": "(", "]": "[", "}": "{"}


def repetitions(moment: Moment) -> Iterator[NextEdit]:
    """What may be next after the last edit of `moment`, the surest first."""
    edits, texts = moment.edits, moment.texts
    if not edits or not texts:
        return
    here, others = texts[0], [other for other in texts[1:] if _suffix(other) == _suffix(texts[0])][:MAX_OTHERS]
    latest = examples_of(edits[-1])
    if not latest or edits[-1].key != here.key:
        return
    earlier = [*_earlier(edits, here)]
    yield from _by_definition(latest, here, earlier)
    yield from _by_two(latest, earlier, here, others)
    yield from _by_line(edits, here, others)


def _suffix(source: OpenText) -> str:
    return source.path.rpartition(".")[2]


def _earlier(edits: Sequence[Edit], here: OpenText) -> Iterator[tuple[Example, int]]:
    """Examples of the edits before the last one, the newest first, and where they begin in the text as it is now."""
    later = [edits[-1]]
    for edit in reversed(edits[-N_EARLIER:-1]):
        for example in examples_of(edit):
            yield example, _now_at(example.start, later) if edit.key == here.key else example.start
        if edit.key == here.key:
            later.insert(0, edit)


def _now_at(start: int, later: Sequence[Edit]) -> int:
    for edit in later:
        start += edit.delta if start > edit.start else 0
    return start


# --- two alike -------------------------------------------------------------------------------------------------------


def _by_two(
    latest: Sequence[Example], earlier: Sequence[tuple[Example, int]], here: OpenText, others: Sequence[OpenText]
) -> Iterator[NextEdit]:
    for one in latest:
        same = [(other, other.start) for other in reversed(latest) if other.start < one.start]
        placed = [replace(other, start=at) for other, at in chain(same, earlier)]
        alike = [(other, kind, pattern) for other in placed for kind, pattern in _patterns(one, other)]
        n_alike = Counter((pattern.old, pattern.new) for _, kind, pattern in alike if kind == "twice")
        has_crossed = {(pattern.old, pattern.new) for other, _, pattern in alike if other.key != here.key}
        tried: dict[object, tuple[Example, str, Pattern]] = {}
        for other, kind, pattern in alike:
            tried.setdefault((kind, pattern.parts), (other, kind, pattern))
        first = min((example.start for example in placed if example.key == here.key), default=one.start)
        for other, kind, pattern in [*tried.values()][:MAX_PATTERNS]:
            change = pattern.old, pattern.new
            if kind == "twice" and any(contradicts(example, pattern) for example in (*latest, *placed)):
                continue
            is_many = n_alike[change] >= N_TO_CROSS and len(pattern.old) > 1 and pattern.new
            may_cross = kind != "renamed" and (change in has_crossed or is_many)
            passed_from = first if n_alike[change] < N_TO_CROSS else other.start
            yield from _after(pattern, one, other, here, others if may_cross else (), kind, passed_from)


def _patterns(one: Example, other: Example) -> Iterator[tuple[str, Pattern]]:
    """What the two have in common: the name alone that both replaced, and the change with what is beside it."""
    if (len(one.old), len(one.new)) != (len(other.old), len(other.new)):
        return
    if one.renamed and one.renamed == other.renamed:
        yield "renamed", Pattern((), one.old, one.new, (), one, 2)
    pattern = generalised(one, other, N_BESIDE)
    if pattern and _is_telling(pattern):
        yield "twice", pattern


def _is_telling(pattern: Pattern) -> bool:
    """Whether it says enough for that a place that it fits is one to be changed."""
    if (
        not pattern.left
        or not pattern.right
        or pattern.old == pattern.new
        or _balance(pattern.old) != _balance(pattern.new)
    ):
        return False
    if pattern.old and not pattern.new and not any(map(is_word, pattern.old)):
        return False  # any word would be taken out
    if not pattern.old and "\n" in pattern.new:
        return False  # lines that come are rarely the same twice
    n_names = sum(is_name(token) for token in pattern.whole)
    n_literal = sum(not token.startswith("\0") for token in (*pattern.left, *pattern.right))
    return n_names >= (1 if pattern.old or n_literal >= LITERAL else 2) or _is_statement(pattern)


def _is_statement(pattern: Pattern) -> bool:
    """Whether it has the beginning of a line, and words of the language on either side of what comes: `from`, `import`."""
    return "\n" in pattern.left and any(map(is_word, pattern.left)) and any(map(is_word, pattern.right))


def _balance(tokens: Sequence[str]) -> Counter[str]:
    """How many brackets of each kind are opened and not closed."""
    opened = Counter(_CLOSERS.get(token, token) for token in tokens if token in "([{")
    opened.subtract(_CLOSERS[token] for token in tokens if token in _CLOSERS)
    return Counter({bracket: n for bracket, n in opened.items() if n})


def _after(
    pattern: Pattern,
    one: Example,
    other: Example,
    here: OpenText,
    others: Sequence[OpenText],
    kind: str,
    passed_from: int,
) -> Iterator[NextEdit]:
    """The next place in the direction in which the user goes, if none was passed over; then other documents.

    Where the user came by is between the two, and from `passed_from` on.
    """
    text = here.text
    goes_up = other.key == here.key and other.start > one.start
    if other.key == here.key:
        first, last = sorted((one.start, other.start))
        first = first if goes_up else min(first, passed_from)
        if any(first < match.at < last for match in matches(pattern, text, first, last)):
            return
    wanted = kind_at(text, one.start, here.path)
    start, end = function_around(text, one.start) if kind == "renamed" else (0, len(text))
    if kind == "renamed" and not (wanted == "code" and _is_alike(one, other) and start <= other.start < end):
        return
    if goes_up:
        found = [*matches(pattern, text, start, min(one.start, end))][-1:]
    else:
        after = one.start + len(one.core)
        found = [match for match in matches(pattern, text, max(after, start), end) if match.start >= after][:1]
    for match in found:
        if kind_at(text, match.at, here.path) == wanted and (
            kind != "renamed" or _is_attribute_at(text, match.at) == _is_attribute(one)
        ):
            yield _edit(here, match, kind)
    if not found:
        yield from _elsewhere(pattern, others, kind, wanted)


def _is_attribute(example: Example) -> bool:
    return example.left[-1:] == (".",)


def _is_attribute_at(text: str, at: int) -> bool:
    return text[:at].endswith(".")


def _is_alike(one: Example, other: Example) -> bool:
    """Whether two names are in the same document, and both or none are attributes."""
    return one.key == other.key and _is_attribute(one) == _is_attribute(other)


def _elsewhere(pattern: Pattern, others: Sequence[OpenText], kind: str, wanted: str) -> Iterator[NextEdit]:
    """The first place in another document, if code stands there as here, or a comment, or a string."""
    for source in others:
        match = next(matches(pattern, source.text), None)
        if match and kind_at(source.text, match.at, source.path) == wanted:
            yield _edit(source, match, kind)
            return


def _edit(source: OpenText, match: Match, kind: str) -> NextEdit:
    return NextEdit(source.key, match.start, match.end, source.text[match.start : match.end], match.text, kind)


# --- a definition ----------------------------------------------------------------------------------------------------

_DEFINERS = frozenset(
    (
        *("def", "class", "fn", "func", "function", "fun", "struct", "enum", "interface", "trait", "type"),
        *("let", "const", "var", "val", "static", "as", "for"),
    )
)


def _by_definition(
    latest: Sequence[Example], here: OpenText, earlier: Sequence[tuple[Example, int]]
) -> Iterator[NextEdit]:
    placed = [*((example, example.start) for example in latest), *earlier]
    for old, new in {example.renamed for example in latest if example.renamed}:
        renamed = [replace(example, start=at) for example, at in placed if example.renamed == (old, new)]
        renamed = [example for example in renamed if example.key == here.key]
        definitions = [example for example in renamed if _defines(example, here.text)]
        if (
            not definitions
            or any(_keeps(example) for example in renamed)
            or sum(example.renamed != (old, new) for example in latest) > (len(renamed) > 1)
        ):
            continue  # more than the name was changed
        example = definitions[0]
        start, end = _reach(example, here.text)
        pattern = Pattern((), example.old, example.new, (), example, 1)
        new_ones = Pattern((), example.new, example.new, (), example, 1)
        if sum(1 for _ in matches(new_ones, here.text, start, end)) > len(renamed):
            continue  # the new name was there already
        is_method = _is_method(example)
        if any(_is_defined_at(here.text, match, is_method) for match in matches(pattern, here.text, start, end)):
            continue  # the old name is still used
        for match in matches(pattern, here.text, start, end):
            if _refers(here, match, example):
                yield _edit(here, match, "definition")
                break


def _defines(example: Example, text: str) -> bool:
    before, after = example.left[-1:], example.right[:1]
    start, end = line_bounds(text, example.start)
    if before and before[0] in _DEFINERS:
        return True
    if after == ("=",) and example.right[1:2] != ("=",) and before == ("\n",):
        return not text[start:end].rstrip().endswith((",", "("))
    words = [token.text for token in tokens_of(text[start : example.start])]
    return words[:1] in (["def"], ["async"]) and before in (("(",), (",",), ("*",)) and words.count("(") == 1


def _keeps(example: Example) -> bool:
    """Whether the old name is still there in its line."""
    left, right = example.left[::-1], example.right
    beside = (*takewhile(lambda token: token != "\n", left), *takewhile(lambda token: token != "\n", right))
    return example.old[0] in beside


def _is_method(example: Example) -> bool:
    return example.left[-1:] == ("def",) and bool(example.indent)


def _is_defined_at(text: str, match: Match, is_method: bool) -> bool:
    start, end = line_bounds(text, match.start)
    before, after = text[start : match.start].split(), text[match.end : end].lstrip()
    is_set = not before and after.startswith("=") and not after.startswith("==")
    return (is_set and not is_method) or before[-1:] in (["def"], ["class"])


def _reach(example: Example, text: str) -> tuple[int, int]:
    """Where a name that was defined there is known."""
    before = example.left[-1:]
    if before == ("class",) or (not example.indent and before not in (("(",), (",",), ("*",))):
        return 0, len(text)
    if before == ("def",):
        return class_around(text, example.start)
    return function_around(text, example.start)


def _refers(here: OpenText, match: Match, example: Example) -> bool:
    """Whether the name at `match` means what was defined."""
    text = here.text
    is_attribute = text[: match.start].rstrip(" ").endswith(".")
    return is_attribute == _is_method(example) and kind_at(text, match.start, here.path) == "code"


# --- an equal line ---------------------------------------------------------------------------------------------------

MIN_LINE_WORDS = 3
_NO_LINES = frozenset((*_DEFINERS, *")]}#", "from", "import", "async"))


def _by_line(edits: Sequence[Edit], here: OpenText, others: Sequence[OpenText]) -> Iterator[NextEdit]:
    """A line of code that was as the changed one was, in full; in other documents if another one was changed so."""
    edit = edits[-1]
    old, new = edit.old.strip("\n"), edit.new.strip("\n")
    if "\n" in old or "\n" in new or not new.strip() or kind_at(here.text, _first(edit), here.path) != "code":
        return
    words = [token.text for token in tokens_of(old)]
    if sum(map(is_name, words)) < MIN_LINE_WORDS or words[-1] == "," or words[0] in _NO_LINES:
        return
    kept = sum((Counter(words) & Counter(token.text for token in tokens_of(new))).values())
    if 2 * kept < len(words) or _balance(words) != _balance([token.text for token in tokens_of(new)]):
        return
    was_changed = any((old, new) == (other.old.strip("\n"), other.new.strip("\n")) for other in edits[-N_EARLIER:-1])
    for source in (here, *(others if was_changed else ())):
        at = _line(old, source.text, edit.end if source is here else 0)
        if at >= 0 and kind_at(source.text, at, source.path) == "code":
            yield NextEdit(source.key, at, at + len(old.strip()), old.strip(), new.strip(), "line")
            return


def _first(edit: Edit) -> int:
    """Where the first word of the edit is."""
    return edit.start + len(edit.new) - len(edit.new.lstrip())


def _line(wanted: str, text: str, start: int) -> int:
    """Where from `start` on a line is `wanted`, after its white space; -1 if none is."""
    n_spaces = len(wanted) - len(wanted.lstrip())
    at = text.find(wanted, start)
    while at >= 0:
        first, last = line_bounds(text, at)
        if text[first:last].rstrip() == wanted.rstrip():
            return first + n_spaces
        at = text.find(wanted, last)
    return -1
