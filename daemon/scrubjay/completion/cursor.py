"""The place in a text at which a completion is asked for."""

from dataclasses import dataclass

from scrubjay.code_text import comment_marker, without_literals


@dataclass(frozen=True, slots=True)
class CursorContext:
    """Where a completion goes. Line ends are `\\n` here, whatever the document has; see `uses_crlf`.

    Args:
        prefix: the text before the cursor.
        suffix: the text after it.
        language: the client's language identifier, "" if unknown.
        uses_crlf: the document's lines end with `\\r\\n`.
    """

    prefix: str
    suffix: str
    language: str = ""
    uses_crlf: bool = False

    @classmethod
    def at(cls, text: str, offset: int, language: str = "") -> "CursorContext":
        """The place at `offset` of `text`."""
        crlf = "\r\n" in text
        prefix, suffix = text[:offset], text[offset:]
        if crlf:
            prefix, suffix = prefix.replace("\r\n", "\n"), suffix.replace("\r\n", "\n")
        return cls(prefix, suffix, language, crlf)

    @property
    def line_before(self) -> str:
        """The cursor's line, up to the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @property
    def line_after(self) -> str:
        """The cursor's line, from the cursor on."""
        return self.suffix.partition("\n")[0]

    @property
    def next_line(self) -> str:
        """The first line below the cursor's that is not blank, "" if there is none."""
        return next((line for line in self.lines_below(20) if line.strip()), "")

    @property
    def line_above(self) -> str:
        """The last line above the cursor's that is not blank, "" if there is none."""
        above = self.prefix[max(len(self.prefix) - 4_000, 0) :].split("\n")[:-1]
        return next((line for line in reversed(above) if line.strip()), "")

    def lines_below(self, n_lines: int) -> list[str]:
        """At most `n_lines` lines below the cursor's."""
        return self.suffix.split("\n", n_lines + 1)[1 : n_lines + 1]

    @property
    def is_in_comment(self) -> bool:
        """Whether the cursor is in a comment that ends with its line."""
        start = comment_marker(self.language)
        return start is not None and start in without_literals(self.line_before)
