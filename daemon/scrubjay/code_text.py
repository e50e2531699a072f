"""What completion rules and layouts ask of source text: brackets, indentation, comments, languages, diffs, similarity.

Every function takes time that grows no faster than its texts: they run on the event loop, on texts of strangers.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

_BRACKETS = {")": "(", "]": "[", "}": "{"}
_WORD = re.compile(r"\w")
_NOT_BRACKETS = re.compile(r"[^()\[\]{}]+")
_QUOTE_OR_LINE_END = re.compile("[\"'\n]")
_STRING_CONTENT = {quote: re.compile(rf"[^{quote}\\\n]*(?:\\.[^{quote}\\\n]*)*") for quote in "\"'"}
MAX_SIMILAR_CHARACTERS = 256
"""Longer lines are similar only if they are equal: the cost of a comparison grows with the square of what may differ."""
MAX_OVERLAP_CHARACTERS = 400


# --- beginnings and ends ---------------------------------------------------------------------------------------------


def common_prefix_length(a: str, b: str) -> int:
    """Number of leading characters that the two share."""
    low, high = 0, min(len(a), len(b))
    # Slices are compared much faster than characters, and each comparison halves what is left.
    while low < high:
        middle = (low + high + 1) // 2
        if a.startswith(b[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix_length(a: str, b: str) -> int:
    """Number of trailing characters that the two share."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a.endswith(b[len(b) - middle : len(b) - low], 0, len(a) - low):
            low = middle
        else:
            high = middle - 1
    return low


def common_ends(a: str, b: str) -> tuple[int, int]:
    """Numbers of leading and of trailing characters that the two share; no character counts as both."""
    n_first = common_prefix_length(a, b)
    return n_first, common_suffix_length(a[n_first:], b[n_first:])


def overlap(a: str, b: str, longest: int = MAX_OVERLAP_CHARACTERS) -> int:
    """Length of the longest end of `a` that is a beginning of `b`, looked for up to `longest`."""
    return next(overlaps(a, b, longest), 0)


def overlaps(a: Sequence[str], b: Sequence[str], longest: int) -> Iterator[int]:
    """The lengths of all ends of `a` that are beginnings of `b`, up to `longest`; the greatest first, 0 not among them."""
    # Knuth, Morris, Pratt: shorter[n] is the length of the longest proper end of b[:n] that is a beginning of b.
    longest = min(len(a), len(b), longest)
    shorter = [0] * (longest + 1)
    n = 0
    for index in range(1, longest):
        while n and b[index] != b[n]:
            n = shorter[n]
        n += b[index] == b[n]
        shorter[index + 1] = n
    n = 0
    for item in a[len(a) - longest :]:  # as many as `longest`, so that only the last one can complete a match
        while n and item != b[n]:
            n = shorter[n]
        n += item == b[n]
    while n:
        yield n
        n = shorter[n]


# --- lines -----------------------------------------------------------------------------------------------------------


