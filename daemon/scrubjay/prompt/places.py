"""Layout, anchored form: what was shown for a place is remembered with it, and shown again when the cursor is back.

    [repo] [files, see file_order] [excerpts, see similar] [tails] [current path] [the current file, see anchored]
            `------- slots --------´ `---- excerpts -----´                         `--------- anchor ---------´   = a place

What a context has held can be gone back to, but only by exactly the same tokens. So the prompt follows from the texts and from
what was shown before: a place is known by the text that it shows, not by versions or offsets, so that undo, a branch of
the repository, or the way back from another file find it. Where nothing fits, a new place is made after a known one, so
that most of it can stay.

Pure: what has to be known of earlier prompts is a value, `LayoutState`, that goes in and comes out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from scrubjay.code_text import common_ends
from scrubjay.prompt.anchored import Anchor, TokenBudget, current_segments, keep, new_anchor, token_budget
from scrubjay.prompt.file_order import FileSlot, admit, reorder
from scrubjay.prompt.frame import LayoutInput, PromptFrame, prompt_frame
from scrubjay.prompt.segments import Prompt, Segment, assemble, part_tokens
from scrubjay.prompt.similar import Excerpt, excerpt_of, similar_excerpts, similarity, words_around
from scrubjay.tokens import Tokens, common_length
from scrubjay.workspace.context_rules import FILE_NAME, NO_CONTEXT_RULES
from scrubjay.workspace.document import Document

MAX_EXCERPTS_SHARE = 6
"""Excerpts together have at most one in this many of the tokens that prefix and other files have."""
MIN_ALIKE_IDLE = 0.3
"""What is to be shown of others must look so much alike that the current file is read again for it."""
MAX_PLACES = 32
MAX_PLACES_OF_DOCUMENT = 8
MAX_STALE_CHARACTERS = 256
"""If less than that has changed in other files since a place was left, they are shown as they were until there is time."""
IDLE_SHARE = 0.5
"""What a token costs in idle time, where one that somebody waits for costs 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a prompt showed: of the document `key` what is around the anchor, the other files in their order, and lines of
    others that look like those around the cursor."""

    key: str
    anchor: Anchor
    slots: tuple[FileSlot, ...]
    excerpts: tuple[Excerpt, ...] = ()

    @property
    def arrays(self) -> Iterator[Tokens]:
        """What it shows, in the order of the prompt."""
        yield from (slot.tokens for slot in self.slots)
        yield from (excerpt.tokens for excerpt in self.excerpts)
        yield self.anchor.prefix.tokens
        yield self.anchor.suffix.tokens

    def is_same(self, other: "Place") -> bool:
        """Whether it shows the same as `other`, because it comes from there."""
        windows = self.anchor.prefix is other.anchor.prefix and self.anchor.suffix is other.anchor.suffix
        is_beside = _is_same(self.slots, other.slots) and _is_same(self.excerpts, other.excerpts)
        return windows and self.key == other.key and is_beside

    def n_shared(self, other: "Place") -> int:
        """How many leading tokens it shares with `other`."""
        n = 0
        for mine, its in zip(self.arrays, other.arrays, strict=False):
            n_common = len(mine) if mine is its else common_length(mine, its)
            n += n_common
            if n_common < max(len(mine), len(its)):
                break
        return n


@dataclass(frozen=True, slots=True)
class LayoutState:
    """How a project was laid out: the places that were shown, the last one last, and the frame around them."""

    places: tuple[Place, ...] = ()
    frame: PromptFrame | None = None

    @property
    def slots(self) -> tuple[FileSlot, ...]:
        """The other files of the last prompt."""
        return self.places[-1].slots if self.places else ()

    @property
    def anchors(self) -> Mapping[str, Anchor]:
        """For each document the anchor that it had last."""
        return {place.key: place.anchor for place in self.places}

    def of(self, key: str) -> list[Place]:
        """The places of that document, the last one first."""
        return [place for place in reversed(self.places) if place.key == key]

    def then(self, place: Place, frame: PromptFrame, documents: Mapping[str, Document]) -> "LayoutState":
        """After a prompt for `place`; of documents that are no more nothing is kept."""
        if self.places and self.places[-1] is place and all(old.key in documents for old in self.places):
            return self if self.frame is frame else replace(self, frame=frame)
        others = [old for old in self.places if old.key in documents and not old.is_same(place)]
        surplus = [old for old in others if old.key == place.key][: -MAX_PLACES_OF_DOCUMENT + 1]
        kept = [old for old in others if not any(old is one for one in surplus)]
        return LayoutState((*kept[-MAX_PLACES + 1 :], place), frame)


EMPTY_LAYOUT = LayoutState()


def anchored_prompt(old: LayoutState, layout: LayoutInput) -> tuple[Prompt, LayoutState]:
    """The prompt for a completion, and how the project is laid out now; `old` is what came out of its last prompt.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    frame = prompt_frame(layout, old.frame)
    budget = token_budget(frame, layout.template, layout.limits.window, _n_other_tokens(layout))
    # While somebody types, what is shown stays as long as it fits.
    budget = budget if layout.is_idle else replace(budget, kept=budget.share)
    place = _last_again(old, layout, budget)
    if place is None:
        old = _with_allowed(old, layout)
        place = _with_excerpts(_best_place(old, layout, budget), old.places, layout, budget)
    segments = [frame.start, *map(_file_segment, place.slots), *(one.segment for one in place.excerpts)]
    segments += [*frame.tails, frame.path]
    segments += current_segments(place.anchor, frame.path.label, layout)
    return assemble(segments, layout.token_cache), old.then(place, frame, layout.project.documents)


