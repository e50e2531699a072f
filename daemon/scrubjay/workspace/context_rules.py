"""What a project's `.scrubjay.toml` says of what prompts show beside the file that is edited.

[context]
always = ["src/types/"]     # patterns as in .gitignore
never = ["vendor/", "*.sql"]
only = "open"               # no file that is not open, but for those above; "file": nothing but the file that is edited
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from scrubjay.errors import RequestError
from scrubjay.workspace.ignore_rules import NO_RULES, IgnoreRules

FILE_NAME = ".scrubjay.toml"
MAX_CHARACTERS = 4096
"""A longer file would take the event loop too long to read."""
Only = Literal["", "open", "file"]
_LISTS = ("always", "never")


@dataclass(frozen=True, slots=True, eq=False)
class ContextRules:
    """What is shown beside the file that is edited: `never` is stronger than `only = "file"`, `always` than `only = "open"`.

    Args:
        text: what the file says. Rules with the same text are the same.
        only: "open" for no file that nobody has open, "file" for none at all.
        problem: a sentence about what is wrong in the file; the rules are those from before then.
    """

    text: str = ""
    always: IgnoreRules = NO_RULES
    never: IgnoreRules = NO_RULES
    only: Only = ""
    problem: str = ""

    def may_show(self, label: str, is_open: bool) -> bool:
        """Whether another file may be shown; `label` is its path below the root."""
        if self.only == "file" or _means(self.never, label):
            return False
        return is_open or not self.only or _means(self.always, label)

    def insists_on(self, label: str) -> bool:
        """Whether it is to be shown before others, if it may be shown at all."""
        return _means(self.always, label)


NO_CONTEXT_RULES = ContextRules()


def read_context_rules(text: str, before: ContextRules = NO_CONTEXT_RULES) -> ContextRules:
    """The rules of a file that says `text`; if it cannot be read, those from `before` with what is wrong."""
    if text == before.text:
        return before
    if not text:
        return NO_CONTEXT_RULES
    try:
        return replace(_read(text), text=text)
    except (tomllib.TOMLDecodeError, RecursionError, RequestError) as error:
        return replace(before, text=text, problem=f"{FILE_NAME} is not followed: {str(error).rstrip('.')}.")


def _read(text: str) -> ContextRules:
    if len(text) > MAX_CHARACTERS:
        raise RequestError(f"it is longer than {MAX_CHARACTERS} characters")
    document = tomllib.loads(text)
    table = document.pop("context", {})
    if document or not isinstance(table, dict):
        raise RequestError(f"it has one table, [context], and not {min(document, default='a value of that name')!r}")
    if unknown := table.keys() - {*_LISTS, "only"}:
        raise RequestError(f"[context] has no {min(unknown)!r}, but always, never and only")
    only = table.get("only", "")
    if only not in get_args(Only):
        raise RequestError(f'only is "open" or "file", not {only!r}')
    always, never = (NO_RULES.below("", "\n".join(_patterns(table, name))) for name in _LISTS)
    return ContextRules(always=always, never=never, only=only)


def _patterns(table: dict[str, Any], name: str) -> list[str]:
    patterns = table.get(name, [])
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise RequestError(f"{name} is a list of patterns, not {patterns!r}")
    return patterns


def _means(rules: IgnoreRules, label: str) -> bool:
    """Whether a pattern means the file, or a folder that it is in."""
    if not rules.patterns:
        return False
    return rules.ignores(label) or any(rules.ignores(folder, is_folder=True) for folder in _folders(label))


def _folders(label: str) -> Iterator[str]:
    """The folders that a file is in, the innermost first."""
    while label := label.rpartition("/")[0]:
        yield label
