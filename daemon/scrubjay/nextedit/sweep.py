"""The formats of Sweep's models of next edits: the first ones (0.5B, 1.5B), and version 2 (7B).

Both rewrite a window of lines. What changes with a key comes last, so that a prompt shares most of its tokens with the one
before it.
"""

from collections.abc import Iterator

from scrubjay.nextedit.formats import EditPrompt, Scene, excerpts, max_tokens, unended
from scrubjay.nextedit.region import Size, Window
from scrubjay.positions import split_lines

PART = "<|file_sep|>"
CURSOR = "<|cursor|>"
N_CHANGES = 3
MAX_LINES = 40
"""Of either side of a change that is shown; of a longer one the middle is left out."""
N_AROUND = 150
"""Lines above and below the user that version 2 is shown of the file."""


class Sweep1:
    """10 lines above and below the user; the model writes all of them again."""

    size = Size(10, 10, margin=5)
    markers = (PART, "</s>", "<|endoftext|>")
    stop = (PART, "</s>", "<|endoftext|>")

    def prompt(self, scene: Scene) -> EditPrompt:
        window = scene.window
        changes = "".join(
            f"{PART}{label}.diff\noriginal:\n{old}\nupdated:\n{new}\n" for label, _, _, old, new in _changes(scene)
        )
        end = (
            f"{PART}original/{scene.path}\n{unended(scene.before())}\n"
            f"{PART}current/{scene.path}\n{unended(window.inside)}\n"
            f"{PART}updated/{scene.path}\n"
        )
        files = "".join(f"{PART}{label}\n{unended(text)}\n" for label, text, _ in excerpts(scene, changes + end))
        return EditPrompt(files + changes + end, "", max_tokens(window))

    def new_text(self, answer: str, window: Window) -> str | None:
        return _as_in(answer, window)


class Sweep2:
    """Two lines above the user and five below, with the lines around them before; the lines above are written already."""

    size = Size(2, 5, margin=1)
    markers = (PART, CURSOR, "<|endoftext|>")
    stop = (PART, "<|endoftext|>")

    def prompt(self, scene: Scene) -> EditPrompt:
        window = scene.window
        before = scene.before()
        changes = "".join(
            f"{PART}{label}:{first}:{last}\noriginal:\n{old}\nupdated:\n{new}\n"
            for label, first, last, old, new in _changes(scene)
        )
        first = len(window.above) + 1
        places = [
            f"{scene.path}:{first}:{first + len(split_lines(unended(text))) - 1}" for text in (before, window.inside)
        ]
        begun = self._begun(scene)
        end = (
            f"{PART}original/{places[0]}\n{unended(before)}\n"
            f"{PART}current/{places[1]}\n{unended(window.marked(CURSOR))}\n"
            f"{PART}updated/{places[1]}\n{begun}"
        )
        around = "".join((*window.above[-N_AROUND:], *window.lines, *window.below[:N_AROUND]))
        head = f"{PART}{scene.path}\n{unended(around)}\n"
        files = "".join(f"{PART}{label}\n{unended(text)}\n" for label, text, _ in excerpts(scene, head + changes + end))
        return EditPrompt(head + files + changes + end, begun, max_tokens(window))

    def new_text(self, answer: str, window: Window) -> str | None:
        return _as_in(answer.replace(CURSOR, ""), window)

    def _begun(self, scene: Scene) -> str:
        """The lines above the user; only the first one if the user has just put something in above."""
        lines = scene.window.lines[: scene.window.line]
        has_put_in = scene.last is not None and len(split_lines(scene.last.new)) > len(split_lines(scene.last.old))
        return "".join(lines[:1] if has_put_in else lines)


def _changes(scene: Scene) -> Iterator[tuple[str, int, int, str, str]]:
    """The last changes, oldest first: label, first and last line of what is there now, what was there, what is."""
    for edit in scene.moment.edits[-N_CHANGES:]:
        new = unended(edit.new)
        yield scene.label(edit.key), edit.line + 1, edit.line + len(split_lines(new)), _cut(edit.old), _cut(edit.new)


def _cut(side: str) -> str:
    lines = unended(side).split("\n")
    half = MAX_LINES // 2
    return "\n".join(lines if len(lines) <= MAX_LINES else (*lines[:half], "...", *lines[-half:]))


def _as_in(answer: str, window: Window) -> str:
    """The answer, which may have a line end too many at its end."""
    return answer if window.inside.endswith("\n") else unended(answer)
