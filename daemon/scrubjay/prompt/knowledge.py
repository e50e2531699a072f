"""What is known of a project's files beside their tokens: made in threads, in idle time, and kept until they change."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from scrubjay.outline.grammars import outline_of
from scrubjay.outline.relevance import FileFacts, facts_of, relevance
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.parts import FileParts
from scrubjay.tokenizer.token_cache import Preparation
from scrubjay.tokens import Tokens
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

MIN_CHARACTERS = 4_096
"""A shorter file is shown whole or not at all."""
PARTS_SHARE = 6
"""A file has parts if it has more than one in this many of the tokens that a prompt may have."""
EDITED, OPEN, SHOWN, WANTED = 3.0, 1.0, 1.0, 1e6
"""Worth of a file, beside its relevance, that was edited last, is open, is shown already, is always to be shown."""
MIN_WORTH = 0.6
"""What is worth less is not shown, though there may be room: to read it would take time, and help nobody."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What is known of a file whose text is that of `parts`."""

    facts: FileFacts
    parts: FileParts


class Knowledge:
    """What is known of the files of one project.

    Attributes:
        facts, parts: by the key of the document; there are parts only of files that are not shown whole. New ones after
            each change.
    """

    def __init__(self) -> None:
        self.facts: Mapping[str, FileFacts] = {}
        self.parts: Mapping[str, FileParts] = {}
        self._known: dict[str, KnownFile] = {}

    def missing(self, project: Project, limits: Limits, tokenize: Callable[[str], Tokens]) -> list[Preparation]:
        """What has to be done before the present texts are known; `tokenize` is for any thread."""
        limit = min(limits.n_ctx - limits.reserve, limits.context_budget or limits.n_ctx) // PARTS_SHARE
        documents, found = project.documents, []
        if not self._known.keys() <= documents.keys():
            self._know({key: known for key, known in self._known.items() if key in documents})
        for key, document in documents.items():
            wanted = (document.text, tuple(project.history.places(key)), limit)
            if (known := self._known.get(key)) and (known.parts.text, known.parts.edited, known.parts.limit) == wanted:
                continue
            label = project.label(document)
            run = partial(_known_file, label, *wanted, tokenize)
            found.append(Preparation(("known", label, *wanted), len(document.text), run, partial(self._keep, key)))
        return found

    def _keep(self, key: str, new: KnownFile) -> None:
        old = self._known.get(key)
        self._know(self._known | {key: KnownFile(new.facts, new.parts.after(old.parts if old else None))})

    def _know(self, known: dict[str, KnownFile]) -> None:
        self._known = known
        self.facts = {key: one.facts for key, one in known.items()}
        self.parts = {key: one.parts for key, one in known.items() if not one.parts.is_whole}


def _known_file(
    label: str, text: str, edited: tuple[int, ...], limit: int, tokenize: Callable[[str], Tokens]
) -> KnownFile:
    outline = outline_of(label, text)
    facts = facts_of(label, text, outline)
    if len(text) <= MIN_CHARACTERS:
        return KnownFile(facts, FileParts.whole(text, edited, limit))
    return KnownFile(facts, FileParts.of(text, outline, edited, limit, tokenize))


def by_worth(
    project: Project, document: Document, facts: Mapping[str, FileFacts], shown: Collection[str]
) -> dict[str, float]:
    """What the other documents are worth that may be shown beside `document`, by key, the most worth last.

    Args:
        facts: by key; of documents that are not known yet there are none.
        shown: keys of those that the last prompt has shown: they stay unless others are worth clearly more.
    """
    recent = [other for other in reversed(project.by_recency()) if other.key != document.key and other.text]
    known = [other for other in recent if other.key in facts]
    # By the names of the whole file: what is shown is to stay while the cursor moves in it.
    current = facts[document.key]
    scores = relevance(current, current.names, [facts[other.key] for other in known])
    worth = {other.key: score for other, score in zip(known, scores, strict=True) if other.is_open or score > 0}
    edited = [other.key for other in recent if other.is_open and other.last_edit]
    for other in recent:
        is_wanted = project.rules.insists_on(project.label(other))
        if other.key not in worth and other.key in facts and not is_wanted:
            continue
        extra = OPEN * other.is_open + SHOWN * (other.key in shown) + WANTED * is_wanted
        extra += EDITED / (1 + edited.index(other.key)) if other.key in edited else 0.0
        worth[other.key] = worth.get(other.key, 0.0) + extra
    ranked = sorted(worth, key=lambda key: worth[key])
    # What somebody has just left comes first, whatever it has to do with this place.
    last = [key for key in ranked if key in edited[:1]]
    chosen = [*(key for key in ranked if worth[key] >= MIN_WORTH and key not in last), *last]
    return {key: worth[key] for key in chosen}
