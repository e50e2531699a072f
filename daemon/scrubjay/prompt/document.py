"""The prompt for a place in an open document, as the project's layout makes it."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView
from scrubjay.prompt.windows import resume_at
from scrubjay.tokenizer.token_cache import Preparation


@dataclass(frozen=True, slots=True)
class DocumentRecipe:
    """The prompt for the place of `view`.

    Args:
        is_idle: nobody waits for the prompt, so it may cost more than one that comes between two keystrokes.
        is_awaited: somebody does wait, but nobody has laid the project out since it changed, see `Warmer.is_due`.
        is_speculative: nobody is at that place yet, so the layout of the project's next prompt stays as it was.
        is_healed: the prompt ends where a token begins, see `resume_at`.
    """

    is_fim: ClassVar[bool] = True
    closers: ClassVar[str] = ""  # the completion rules fit the text before the rest of the line

    view: ProjectView
    is_idle: bool = False
    is_awaited: bool = False
    is_speculative: bool = False
    is_healed: bool = True
    start: int = field(init=False)
    indent: str = field(init=False)
    typed: str = field(init=False)

    def __post_init__(self) -> None:
        view = self.view
        start = resume_at(view.document, view.offset, self.is_healed)
        written = view.document.text[start : view.offset]
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "indent", "" if written.strip() or not _begins_line(view, start) else written)
        object.__setattr__(self, "typed", "" if self.indent else written)

    @property
    def unhealed(self) -> "DocumentRecipe":
        return replace(self, is_healed=False)

    @property
    def n_characters(self) -> int:
        return sum(len(document.text) for document in self.view.project.documents.values())

    def preparations(self, tools: PromptTools, /) -> list[Preparation]:
        project, cache = self.view.project, tools.token_cache
        missing = cache.missing([(document.key, document.text) for document in project.documents.values()])
        if self.is_idle:
            # The next key changes this document again, and it is not shown in parts while it is edited.
            but = self.view.document.key if self.is_awaited else ""
            missing += tools.layouts.parts(project.root).missing(project, tools.limits, cache.alone, but)
            if not self.is_awaited:
                missing += tools.layouts.windows(project.root).missing(project)
        return missing

    def make(self, tools: PromptTools) -> Prompt:
        view = self.view
        layout = LayoutInput(
            view.project,
            view.document,
            self.start,
            tools.template,
            tools.token_cache,
            tools.limits,
            self.is_idle,
            n_typed=view.offset - self.start,
        )
        return tools.layouts.prompt(layout, self.is_speculative)


def _begins_line(view: ProjectView, offset: int) -> bool:
    return offset == 0 or view.document.text[offset - 1] in "\r\n"
