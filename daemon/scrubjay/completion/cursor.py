"""The place in a text at which a completion is asked for."""

import re
from dataclasses import dataclass, field

from scrubjay.code_text import comment_marker, without_literals

MAX_CHARACTERS = 32_768
"""On either side of the cursor: what a completion is compared with is near, so a key costs the same in every document."""
_LINE_END = re.compile(r"\r\n|\n|\r")
MAX_LINES_TO_NEXT = 20
"""Below the cursor's line, before the next one that is not blank: after more than that there is none."""
SUFFIX_START_CHARACTERS = 20
"""Characters of the suffix that a completion must not begin to repeat."""


@dataclass(frozen=True, slots=True)
class CursorContext:
    """Where a completion goes. Line ends are `\\n` here, whatever the document has; see `line_end`.

    Args:
        prefix: the text before the cursor, as far as a rule asks for it.
        suffix: the text after it, as far as a rule asks for it.
        language: the client's language identifier, "" if unknown.
        line_end: what ends the lines around the cursor in the document.

    Attributes:
        line_before: the cursor's line, up to the cursor.
        line_after: the cursor's line, from the cursor on.
        below: the lines below the cursor's.
        next_line: the first line below the cursor's that is not blank, "" if there is none.
        suffix_start: the beginning of the suffix, but for blank lines, that a text must not repeat; "" if it is too short.
    """

    prefix: str
    suffix: str
    language: str = ""
    line_end: str = "\n"
    line_before: str = field(init=False)
    line_after: str = field(init=False)
    below: list[str] = field(init=False)
    next_line: str = field(init=False)
    suffix_start: str = field(init=False)

    def __post_init__(self) -> None:
        # Once, because stop rules look at them at each token.
        start = self.suffix.lstrip()[:SUFFIX_START_CHARACTERS]
        object.__setattr__(self, "line_before", self.prefix[self.prefix.rfind("\n") + 1 :])
        line_after, *below = self.suffix.split("\n")
        object.__setattr__(self, "line_after", line_after)
        object.__setattr__(self, "below", below)
        object.__setattr__(self, "next_line", next((line for line in below[:MAX_LINES_TO_NEXT] if line.strip()), ""))
        object.__setattr__(self, "suffix_start", start if len(start) == SUFFIX_START_CHARACTERS else "")

    @classmethod
    def at(cls, text: str, offset: int, language: str = "") -> "CursorContext":
        """The place at `offset` of `text`, of which only what is near is looked at."""
        prefix = text[max(offset - MAX_CHARACTERS, 0) : offset]
        suffix = text[offset : offset + MAX_CHARACTERS]
        return cls(_with_lf(prefix), _with_lf(suffix), language, _line_end(prefix, suffix))

    @property
    def line_above(self) -> str:
        """The last line above the cursor's that is not blank, "" if there is none."""
        above = self.prefix[max(len(self.prefix) - 4_000, 0) :].split("\n")[:-1]
        return next((line for line in reversed(above) if line.strip()), "")

    @property
    def is_in_comment(self) -> bool:
        """Whether the cursor is in a comment that ends with its line."""
        start = comment_marker(self.language)
        return start is not None and start in without_literals(self.line_before)


def _line_end(prefix: str, suffix: str) -> str:
    """The line end next to the cursor: the one before it, else the one after it, else `\\n`."""
    end = max(prefix.rfind("\n"), prefix.rfind("\r"))
    if end >= 0:
        return "\r\n" if prefix.endswith("\r\n", 0, end + 1) else prefix[end]
    match = _LINE_END.search(suffix)
    return match[0] if match else "\n"


def _with_lf(text: str) -> str:
    return _LINE_END.sub("\n", text) if "\r" in text else text
