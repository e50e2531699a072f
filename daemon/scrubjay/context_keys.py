"""Keys of contexts: the root of a project, or a name of the engine's for one that no project claims; and whose they are.

    /home/me/project   a project of this machine's user
    #3                 no project, this machine's user
    #4@colleagues      no project, the group `colleagues` of the keys in the configuration

What a context, a branch or a record holds is for its group alone, whose name is "" for this machine's user.
"""

from collections.abc import Mapping

UNNAMED = "#"
"""Begins the keys of contexts that no project claims."""
GUARANTEED = 0.5
"""Of a budget: this much is divided equally among the groups that have something in it."""


def unnamed_key(number: int, group: str) -> str:
    """The key of a context that no project claims."""
    return f"{UNNAMED}{number}@{group}" if group else f"{UNNAMED}{number}"


def group_of(key: str) -> str:
    """Whose the context, branch or record of that key is."""
    return key.partition("@")[2] if key.startswith(UNNAMED) else ""


def part_of(group: str, held: Mapping[str, int], budget: float) -> float:
    """What nobody takes from any of the groups that hold something of a `budget`, nor from `group`."""
    return GUARANTEED * budget / len({*held, group})


def is_inside(key: str, root: str) -> bool:
    """Whether `key` is `root`, or a folder in it."""
    return key == root or key.startswith(root.rstrip("/") + "/")
