"""What models of next edits are asked, each in the format that it has learnt: the interface, and what formats share.

A format makes one text of what has been edited and what stands around the user, in which its own markers separate the parts, and
reads the new text of the region out of what the model writes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.region import BYTES_PER_TOKEN, Size, Window, n_bytes
from scrubjay.positions import split_lines
from scrubjay.workspace.edit_history import Edit

KIND = "model"
"""Of the next edits that models make."""
MAX_TOKENS = 4_096
"""Of a prompt."""
RESERVE = 256
"""Tokens for paths and markers."""
N_STEPS, MAX_STEPS = 4, 2
"""The other documents have none, one or two quarters of a prompt."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked about.

    Args:
        document: that of the user, which is one of the texts of `moment`.
        label: gives the path of a document as the model sees it.
        n_tokens: about how long the prompt and the answer may be together.
    """

    moment: Moment
    document: OpenText
    window: Window
    label: Callable[[str], str]
    n_tokens: int

    @property
    def path(self) -> str:
        return self.label(self.document.key)

    @property
    def others(self) -> Iterator[OpenText]:
        """The other open documents, the most recently edited last, so that the files that change are late in the prompt."""
        return (text for text in reversed(self.moment.texts) if text.key != self.document.key)

    @property
    def last(self) -> Edit | None:
        """The last edit, if it was made in the user's document."""
        edits = self.moment.edits
        return edits[-1] if edits and edits[-1].key == self.document.key else None

    def before(self) -> str:
        """The region as it was before the last edit, as far as that was inside of it."""
        window, edit = self.window, self.last
        if edit is None or edit.start < window.start or edit.end > window.start + len(window.inside):
            return window.inside
        start, end = edit.start - window.start, edit.end - window.start
        return window.inside[:start] + edit.old + window.inside[end:]


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """What a model is asked.

    Args:
        text: with the format's markers where they belong, and nowhere else.
        begun: what of the answer is in the prompt already.
        max_tokens: of the answer.
    """

    text: str
    begun: str
    max_tokens: int


class EditFormat(Protocol):
    """How one family of models is asked, and how their answers are read."""

    @property
    def size(self) -> Size:
        """Of the region."""

    @property
    def markers(self) -> tuple[str, ...]:
        """The strings that separate the parts of a prompt: the model's special tokens, where it has such."""

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end an answer."""

    def prompt(self, scene: Scene) -> EditPrompt:
        """What the model is asked; see `asked` for texts with markers in them."""

    def new_text(self, answer: str, window: Window) -> str | None:
        """The region as the model would have it; None if that cannot be told from `answer`, which is whole."""


def asked(form: EditFormat, scene: Scene) -> EditPrompt | None:
    """What the model is asked, in that format; None if a text has one of the format's markers in it."""
    shown = [scene.document.text, *(side for edit in scene.moment.edits for side in (edit.old, edit.new))]
    if any(marker in text for text in shown for marker in form.markers):
        return None
    texts = [text for text in scene.moment.texts if not any(marker in text.text for marker in form.markers)]
    moment = Moment(scene.moment.edits, texts, scene.moment.offset, scene.moment.taken_back, scene.moment.now_s)
    return form.prompt(Scene(moment, scene.document, scene.window, scene.label, scene.n_tokens))


def read(form: EditFormat, answer: str, key: str, window: Window) -> NextEdit | None:
    """The next edit in a whole answer: what differs, from the first line that does to the last; None if nothing does."""
    new = form.new_text(answer, window)
    if new is None:
        return None
    if new and window.inside.endswith("\n") and not new.endswith("\n"):
        new += "\n"
    old_lines, new_lines = split_lines(window.inside), split_lines(new)
    n_first = _n_common(old_lines, new_lines)
    n_last = _n_common(old_lines[n_first:][::-1], new_lines[n_first:][::-1])
    old = "".join(old_lines[n_first : len(old_lines) - n_last])
    proposed = "".join(new_lines[n_first : len(new_lines) - n_last])
    if old == proposed:
        return None
    start = window.start + sum(map(len, old_lines[:n_first]))
    return NextEdit(key, start, start + len(old), old, proposed, KIND)


def max_tokens(window: Window) -> int:
    """How long a new text of the region may be: half as long again, and some lines."""
    return n_bytes(window.inside) // 2 + 64


def excerpts(scene: Scene, rest: str) -> Iterator[tuple[str, str, bool]]:
    """Of the other open documents, as far as they fit beside `rest`: label, beginning, and whether that is all of it.

    In steps: with each edit and each line of the region there is less room, and a file that ends elsewhere is processed again,
    with all that follows it.
    """
    step = min(MAX_TOKENS, scene.n_tokens) // N_STEPS
    n_prompt = min(MAX_TOKENS, scene.n_tokens - max_tokens(scene.window))
    n_steps = min((n_prompt - RESERVE - n_bytes(rest) // BYTES_PER_TOKEN) // step, MAX_STEPS)
    left = n_steps * step * BYTES_PER_TOKEN
    kept = []
    for text in list(scene.others)[::-1]:
        beginning = "".join(_fitting(split_lines(text.text), left))
        if beginning.strip():
            left -= n_bytes(beginning)
            kept.append((scene.label(text.key), beginning, beginning == text.text))
    return reversed(kept)


def ended(text: str) -> str:
    """`text` with a line end."""
    return text if text.endswith("\n") else f"{text}\n"


def unended(text: str) -> str:
    """`text` without its last line end."""
    return text.removesuffix("\n").removesuffix("\r")


def _fitting(lines: Iterable[str], n_left: int) -> Iterator[str]:
    for line in lines:
        n_left -= n_bytes(line)
        if n_left < 0:
            return
        yield line


def _n_common(a: Iterable[str], b: Iterable[str]) -> int:
    n_same = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        n_same += 1
    return n_same
