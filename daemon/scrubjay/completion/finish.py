"""How the texts of a request end and what of them is shown: the interface, and its forms without completion rules. Pure."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from scrubjay.code_text import without_closers
from scrubjay.completion.postprocess import DisplayText
from scrubjay.completion.stop_rules import leaves_asked_indent
from scrubjay.prompt.fim import FimTemplate


class Finish(Protocol):
    """How the texts of one request end and what of them is shown.

    A text is what the model wrote, without the indentation that the cursor's line has already (see `PromptRecipe.indent`).
    The law that lets text be streamed: for a text that ends as `stop_offset` says, `tellable` of each of its beginnings is
    a beginning of what `postprocess` makes of the whole, or there is nothing to show and nothing was told.
    """

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Strings that end a text, besides those of the request and the template."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """As long as none of these comes with what is new of a text, `stop_offset` says None; "" comes with everything.

        But for texts whose lengths are multiples of `stride`.
        """

    @property
    def min_confidence(self) -> float:
        """How likely the first tokens of a text must be together, for it to be shown; 0 if that does not matter."""

    @property
    def stride(self) -> int:
        """How many characters apart `stop_offset` has to be asked in any case; 0 for never."""

    def for_template(self, template: FimTemplate, /) -> "Finish":
        """The same for a model that is asked in this way."""

    def max_tries(self, n: int) -> int:
        """How many texts to generate at most until there are `n` to show."""

    def stop_offset(self, text: str, /) -> int | None:
        """After how many characters `text`, of which more may come, should have ended; None to go on."""

    def tellable(self, text: str, n_seen: int = 0, /) -> str:
        """The beginning of what is going to be shown of `text`, of which more may come; "" if nothing is certain.

        AsWritten tells everything at once; ClientLimits all but what the client's limits may take away at the end;
        CompletionRules whole lines, once it is certain that the text is not going to be discarded, see `streaming`.

        Args:
            n_seen: the number of characters for which this was asked before; "" if nothing has become certain since.
        """

    def postprocess(self, text: str, is_cut_off: bool = False, /) -> DisplayText:
        """What of `text` is to be shown, which has ended by itself or at `stop_offset`.

        Args:
            is_cut_off: it has ended neither way, but because it was long enough.
        """

    def is_same(self, a: str, b: str) -> bool:
        """Whether two texts to be shown say the same, so that one of them is enough."""


@dataclass(frozen=True, slots=True)
class AsWritten:
    """Shows what the model wrote."""

    stop_strings: ClassVar[tuple[str, ...]] = ()
    triggers: ClassVar[tuple[str, ...]] = ()
    stride: ClassVar[int] = 0
    min_confidence: ClassVar[float] = 0.0

    def for_template(self, _: FimTemplate, /) -> Finish:
        return self

    def max_tries(self, n: int) -> int:
        return n

    def stop_offset(self, _: str, /) -> int | None:
        return None

    def tellable(self, text: str, _: int = 0, /) -> str:
        return text

    def postprocess(self, text: str, _: bool = False, /) -> DisplayText:
        return DisplayText(text)

    def is_same(self, a: str, b: str) -> bool:
        return a == b


@dataclass(frozen=True, slots=True)
class ClientLimits(AsWritten):
    """Ends a text where its client asks for it; shows what the model wrote up to there.

    Args:
        n_indent: a text ends before a line that is indented by fewer characters; 0 for any.
        closers: what comes after the cursor: a first line that ends with it is the last one, and is shown without it.
    """

    triggers: ClassVar[tuple[str, ...]] = ("",)

    n_indent: int = 0
    closers: str = ""

    def stop_offset(self, text: str, /) -> int | None:
        end = text.find("\n")
        if end >= 0 and len(without_closers(text[:end], self.closers)) < end:
            return end
        return leaves_asked_indent(text, self.n_indent) if self.n_indent else None

    def tellable(self, text: str, _: int = 0, /) -> str:
        if "\n" not in text:
            # Closers at the end may go, and the space after them; what stands before all these stays.
            return text.rstrip(self.closers + " \t\r\f\v") if self.closers else text
        line_start = text.rfind("\n") + 1
        # As long as the last line is blank, the text may come to end before it.
        is_open = self.n_indent > 0 and not text[line_start:].strip()
        return text[: line_start - 1] if is_open else text

    def postprocess(self, text: str, _: bool = False, /) -> DisplayText:
        return DisplayText(without_closers(text, self.closers))
