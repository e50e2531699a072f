"""One line of a `.gitignore`, read as git reads it: byte by byte, as its `wildmatch.c` has it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[!-~]",
    b"lower": rb"[a-z]",
    b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@[-`{-~]",
    b"space": rb"[ \t-\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}
_WILD = re.compile(rb"[*?\[\\]")
_STAR, _FOLDERS, _ALL = b"*", b"**/", b"**"
"""Within a name; any number of folders; anything at all."""


class UnreadableError(ValueError):
    """Git matches nothing with such a pattern."""


@dataclass(frozen=True, slots=True)
class IgnorePattern:
    """A pattern.

    Args:
        leaves_out: False for one that lets in.
        is_for_folders: it means folders only.
        is_for_names: it is compared with the last name of a path, and not with the whole.
        text: what is to be there, literally; or an expression for it.
    """

    leaves_out: bool
    is_for_folders: bool
    is_for_names: bool
    text: bytes | re.Pattern[bytes]

    def means(self, path: bytes, is_folder: bool) -> bool:
        """Whether `path`, relative to the folder of the ignore file, is meant itself."""
        if self.is_for_folders and not is_folder:
            return False
        asked = path.rpartition(b"/")[2] if self.is_for_names else path
        # Long lists are mostly of names, and thousands of expressions would take seconds to make.
        return asked == self.text if isinstance(self.text, bytes) else self.text.fullmatch(asked) is not None


def read_pattern(line: bytes) -> IgnorePattern | None:
    """The pattern of a line without its end; None for comments and lines without a pattern.

    Raises:
        UnreadableError: the line says nothing that git understands.
    """
    line = _without_trailing_spaces(line.removesuffix(b"\r"))
    if line.startswith(b"#"):
        return None
    pattern = line.removeprefix(b"!")
    is_for_folders = pattern.endswith(b"/")
    pattern = pattern[:-1] if is_for_folders else pattern
    if not pattern:
        return None
    is_literal = _WILD.search(pattern) is None
    whole = pattern.removeprefix(b"/")
    text = whole if is_literal else re.compile(_regex(whole), re.DOTALL)
    return IgnorePattern(not line.startswith(b"!"), is_for_folders, b"/" not in pattern, text)


def _without_trailing_spaces(line: bytes) -> bytes:
    """`line` without the spaces at its end that no backslash keeps."""
    stripped = line.rstrip(b" ")
    n_backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return line[: len(stripped) + 1] if n_backslashes % 2 else stripped


def _regex(pattern: bytes) -> bytes:
    """An expression for `pattern` that takes no more than a few looks at each character, however many stars there are.

    What follows a star is best taken where it first occurs, because the next star takes what is left; so nothing before
    that star need be tried again, which an atomic group says. The same holds for the names between two `**`.
    """
    # Git compares what is before the first wildcard as it is, and a `**` right after it is one at the beginning.
    wild = _WILD.search(pattern)
    n_literal = wild.start() if wild else len(pattern)
    *first, last = _split(_tokens(pattern[n_literal:]), _FOLDERS)
    expression = re.escape(pattern[:n_literal])
    for number, tokens in enumerate(first):
        names = _names(tokens, is_last=False)
        expression += names if number == 0 else b"(?>(?:[^/]+/)*?" + names + b")"
    return expression + (b"(?:[^/]*/)*" if first else b"") + _names(last, is_last=True)


def _names(tokens: list[bytes], is_last: bool) -> bytes:
    """An expression for names, none of which has a `**/` before it."""
    *first, last = _split(tokens, _STAR)
    expression = b""
    for number, fixed in enumerate(first):
        expression += b"".join(fixed) if number == 0 else b"(?>[^/]*?" + b"".join(fixed) + b")"
    ending = b"".join(b".*" if token == _ALL else token for token in last)
    if not first:
        return ending
    return expression + (b"[^/]*" + ending if is_last else b"(?>[^/]*?" + ending + b")")


def _split(tokens: Iterable[bytes], separator: bytes) -> list[list[bytes]]:
    parts: list[list[bytes]] = [[]]
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _tokens(pattern: bytes) -> Iterator[bytes]:
    """`_STAR`, `_FOLDERS`, `_ALL`, and expressions that match one byte each."""
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            tokens, at = _stars(pattern, at)
            yield from tokens
        elif byte == b"[":
            token, at = _bracket(pattern, at)
            yield token
        elif byte == b"\\":
            if at + 1 == len(pattern):
                raise UnreadableError("it ends with a backslash")
            yield re.escape(pattern[at + 1 : at + 2])
            at += 2
        else:
            yield rb"[^/]" if byte == b"?" else re.escape(byte)
            at += 1


def _stars(pattern: bytes, start: int) -> tuple[tuple[bytes, ...], int]:
    """What the stars from `start` on mean, and where they end."""
    end = start
    while pattern[end : end + 1] == b"*":
        end += 1
    is_alone = start == 0 or pattern[start - 1 : start] == b"/"
    if end - start < 2 or not is_alone:
        return (_STAR,), end
    if pattern[end : end + 1] == b"/":
        return (_FOLDERS,), end + 1
    if pattern[end : end + 2] == b"\\/":  # git sees the slash only later, so that there must be one
        return (_STAR, b"/", _FOLDERS), end + 2
    return ((_ALL,) if end == len(pattern) else (_STAR,)), end


def _bracket(pattern: bytes, start: int) -> tuple[bytes, int]:
    """An expression for the set whose bracket is at `start`, and where it ends."""
    at = start + 1
    is_negated = pattern[at : at + 1] in (b"!", b"^")
    at += is_negated
    alternatives, first, before = [], at, b""
    while (byte := pattern[at : at + 1]) != b"]" or at == first:
        if not byte:
            raise UnreadableError("a bracket is not closed")
        if byte == b"\\":
            at += 1
            before = _one(pattern, at)
            alternatives.append(re.escape(before))
        elif byte == b"-" and before and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 2 if pattern[at + 1 : at + 2] == b"\\" else 1
            if before <= (last := _one(pattern, at)):
                alternatives.append(b"[" + re.escape(before) + b"-" + re.escape(last) + b"]")
            before = b""
        elif pattern[at : at + 2] == b"[:" and (name := _class_name(pattern, at + 2)) is not None:
            if name not in _CLASSES:
                raise UnreadableError(f"there is no class {name!r}")
            alternatives.append(_CLASSES[name])
            at, before = at + len(name) + 3, b""
        else:
            before = byte
            alternatives.append(re.escape(byte))
        at += 1
    some = b"(?:" + b"|".join(alternatives) + b")"
    return (b"(?!/|" + some + b")." if is_negated else b"(?!/)" + some), at + 1


def _one(pattern: bytes, at: int) -> bytes:
    if at >= len(pattern):
        raise UnreadableError("a bracket is not closed")
    return pattern[at : at + 1]


def _class_name(pattern: bytes, start: int) -> bytes | None:
    """The name of the class that begins at `start`; None if it is none, but the characters of a set."""
    end = pattern.find(b"]", start)
    if end < 0:
        raise UnreadableError("a bracket is not closed")
    return pattern[start : end - 1] if end > start and pattern[end - 1 : end] == b":" else None
