"""A user who edits texts, and asks what is next."""

from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.suggestions import Suggestion, Suggestions
from scrubjay.workspace.edit_history import PAUSE_S, EditHistory
from scrubjay.workspace.text import Replacement, Text

A, B = "/project/a.py", "/project/b.py"


class Session:
    """Open documents by their paths, their history, and what was suggested."""

    def __init__(self, text: str, **others: str) -> None:
        self.texts = {A: text, **{f"/project/{name.replace('_', '.')}": other for name, other in others.items()}}
        self.history = EditHistory()
        self.suggestions = Suggestions()
        self.now_s = 100.0

    def edit(self, old: str, new: str, *, nth: int = 0, path: str = A) -> None:
        """Replace the `nth` `old` of the document, as an edit of its own."""
        at = -1
        for _ in range(nth + 1):
            at = self.texts[path].index(old, at + 1)
        self.replace(path, at, at + len(old), new)

    def replace(self, path: str, start: int, end: int, new: str) -> None:
        change = Replacement(Text.of(self.texts[path]), start, end, new)
        self.now_s += PAUSE_S + 1
        self.history.record(path, [change], self.now_s)
        self.texts[path] = change.after().text
        self.now_s += 1

    def moment(self) -> Moment:
        edited = self.history.last.key if self.history.last else A
        paths = [edited, *(path for path in self.texts if path != edited)]
        texts = [OpenText(path, path, self.texts[path]) for path in paths]
        return Moment(self.history.current(), texts, taken_back=self.history.taken_back, now_s=self.now_s)

    def ask(self) -> Suggestion:
        return self.suggestions.suggest(self.moment())

    def proposal(self) -> NextEdit | None:
        suggested = self.ask().suggested
        return suggested.proposal if suggested else None

    def accept(self) -> str:
        """Make the next edit; the line as it is then."""
        suggested = self.ask().suggested
        assert suggested
        proposal = suggested.proposal
        line = proposal.lines(self.texts[proposal.key])[1]
        self.suggestions.ended(suggested.number, is_accepted=True)
        self.replace(proposal.key, proposal.start, proposal.end, proposal.new)
        return line

    def accept_all(self) -> list[str]:
        lines = []
        while self.ask().suggested:
            lines.append(self.accept())
        return lines
