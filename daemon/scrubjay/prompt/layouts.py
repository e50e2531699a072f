"""The layouts to choose from, behind one interface, with what the anchored one has to remember of each project."""

from typing import Literal

from scrubjay.prompt.anchored import NOTHING_LAID, LayoutState, anchored_prompt
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.plain import completion_prompt
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

LayoutName = Literal["plain", "anchored"]


class Layouts:
    """Makes prompts in one of the layouts. To be used from one thread.

    Args:
        name: "plain" makes each prompt by itself; "anchored" makes it so that little of the last one changes.
    """

    def __init__(self, name: LayoutName = "anchored") -> None:
        self.name = name
        self._laid: dict[str, LayoutState] = {}

    def prompt(
        self,
        project: Project,
        document: Document,
        offset: int,
        template: FimTemplate,
        tokenize: TokenCache,
        limits: Limits,
        is_idle: bool = False,
        is_trial: bool = False,
    ) -> Prompt:
        """The prompt for a completion at `offset` of `document`; arguments and errors as of `anchored_prompt`.

        Args:
            is_trial: the place is one where nobody is yet, so that nothing is to be laid out for it.
        """
        if self.name == "plain":
            return completion_prompt(project, document, offset, template, tokenize, limits)
        old = self.laid(project.root)
        prompt, laid = anchored_prompt(old, project, document, offset, template, tokenize, limits, is_idle)
        if not is_trial:
            self._laid[project.root] = laid
        return prompt

    def laid(self, root: str) -> LayoutState:
        """How the project at `root` was laid out last."""
        return self._laid.get(root, NOTHING_LAID)

    def forget(self, root: str) -> None:
        """Lay the project at `root` out anew next time."""
        self._laid.pop(root, None)
