"""In which order a project's files stand in its prompt, so that edits cost little.

An edit of a file costs everything that stands after it. A file that is edited again and again had better stand at the
end, but to move it there costs something too. This is the ski rental problem: a file stays where it is until that has cost
as much as the move costs, and is moved then. So it never costs more than twice what the better of the two would have.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scrubjay.prompt.parts import FileParts
from scrubjay.tokens import Tokens
from scrubjay.workspace.document import Document


@dataclass(frozen=True, slots=True)
class FileSlot:
    """A file where it stands in the prompt.

    Args:
        key: the document's key.
        text: its text when it was laid out here.
        tokens: path, and text or parts.
        cost_in_place: how many tokens after it its edits have cost since it was put here.
        reason: why it stands here and like this.
        parts: those that are shown, if it is not shown whole.
    """

    key: str
    label: str
    text: str
    tokens: Tokens
    cost_in_place: int = 0
    reason: str = "another file of the project; it was opened after those before it"
    parts: FileParts | None = None

    def shows(self, document: Document, parts: FileParts | None) -> bool:
        """Whether it shows what `document` is to be shown by: its `parts`, or all of its text."""
        if parts is None or self.parts is None:
            return parts is self.parts and self.text == document.text
        return parts.tokens is self.parts.tokens


def reorder(
    slots: Sequence[FileSlot],
    recent: Sequence[Document],
    current: str,
    make: Callable[[Document], FileSlot],
    parts: Mapping[str, FileParts] | None = None,
    is_idle: bool = False,
) -> tuple[FileSlot, ...]:
    """The slots after some of `recent` were opened, edited or closed, or changed on disk.

    Args:
        slots: as they were.
        recent: all documents, least recently edited first.
        current: key of the document that is being edited. Once it is, its old text must not stand anywhere; when nobody
            waits (`is_idle`), nothing of it.
        make: a new slot at the end for a document.
        parts: of documents that are not shown whole.
    """
    by_key = {document.key: document for document in recent if document.text}
    stay: list[FileSlot] = []
    moved: dict[str, FileSlot] = {}
    for slot, n_after in _with_tokens_after(slots):
        document = by_key.get(slot.key)
        if document is None or (slot.key == current and (is_idle or slot.parts or slot.text != document.text)):
            continue
        if slot.key == current or slot.shows(document, (parts or {}).get(slot.key)):
            stay.append(slot)
        elif (cost := slot.cost_in_place + n_after) > len((new := make(document)).tokens):
            moved[slot.key] = replace(
                new, reason=f"moved to the end: its edits cost {cost} tokens where it stood before"
            )
        else:
            stay.append(_edited(new, cost))
    stood = {slot.key for slot in slots}
    moved |= {key: make(document) for key, document in by_key.items() if key not in stood and key != current}
    return (*stay, *(moved[key] for key in by_key if key in moved))


def admit(slots: Sequence[FileSlot], recent: Sequence[str], room: int, before: Collection[str]) -> tuple[FileSlot, ...]:
    """Those of `slots` that fit into `room` tokens, the most recently edited first; the order stays.

    When not all fit any more, a quarter of the room is freed at once: leaving out a file costs all that stands after it.

    Args:
        recent: keys of documents, least recently edited first.
        before: keys of the slots that the last prompt had.
    """
    by_key = {slot.key: slot for slot in slots}
    # A file that was closed is not among the recent ones, and stays until the files are put in order again.
    keys = [*reversed(recent), *(slot.key for slot in slots if slot.key not in recent)]
    by_recency = [by_key[key] for key in keys if key in by_key]
    # A new file has to leave a quarter of the room free, so that it does not push out another one with the next edit.
    chosen = _fitting(by_recency, room, dict.fromkeys(before, room), room - room // 4)
    if any(slot.key in before and slot.key not in chosen for slot in by_recency):
        chosen = _fitting(by_recency, room, {}, room - room // 4)
    return tuple(slot for slot in slots if slot.key in chosen)


def _with_tokens_after(slots: Sequence[FileSlot]) -> Iterator[tuple[FileSlot, int]]:
    """Each slot with the number of tokens in the slots after it."""
    n_after = sum(len(slot.tokens) for slot in slots)
    for slot in slots:
        n_after -= len(slot.tokens)
        yield slot, n_after


def _edited(new: FileSlot, cost: int) -> FileSlot:
    return replace(
        new, cost_in_place=cost, reason=f"edited where it stands: that cost {cost} tokens, a move would cost more"
    )


def _fitting(by_recency: Sequence[FileSlot], room: int, limits: dict[str, int], limit: int) -> set[str]:
    """Keys of the slots that fit, the most recent first, each as long as all together stay within its limit."""
    chosen: set[str] = set()
    n_tokens = 0
    for index, slot in enumerate(by_recency):
        # The one edited last need not leave room for others.
        allowed = room if index == 0 else limits.get(slot.key, limit)
        if n_tokens + len(slot.tokens) <= allowed:
            chosen.add(slot.key)
            n_tokens += len(slot.tokens)
    return chosen
