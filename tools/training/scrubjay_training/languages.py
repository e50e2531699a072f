"""The languages that are learned: by what their files are known, how often they are drawn, how a block of theirs opens."""

import re
from pathlib import PurePosixPath
from typing import Literal

Language = Literal["python", "javascript", "typescript", "c", "go"]

SHARES: dict[Language, float] = {"python": 0.6, "javascript": 0.1, "typescript": 0.1, "c": 0.1, "go": 0.1}
"""Of the examples that a training draws; a language of which there is no file leaves its share to the others."""
MOST_TIMES = 4
"""So many times what its files are of all is a language's share at most: little is soon known by heart, and learned in vain."""

_BY_SUFFIX: dict[str, Language] = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".c": "c",
    ".h": "c",
    ".go": "go",
}
_PYTHON_OPENER = re.compile(r"\s*(def|class|if|for|while|with|else|elif|try|except|async)\b.*:\s*$")
_BRACE_OPENER = re.compile(r"\s*\S.*\{\s*$")


def language_of(path: str) -> Language | None:
    """The language of a file by its name, None if it is none of those learned."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix)


def opener_of(path: str) -> re.Pattern[str]:
    """What matches a line behind which an indented block begins, in the language of that path."""
    return _PYTHON_OPENER if language_of(path) in {"python", None} else _BRACE_OPENER
