"""What becomes of the texts of one request: where they end, what of them is shown, and which are kept for later."""

from dataclasses import dataclass

from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import DisplayText, postprocess
from scrubjay.completion.requests import CompletionRequest
from scrubjay.completion.stop_rules import Mode, choose_mode, stop_at
from scrubjay.workspace.document import Document


@dataclass(frozen=True, slots=True)
class CompletionRules:
    """The completion rules for one request at one place."""

    place: CursorContext
    mode: Mode
    is_automatic: bool
    can_replace: bool
    switched_off: frozenset[str] = frozenset()
    is_chat: bool = False

    @classmethod
    def of(cls, request: CompletionRequest, document: Document, offset: int) -> "CompletionRules":
        """The rules for `request` at `offset` of `document`."""
        place = CursorContext.at(document.text, offset, document.language)
        is_automatic, off = request.trigger == "automatic", frozenset(request.rules_off)
        return cls(place, choose_mode(place), is_automatic, request.can_replace, off)

    def stop_offset(self, text: str) -> int | None:
        """After how many characters `text`, of which more may come, should have ended; None to go on."""
        return None if stop_at.__name__ in self.switched_off else stop_at(self.place, self.mode, text)

    def postprocess(self, text: str) -> DisplayText:
        """What of `text` is to be shown."""
        how = (self.is_automatic, self.is_chat, self.can_replace, self.switched_off)
        return postprocess(self.place, self.mode, text, *how)
