"""The layouts to choose from, with one interface, and what the anchored one has to remember of each project."""

from dataclasses import replace
from typing import Literal

from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.parts import KnownParts
from scrubjay.prompt.places import EMPTY_LAYOUT, LayoutState, anchored_prompt
from scrubjay.prompt.plain import plain_prompt
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.similar import KnownWindows

LayoutName = Literal["plain", "anchored"]


class Layouts:
    """Makes prompts in one of the layouts, and remembers how each project was laid out. To be used from one thread.

    Args:
        name: "plain" makes each prompt by itself; "anchored" makes it so that little of the last one changes.
    """

    def __init__(self, name: LayoutName = "anchored") -> None:
        self.name = name
        self._states: dict[str, LayoutState] = {}
        self._parts: dict[str, KnownParts] = {}
        self._windows: dict[str, KnownWindows] = {}

    def prompt(self, layout: LayoutInput, is_speculative: bool = False) -> Prompt:
        """The prompt for a completion.

        Args:
            is_speculative: nobody is at that place yet, so the project counts as laid out as it was before.

        Raises:
            PromptRefused: there is no room for even a few tokens of the document.
        """
        if self.name == "plain":
            return plain_prompt(layout)
        parts, windows = self._parts.get(layout.project.root), self._windows.get(layout.project.root)
        if (parts and parts.by_key) or windows:
            layout = replace(
                layout,
                parts=parts.by_key if parts else layout.parts,
                windows=windows.by_key if windows else layout.windows,
            )
        prompt, state = anchored_prompt(self.state(layout.project.root), layout)
        if not is_speculative:
            self._states[layout.project.root] = state
        return prompt

    def state(self, root: str) -> LayoutState:
        """How the project at `root` was laid out last."""
        return self._states.get(root, EMPTY_LAYOUT)

    def parts(self, root: str) -> KnownParts:
        """The parts of large files of the project at `root`; to be brought up to date in idle time."""
        return self._parts.setdefault(root, KnownParts())

    def windows(self, root: str) -> KnownWindows:
        """What is looked at for lines like those around the cursor; to be brought up to date in idle time."""
        return self._windows.setdefault(root, KnownWindows())

    def forget(self, root: str) -> None:
        """The project at `root` is closed: drop its layout, with the texts that it holds."""
        self._states.pop(root, None)
        self._parts.pop(root, None)
        self._windows.pop(root, None)
