"""Source text as words and signs, whatever the language; and what is around a place: its block, its literal."""

import re
from dataclasses import dataclass

from scrubjay.code_text import comment_marker_for, indent_of, without_literals

_TOKEN = re.compile(r"\w+|\r\n|\n|[^\w\s]")
_LONG_QUOTE = re.compile("\"\"\"|'''")
_WORD = re.compile(r"\w+")
KEYWORDS = frozenset(
    [
        "and",
        "as",
        "assert",
        "async",
        "await",
        "bool",
        "break",
        "byte",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "continue",
        "def",
        "default",
        "del",
        "do",
        "elif",
        "else",
        "enum",
        "except",
        "export",
        "extends",
        "false",
        "final",
        "finally",
        "float",
        "fn",
        "for",
        "from",
        "func",
        "function",
        "global",
        "goto",
        "if",
        "impl",
        "import",
        "in",
        "int",
        "interface",
        "is",
        "lambda",
        "let",
        "long",
        "match",
        "mod",
        "mut",
        "new",
        "nil",
        "None",
        "nonlocal",
        "not",
        "null",
        "or",
        "pass",
        "private",
        "protected",
        "pub",
        "public",
        "raise",
        "return",
        "self",
        "short",
        "static",
        "str",
        "string",
        "struct",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "True",
        "False",
        "try",
        "type",
        "typeof",
        "undefined",
        "union",
        "unsigned",
        "use",
        "using",
        "var",
        "void",
        "volatile",
        "where",
        "while",
        "with",
        "yield",
        "cls",
    ]
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a sign, or a line's end, and where it begins."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens_of(text: str, start: int = 0) -> list[Token]:
    """The tokens of `text`, which begins at `start`; white space within lines is none."""
    return [Token(match[0].replace("\r\n", "\n"), start + match.start()) for match in _TOKEN.finditer(text)]


def is_word(token: str) -> bool:
    return _WORD.fullmatch(token) is not None


def is_name(token: str) -> bool:
    """Whether it may be the name of something."""
    return is_word(token) and not token[0].isdigit() and token not in KEYWORDS


def line_bounds(text: str, offset: int) -> tuple[int, int]:
    """The start and the end of the line of `offset`."""
    end = text.find("\n", offset)
    return text.rfind("\n", 0, offset) + 1, len(text) if end < 0 else end


def kind_at(text: str, offset: int, path: str) -> str:
    """What stands at `offset`: "code", "string" or "comment"."""
    start, end = line_bounds(text, offset)
    # All that begins before, in pairs; a wrong guess costs a suggestion.
    if sum(1 for _ in _LONG_QUOTE.finditer(text, 0, offset)) % 2:
        return "string"
    line = without_literals(text[start:end])
    marker = line.find(comment_marker_for(path).strip(";") or ";")
    if 0 <= marker <= offset - start:
        return "comment"
    return "code" if line[offset - start : offset - start + 1] == text[offset : offset + 1] else "string"


_FUNCTION = re.compile(r"[ \t]*(?:[\w<>:&*]+ +)*?(?:def|fn|func|function|fun|sub|void|int|static)\b")
_CLASS = re.compile(r"[ \t]*(?:\w+ +)*?(?:class|impl|struct|interface)\b")


def function_around(text: str, offset: int) -> tuple[int, int]:
    """The function around `offset`: from the line that begins it to the line where its indentation ends; else all.

    Blocks are told by indentation alone, which is right in most languages.
    """
    start, end = line_bounds(text, offset)
    if _FUNCTION.match(text, start, end):
        return start, _end_of_block(text, start)
    return _block(_FUNCTION, text, start)


def class_around(text: str, offset: int) -> tuple[int, int]:
    """The class around `offset`, else all."""
    return _block(_CLASS, text, line_bounds(text, offset)[0])


def _block(head: re.Pattern[str], text: str, start: int) -> tuple[int, int]:
    """The innermost block around the line at `start` that begins like `head`; else all."""
    above = _head_above(text, start)
    while above is not None:
        if head.match(text, above):
            return above, _end_of_block(text, above)
        above = _head_above(text, above)
    return 0, len(text)


def _head_above(text: str, start: int) -> int | None:
    """The start of the nearest line above that is indented less than the line at `start`; None if that is not indented."""
    end = line_bounds(text, start)[1]
    depth = len(indent_of(text[start:end]).expandtabs())
    if depth == 0:
        return None
    while start > 0:
        start, end = line_bounds(text, start - 1)
        line = text[start:end]
        if line.strip() and line.lstrip()[0] not in ")]}#" and len(indent_of(line).expandtabs()) < depth:
            return start
    return None


def _end_of_block(text: str, start: int) -> int:
    """Where the block ends whose first line begins at `start`: at the next line that is indented no more."""
    end = line_bounds(text, start)[1]
    depth = len(indent_of(text[start:end]))
    outside = re.compile(rf"\n(?=[ \t]{{0,{depth}}}[^\s)\]}}])").search(text, end)
    return outside.end() if outside else len(text)
