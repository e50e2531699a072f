"""One session for every editor: ten completions are shown, and it is known what becomes of each."""

from typing import Any

from tests.support.shared_daemon import Daemon

ROUNDS = ["accepted"] * 4 + ["in part"] * 2 + ["typed out"] * 2 + ["rejected"] * 2
BY_HAND = {"shown": 10, "accepted": 4, "accepted_in_part": 2, "typed_out": 2, "rejected": 2, "pending": 0}
"""What a hand counts of that."""


def counted(status: dict[str, Any], root: object) -> dict[str, int]:
    """What the daemon with that status has counted in a project, in all languages."""
    rows = [row for row in status["acceptance"] if row["root"] == str(root)]
    return {name: sum(row[name] for row in rows) for name in BY_HAND}


def when_decided(daemon: Daemon, root: object, n: int) -> dict[str, int] | None:
    """What was counted, once so many were shown and none is pending any more."""
    counts = counted(daemon.client.get("status"), root)
    return counts if counts["shown"] >= n and not counts["pending"] else None


def first_word(text: str) -> str:
    """The beginning of `text` with two characters that are seen, and not all of it."""
    return next(text[:n] for n in range(len(text)) if len("".join(text[:n].split())) >= 2)
