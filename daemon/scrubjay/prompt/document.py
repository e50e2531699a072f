"""The prompt for a place in an open document, as the project's layout makes it."""

from dataclasses import dataclass, field
from typing import ClassVar

from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView
from scrubjay.tokenizer.token_cache import Preparation


@dataclass(frozen=True, slots=True)
class DocumentRecipe:
    """The prompt for the place of `view`.

    Args:
        is_idle: nobody waits for the prompt, so it may cost more than one that comes between two keystrokes.
        is_speculative: nobody is at that place yet, so the layout of the project's next prompt stays as it was.
    """

    is_fim: ClassVar[bool] = True
    closers: ClassVar[str] = ""  # the completion rules fit the text before the rest of the line

    view: ProjectView
    is_idle: bool = False
    is_speculative: bool = False
    indent: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "indent", self.view.document.text[self.view.start : self.view.offset])

    @property
    def n_characters(self) -> int:
        return sum(len(document.text) for document in self.view.project.documents.values())

    def preparations(self, tools: PromptTools, /) -> list[Preparation]:
        documents = self.view.project.documents.values()
        return tools.token_cache.missing([(document.key, document.text) for document in documents])

    def make(self, tools: PromptTools) -> Prompt:
        view = self.view
        place = (view.project, view.document, view.start)
        layout = LayoutInput(*place, tools.template, tools.token_cache, tools.limits, self.is_idle)
        return tools.layouts.prompt(layout, self.is_speculative)