def indent_of(line: str) -> str:
    """The spaces and tabs with which `line` begins."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def without_indent(text: str, indent: str) -> str:
    """`text`, which was written from the start of a line, for a place after `indent` in it; "" if it is all blank.

    With less indentation it goes on after what is there all the same: it is not for a completion to take that away.
    """
    written = indent_of(text)
    if written == text:
        return ""
    return text[len(indent if written.startswith(indent) else written) :]


def without_closers(text: str, closers: str) -> str:
    """`text` for a place before `closers`, without these at its end, if it is one line and they close nothing of its own."""
    line = text.rstrip()
    if not closers or "\n" in text or not line.endswith(closers):
        return text
    at = len(line) - len(closers)
    closes_own = closers[0] in _BRACKETS and at not in unmatched_closers(without_literals(line), [])
    return text if closes_own else line[:at]


def has_words(text: str) -> bool:
    """Whether `text` is more than closers and spaces, which editors insert after the cursor by themselves."""
    return _WORD.search(text) is not None


def is_only_brackets(line: str) -> bool:
    """Whether `line` has nothing but brackets and punctuation, so that two such lines are alike by chance."""
    return not any(character.isalnum() or character in "_\"'" for character in line)


def is_similar(a: str, b: str, share: float) -> bool:
    """Whether at most `share` of the longer one's characters have to be edited to make `a` into `b`.

    Of more than `MAX_SIMILAR_CHARACTERS` none may.
    """
    length = max(len(a), len(b))
    if a == b or length > MAX_SIMILAR_CHARACTERS:
        return a == b
    limit = int(length * share)
    return abs(len(a) - len(b)) <= limit and is_within(a, b, limit)


def is_within(a: str, b: str, limit: int) -> bool:
    """Whether the Levenshtein distance of `a` and `b` is at most `limit`."""
    # Ukkonen: for 0, 1, 2, ... edits, how far into `a` one gets on each diagonal (place in `b` minus place in `a`). That
    # takes limit² steps, whatever the length; most lines are told apart by a few of them.
    goal, far = len(b) - len(a), -len(a) - len(b)
    reached: dict[int, int] = {}
    for n_edits in range(limit + 1):
        before, reached = reached, {}
        for diagonal in range(-n_edits, n_edits + 1):
            at = (
                max(before.get(diagonal, far) + 1, before.get(diagonal - 1, far), before.get(diagonal + 1, far) + 1)
                if n_edits
                else 0
            )
            at = min(at, len(a), len(b) - diagonal)
            if at < 0 or at + diagonal < 0:
                continue
            reached[diagonal] = at + common_prefix_length(a[at:], b[at + diagonal :])
        if reached.get(goal, far) >= len(a):
            return True
    return False


# --- brackets and strings --------------------------------------------------------------------------------------------


def open_brackets(text: str) -> list[str]:
    """The brackets that `text` opens and does not close; a closer that fits none is passed over."""
    opened: list[str] = []
    for bracket in _NOT_BRACKETS.sub("", text):
        if bracket not in _BRACKETS:
            opened.append(bracket)
        elif opened and opened[-1] == _BRACKETS[bracket]:
            opened.pop()
    return opened


def unmatched_closers(text: str, opened: list[str]) -> list[int]:
    """Where in `text` brackets are closed that neither `opened` nor `text` itself has opened."""
    opened, n_open = list(opened), Counter(opened)
    found = []
    for index, character in enumerate(text):
        if character in "([{":
            opened.append(character)
            n_open[character] += 1
        elif opener := _BRACKETS.get(character):
            if opened and opened[-1] == opener:
                n_open[opened.pop()] -= 1
            elif not n_open[opener]:
                found.append(index)
    return found


def without_literals(text: str) -> str:
    """`text` with spaces for strings that begin and end in a line, so that every offset stays."""
    parts: list[str] = []
    done = at = 0
    unclosed: set[str] = set()
    while match := _QUOTE_OR_LINE_END.search(text, at):
        quote, at = match[0], match.end()
        if quote == "\n":
            unclosed.clear()
        elif quote not in unclosed:
            end = _STRING_CONTENT[quote].match(text, at).end()  # type: ignore[union-attr]  # it matches "" as well
            if text.startswith(quote, end):
                parts += text[done : match.start()], " " * (end + 1 - match.start())
                done = at = end + 1
            else:
                # No later quote of this kind in the line closes either: each of them was escaped.
                unclosed.add(quote)
    return "".join([*parts, text[done:]]) if parts else text


# --- comments --------------------------------------------------------------------------------------------------------

_MARKERS = {
    "#": "python ruby shellscript sh bash yaml toml makefile perl r",
    "//": "c cpp csharp go java javascript typescript rust swift kotlin javascriptreact typescriptreact php scala dart zig"
    " objective-c",
    "--": "lua sql haskell elm ada",
    ";": "lisp emacs-lisp clojure scheme commonlisp",
    "%": "latex tex matlab erlang",
}
"""What begins a comment that ends with its line, by the languages' identifiers."""
_BY_LANGUAGE = {language: marker for marker, languages in _MARKERS.items() for language in languages.split()}
_SUFFIXES = {
    "python": ".py .pyi .pyw",
    "ruby": ".rb .rake",
    "shellscript": ".sh .bash",
    "yaml": ".yaml .yml",
    "toml": ".toml",
    "perl": ".pl",
    "r": ".r",
    "c": ".c .h",
    "cpp": ".cc .cpp .cxx .hpp .hh",
    "csharp": ".cs",
    "go": ".go",
    "java": ".java",
    "javascript": ".js .mjs .cjs",
    "javascriptreact": ".jsx",
    "typescript": ".ts .mts .cts",
    "typescriptreact": ".tsx",
    "kotlin": ".kt",
    "php": ".php",
    "rust": ".rs",
    "scala": ".scala",
    "swift": ".swift",
    "zig": ".zig",
    "dart": ".dart",
    "objective-c": ".m",
    "lua": ".lua",
    "sql": ".sql",
    "haskell": ".hs",
    "elm": ".elm",
    "ada": ".ada .adb .ads",
    "emacs-lisp": ".el",
    "lisp": ".lisp",
    "clojure": ".clj",
    "scheme": ".scm",
    "latex": ".tex",
    "erlang": ".erl",
    "markdown": ".md",
}
_BY_SUFFIX = {suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def language_of(path: str) -> str:
    """The identifier of the language in which the file at `path` is, as its name says; "" if that says nothing."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "")


def comment_marker(language: str) -> str | None:
    """What begins a comment in that language; None if it is not known."""
    return _BY_LANGUAGE.get(language)


def comment_marker_for(path: str) -> str:
    """What begins a line that is a comment in the file at `path`: as its suffix says, else `#`."""
    marker = comment_marker(language_of(path)) or "#"
    return ";;" if marker == ";" else marker  # in Lisp, one is for comments after code


# --- diffs -----------------------------------------------------------------------------------------------------------

_FILE = "diff --git "
_OMITTED = "...\n"


def without_file(diff: str, name: str) -> str:
    """`diff` without the part about the file `name`."""
    return (
        "".join(file for file in _files_of(diff) if not file.startswith(f"{_FILE}a/{name} b/{name}\n")) if diff else ""
    )


def fair_parts(diff: str, n_characters: int) -> str:
    """`diff` with as much of each file as there is room for: the room is shared, and what one does not need others have."""
    files = [*_files_of(diff)]
    left, shares = n_characters, dict[int, int]()
    for n_done, (length, number) in enumerate(sorted((len(file), number) for number, file in enumerate(files))):
        shares[number] = min(length, left // (len(files) - n_done))
        left -= shares[number]
    return "".join(_cut(file, shares[number]) for number, file in enumerate(files))


def _files_of(diff: str) -> Iterator[str]:
    first, *others = diff.split(f"\n{_FILE}")
    lines = [first, *(f"{_FILE}{other}" for other in others)]
    yield from (f"{file}\n" if number < len(others) else file for number, file in enumerate(lines))


def _cut(file: str, n_characters: int) -> str:
    """The whole lines at the beginning of `file` that fit."""
    if len(file) <= n_characters:
        return file
    end = file.rfind("\n", 0, max(n_characters - len(_OMITTED), 0)) + 1
    return file[:end] + _OMITTED if end else ""