def _last_again(old: LayoutState, layout: LayoutInput, budget: TokenBudget) -> Place | None:
    """The last place, if somebody is typing there and it may stay as it is."""
    if layout.is_idle or not old.places or old.places[-1].key != layout.document.key:
        return None
    last = _allowed(old.places[-1], layout)
    anchor, _ = keep(last.anchor, layout, budget)
    if anchor is None:
        return None
    place = _fitting(last if anchor is last.anchor else replace(last, anchor=anchor), last.slots, layout, budget)
    return place if _n_tokens(place.excerpts) <= _room_for_excerpts(place, budget) else None


def _best_place(old: LayoutState, layout: LayoutInput, budget: TokenBudget) -> Place:
    """The place to show: of those that may be shown the one that costs least now and later."""
    known, recent = old.of(layout.document.key), layout.shown()
    make = cache(partial(_slot, layout))
    found = [(place, keep(place.anchor, layout, budget)[0]) for place in known]
    options = [replace(place, anchor=anchor) for place, anchor in found if anchor]
    options = options or _new_places(old, known, layout, budget)
    choices = []
    for place in options:
        true = _fitting(
            place, reorder(place.slots, recent, place.key, make, layout.parts, layout.is_idle), layout, budget
        )
        # What moving a file has cost is known by the last place; an older one counts as it was, or not at all.
        if place is options[0] or not _n_stale(place.slots, layout):
            choices += [(true, true)]
        if known and _may_stay(place, old, layout, budget):
            choices += [(place, true)]
    return min(choices, key=lambda choice: _cost(choice[0], choice[1], old.places))[0]


def _new_places(old: LayoutState, known: Sequence[Place], layout: LayoutInput, budget: TokenBudget) -> list[Place]:
    """For a place that was not shown before: after those of the same document, or after the last one."""
    _, reason = keep(known[0].anchor if known else None, layout, budget)
    if known:
        return [replace(place, anchor=new_anchor(layout, budget, reason, place.anchor)) for place in known]
    excerpts = old.places[-1].excerpts if old.places else ()
    excerpts = tuple(excerpt for excerpt in excerpts if excerpt.key != layout.document.key)
    return [Place(layout.document.key, new_anchor(layout, budget, reason), old.slots, excerpts)]


def _may_stay(place: Place, old: LayoutState, layout: LayoutInput, budget: TokenBudget) -> bool:
    """Whether the other files may be shown as they were for `place`."""
    if layout.is_idle or _n_tokens(place.slots) > _room_for_files(place, budget):
        return False
    # To put files in order costs tokens, so a key does not do it: only a switch to another file, or time to spare.
    is_last = old.places[-1].key == place.key and old.slots is place.slots
    return is_last or _n_stale(place.slots, layout) <= MAX_STALE_CHARACTERS


def _cost(now: Place, later: Place, known: Sequence[Place]) -> float:
    """What it costs to show `now`, and in idle time `later`, where all of the `known` places can be gone back to."""
    n_later = 0 if later is now else _n_new(later, (*known, now))
    return _n_new(now, known) + n_later * IDLE_SHARE


def _n_new(place: Place, known: Sequence[Place]) -> int:
    """How many tokens of `place` no known one has after the same ones."""
    return sum(map(len, place.arrays)) - max((place.n_shared(other) for other in known), default=0)


def _n_stale(slots: Sequence[FileSlot], layout: LayoutInput) -> int:
    """How many characters of other files are not shown as they are now."""
    documents = layout.project.documents
    # Parts are looked for in idle time only, and are as they were until then.
    whole = [slot for slot in slots if slot.parts is None or slot.key not in documents]
    return sum(_n_changed(slot.text, documents[slot.key].text if slot.key in documents else "") for slot in whole)


def _n_changed(old: str, new: str) -> int:
    if old is new or old == new:
        return 0
    return max(len(old), len(new)) - sum(common_ends(old, new))


