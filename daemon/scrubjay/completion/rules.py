"""The completion rules, as a way in which the texts of a request end and are shown."""

from dataclasses import dataclass, field, replace

from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.discards import IS_UNSURE
from scrubjay.completion.postprocess import DisplayText, postprocess, strip_repeating_end
from scrubjay.completion.requests import CompletionRequest
from scrubjay.completion.stop_rules import LOOP_STRIDE, STOP_STRINGS, Mode, choose_mode, loops_in_line, stop_at
from scrubjay.completion.streaming import certain_beginning
from scrubjay.prompt.fim import FimTemplate
from scrubjay.workspace.document import Document

MAX_TRIES_EACH = 2
"""Texts generated at most for each alternative: those that a rule discards are replaced."""

NOTHING = 2.0
"""A confidence that no text has."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """What is shown for which nobody asked.

    Args:
        confidence: at least what it has, from 0 to 1; 0 shows everything. See `Finish.min_confidence`.
        languages: in which anything is; empty for all.
    """

    confidence: float = 0.0
    languages: tuple[str, ...] = ()

    def least(self, language: str) -> float:
        """The least confidence in a document of that language; above 1 where nothing is shown."""
        return self.confidence if not self.languages or language in self.languages else NOTHING


@dataclass(frozen=True, slots=True)
class CompletionRules:
    """The completion rules for one request at one place; see `Finish` for the methods.

    Args:
        least: the least confidence of what is shown for which nobody asked.
    """

    cursor: CursorContext
    mode: Mode
    is_automatic: bool
    can_replace: bool
    switched_off: frozenset[str] = frozenset()
    is_chat: bool = False
    least: float = 0.0
    triggers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        # Rules look at complete lines, but for the one about the suffix; most tokens complete none.
        object.__setattr__(self, "triggers", ("\n", self.cursor.suffix_start) if self.cursor.suffix_start else ("\n",))

    @classmethod
    def of(
        cls, request: CompletionRequest, document: Document, offset: int, unasked: Unasked = Unasked()
    ) -> "CompletionRules":
        """The rules for `request` at `offset` of `document`."""
        cursor = CursorContext.at(document.text, offset, document.language)
        is_automatic, off = request.trigger == "automatic", frozenset(request.rules_off)
        least = unasked.least(document.language)
        return cls(cursor, choose_mode(cursor), is_automatic, request.can_replace, off, least=least)

    @property
    def min_confidence(self) -> float:
        return self.least if self.is_automatic and IS_UNSURE not in self.switched_off else 0.0

    @property
    def stride(self) -> int:
        return LOOP_STRIDE

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return STOP_STRINGS

    def for_template(self, template: FimTemplate, /) -> "CompletionRules":
        is_chat = template.chat is not None
        return self if is_chat == self.is_chat else replace(self, is_chat=is_chat)

    def max_tries(self, n: int) -> int:
        # By the time that a second try would be there, the user has typed on.
        return n if n == 1 else MAX_TRIES_EACH * n

    def stop_offset(self, text: str, /) -> int | None:
        end = stop_at(self.cursor, self.mode, text, switched_off=self.switched_off)
        if end is None and strip_repeating_end.__name__ not in self.switched_off and loops_in_line(text):
            return len(text)
        return end

    def tellable(self, text: str, n_seen: int = 0, /) -> str:
        # Only a line end makes more lines certain.
        is_new = not self.is_chat and "\n" in text[n_seen:]
        return certain_beginning(self.cursor, self.mode, text, self.switched_off) if is_new else ""

    def postprocess(self, text: str, is_cut_off: bool = False, /) -> DisplayText:
        how = (self.is_automatic, self.is_chat, self.can_replace, self.switched_off)
        return postprocess(self.cursor, self.mode, text, *how, is_cut_off=is_cut_off)

    def is_same(self, a: str, b: str) -> bool:
        return a.strip() == b.strip()
