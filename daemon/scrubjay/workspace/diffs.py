"""What git says was changed: what is about to be committed, and what the branch has changed. For threads: it waits for git.

Nothing is in it that prompts do not show of a project: no secrets, no lists that programs write, nothing that
`.scrubjayignore` or `.scrubjay.toml` leave out.
"""

import os
from collections.abc import Collection

from scrubjay.code_text import fair_parts
from scrubjay.workspace.context_rules import NO_CONTEXT_RULES, ContextRules
from scrubjay.workspace.file_tree import rules_at
from scrubjay.workspace.git import Git, repository_top, work_folder
from scrubjay.workspace.listing import Listing
from scrubjay.workspace.roots import is_home_or_above

MESSAGE = "COMMIT_EDITMSG"
"""The file in which git has a message written."""
NAME = "staged.diff"
WORKING_NAME = "working.diff"
"""As prompts name the diffs."""
TRUNKS = ("origin/HEAD", "main", "master")
"""What a branch is compared with: where it left the first of these."""
SHARE = 4
"""A diff has one in this many of the bytes that prompts may have of files that are not open."""
MAX_FILES = 64


def is_commit_message(path: str | None) -> bool:
    """Whether the file at `path` is the message of a commit."""
    return path is not None and path.endswith(f"/{MESSAGE}")


def staged_diff(message: str, n_characters: int, open_paths: Collection[str] = (), shows_secrets: bool = False) -> str:
    """The diff of the commit whose message is in the file at `message`; "" if there is none to show.

    Args:
        message: a canonical path.
        n_characters: about how long it may be; where it is longer, each file's part is cut.
        open_paths: of files that somebody has open.
        shows_secrets: whether it may have files that usually hold keys or passwords.
    """
    git_folder = os.path.dirname(message)  # noqa: PTH120  # as git names it
    if (folder := work_folder(git_folder)) is None:
        return ""
    git, listing, rules = Git(), Listing(folder, shows_secrets=shows_secrets), rules_at(folder, NO_CONTEXT_RULES)
    index = _index(git_folder)
    shown = [
        name
        for name in git.list_staged(folder, index)
        if listing.lets_in(name) and rules.may_show(name, f"{folder}/{name}" in open_paths)
    ]
    return fair_parts(git.diff_staged(folder, shown[:MAX_FILES], index), n_characters) if shown else ""


def working_diff(listing: Listing, rules: ContextRules, n_characters: int) -> str:
    """What the branch has changed so far, committed or not, in the files that git knows below the listing's root; "" if nothing.

    Args:
        listing: of the project; it needs no scan.
        rules: with `only = "open"` nothing is shown but what is always to be.
        n_characters: about how long it may be; where it is longer, each file's part is cut.
    """
    git, root, top = Git(listing.is_cancelled), listing.root, repository_top(listing.root)
    if top is None or is_home_or_above(top) or not (base := git.fork_point(root, TRUNKS)):
        return ""
    names = git.list_changed(root, base)
    shown = [name for name in names if listing.lets_in(name) and rules.may_show(name, is_open=False)]
    return fair_parts(git.diff_changed(root, base, shown[:MAX_FILES]), n_characters) if shown else ""


def _index(git_folder: str) -> str:
    """The index that git makes the commit of: one of its own while the message for `commit --all` or some files is written."""
    try:
        names = sorted(entry.name for entry in os.scandir(git_folder) if entry.stat().st_size)
    except OSError:
        return ""
    own = [name for name in names if name.startswith("next-index-") and name.endswith(".lock")]
    found = own or [name for name in names if name == "index.lock"]
    return f"{git_folder}/{found[-1]}" if found else ""
