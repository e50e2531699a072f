"""What a project's `.scrubjay.toml` says of what prompts show of it.

[context]
always = ["src/types/"]     # patterns as in .gitignore
never = ["vendor/", "*.sql"]
only = "open"               # no file that is not open; "file": nothing but the file that is edited
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from scrubjay.errors import RequestError
from scrubjay.workspace.ignore_rules import NO_RULES, IgnoreRules

FILE_NAME = ".scrubjay.toml"
Only = Literal["", "open", "file"]
_LISTS = ("always", "never")


@dataclass(frozen=True, slots=True)
class ContextRules:
    """What is shown besides the file that is edited.

    Args:
        only: "open" for no file that nobody has open, "file" for none at all.
        problem: a sentence about what is wrong in the file; the rules are those from before then.
    """

    always: IgnoreRules = NO_RULES
    never: IgnoreRules = NO_RULES
    only: Only = ""
    problem: str = ""

    def may_show(self, label: str, is_open: bool) -> bool:
        """Whether another file may be shown; `label` is its path below the root."""
        return self.only != "file" and (is_open or not self.only) and not _means(self.never, label)

    def insists_on(self, label: str) -> bool:
        """Whether it is to be shown whenever there is room."""
        return _means(self.always, label)


NO_CONTEXT_RULES = ContextRules()


def read_context_rules(text: str, before: ContextRules = NO_CONTEXT_RULES) -> ContextRules:
    """The rules of a file that says `text`; those from `before`, with what is wrong, if it cannot be read."""
    if not text:
        return NO_CONTEXT_RULES
    try:
        return _read(text)
    except (tomllib.TOMLDecodeError, RequestError) as error:
        return replace(before, problem=f"{FILE_NAME} is not followed: {str(error).rstrip('.')}.")


def _read(text: str) -> ContextRules:
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
    return ContextRules(always, never, only)


def _patterns(table: dict[str, Any], name: str) -> list[str]:
    patterns = table.get(name, [])
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise RequestError(f"{name} is a list of patterns, not {patterns!r}")
    return patterns


def _means(rules: IgnoreRules, label: str) -> bool:
    """Whether a pattern means the file, or a folder that it is in."""
    if not rules.patterns:
        return False
    folders = [str(folder) for folder in PurePosixPath(label).parents][:-1]
    return rules.ignores(label) or any(rules.ignores(folder, is_folder=True) for folder in folders)