def _fitting(place: Place, slots: tuple[FileSlot, ...], layout: LayoutInput, budget: TokenBudget) -> Place:
    """`place` with those of `slots` for which there is room."""
    room = _room_for_files(place, budget)
    if slots is not place.slots or _n_tokens(slots) > room:
        order = [other.key for other in layout.project.by_priority()]
        slots = admit(slots, order, room, {slot.key for slot in place.slots})
    return place if _is_same(slots, place.slots) else replace(place, slots=slots)


def _with_excerpts(place: Place, known: Sequence[Place], layout: LayoutInput, budget: TokenBudget) -> Place:
    """`place` with the lines of other files that look most like those around the cursor, where that costs little.

    They stand before the current file, which is read again when they change. So they change when that is read anyway, because
    the cursor is elsewhere, and when there is time and others look much more alike.
    """
    room = _room_for_excerpts(place, budget)
    kept = place.excerpts if _n_tokens(place.excerpts) <= room else ()
    if layout.is_idle:
        kept = tuple(excerpt for excerpt in kept if excerpt.is_true(layout.project.documents))
    if len(kept) != len(place.excerpts):
        place = replace(place, excerpts=kept)
    elif not layout.is_idle and any(place.is_same(other) for other in known):
        return place
    wanted = words_around(layout.document, layout.offset)
    whole = {slot.key for slot in place.slots if slot.parts is None}
    candidates = [one for one in layout.shown() if one.key not in whole and one.key != place.key]
    make = partial(excerpt_of, layout.project, layout.template, layout.token_cache)
    limit = min(room, budget.share // MAX_EXCERPTS_SHARE)
    found = similar_excerpts(wanted, candidates, layout.windows, make, limit)
    if not found or [one.text for one in found] == [one.text for one in kept]:
        return place
    new = replace(place, excerpts=found)
    if _n_new(new, known) - _n_new(place, known) <= _n_tokens(found):
        return new
    shown = max((similarity(one.words, wanted) for one in kept), default=0.0)
    return new if layout.is_idle and similarity(found[-1].words, wanted) >= max(shown * 2, MIN_ALIKE_IDLE) else place


def _room_for_files(place: Place, budget: TokenBudget) -> int:
    """How many tokens the windows on the current file leave to all that is shown of others."""
    return budget.for_files(len(place.anchor.prefix.tokens))


def _room_for_excerpts(place: Place, budget: TokenBudget) -> int:
    """How many tokens other files have left to excerpts; files come first, for all is read again when one goes."""
    return _room_for_files(place, budget) - _n_tokens(place.slots)


def _with_allowed(old: LayoutState, layout: LayoutInput) -> LayoutState:
    """`old` without what the project's rules do not let be shown any more."""
    if layout.project.rules is NO_CONTEXT_RULES:
        return old
    return replace(old, places=tuple(_allowed(place, layout) for place in old.places))


def _allowed(place: Place, layout: LayoutInput) -> Place:
    project = layout.project
    if project.rules is NO_CONTEXT_RULES:
        return place
    slots = tuple(slot for slot in place.slots if _is_allowed(slot, layout))
    excerpts = tuple(excerpt for excerpt in place.excerpts if _is_allowed(excerpt, layout))
    if (len(slots), len(excerpts)) == (len(place.slots), len(place.excerpts)):
        return place
    return replace(place, slots=slots, excerpts=excerpts)


def _is_allowed(slot: FileSlot | Excerpt, layout: LayoutInput) -> bool:
    document = layout.project.documents.get(slot.key)
    if document is None:
        return layout.project.rules.may_show(slot.label, is_open=False)
    return document.key == layout.document.key or layout.project.may_show(document)


def _n_tokens(slots: Sequence[FileSlot | Excerpt]) -> int:
    return sum(len(slot.tokens) for slot in slots)


def _is_same(slots: Sequence[object], others: Sequence[object]) -> bool:
    return len(slots) == len(others) and all(mine is its for mine, its in zip(slots, others, strict=True))


def _n_other_tokens(layout: LayoutInput) -> int:
    others = [other for other in layout.project.documents.values() if other.key != layout.document.key]
    if layout.project.rules is not NO_CONTEXT_RULES:
        others = [*filter(layout.project.may_show, others)]
    whole = [(other.key, other.text) for other in others if other.key not in layout.parts]
    n_parts = sum(len(layout.parts[other.key].tokens) for other in others if other.key in layout.parts)
    return layout.token_cache.count(whole) + n_parts


def _slot(layout: LayoutInput, other: Document) -> FileSlot:
    segment = layout.file_segment(other)
    parts = layout.parts.get(other.key)
    slot = FileSlot(other.key, segment.label, other.text, part_tokens(segment.parts, layout.token_cache))
    slot = replace(slot, text=parts.text, reason=segment.reason, parts=parts) if parts else slot
    return replace(slot, reason=f"always shown, as {FILE_NAME} says") if layout.project.insists_on(other) else slot


def _file_segment(slot: FileSlot) -> Segment:
    return Segment("file", slot.label, (slot.tokens,), reason=slot.reason)
