"""Lines of other files that look like those around the cursor: what is written there is often about to be written here.

Of all that a prompt can show of other files this is worth most; docs/benchmark.md has the figures.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.segments import Segment, part_tokens
from scrubjay.tokenizer.token_cache import Preparation, TokenCache
from scrubjay.tokens import Tokens
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

LINES_BEFORE, LINES_AFTER = 16, 4
"""What a place looks like: the words of so many lines before it, and after it."""
WINDOW_LINES = 20
STEP_LINES = 5
NEXT_LINES = 12
"""So many lines are shown after those that look alike: they may be what is wanted here."""
MIN_ALIKE = 0.15
MAX_EXCERPTS = 2
MAX_CHARACTERS = 400_000
"""In longer files nothing is looked for."""
REASON = "lines that look like those around the cursor, and what comes after them"
_WORD = re.compile(r"[^\W\d]\w{2,63}")


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The words of overlapping stretches of a text: `words[n]` are those of the lines from `n * STEP_LINES` on."""

    text: str
    words: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, text: str) -> "Windows":
        """For threads."""
        of_lines = [words_in(line) for line in text.split("\n")]
        starts = range(0, max(len(of_lines) - WINDOW_LINES // 2, 1), STEP_LINES)
        return cls(text, tuple(frozenset().union(*of_lines[start : start + WINDOW_LINES]) for start in starts))


class KnownWindows:
    """The windows of a project's files, as they were when there was time to look for them.

    Attributes:
        by_key: by the key of the document. A new one after each change.
    """

    def __init__(self) -> None:
        self.by_key: Mapping[str, Windows] = {}

    def missing(self, project: Project) -> list[Preparation]:
        """What has to be done before they are those of the present texts."""
        documents = project.documents
        if not self.by_key.keys() <= documents.keys():
            self.by_key = {key: one for key, one in self.by_key.items() if key in documents}
        return [
            Preparation(
                ("windows", key, one.text), len(one.text), partial(Windows.of, one.text), partial(self._keep, key)
            )
            for key, one in documents.items()
            if len(one.text) <= MAX_CHARACTERS and ((known := self.by_key.get(key)) is None or known.text != one.text)
        ]

    def _keep(self, key: str, windows: Windows) -> None:
        self.by_key = {**self.by_key, key: windows}


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """Lines of another file as a prompt shows them.

    Args:
        key: the document's key.
        tokens: its path, and the lines.
        source: the text of the whole file.
        words: those of the lines that look like the place.
    """

    key: str
    label: str
    text: str
    tokens: Tokens
    source: str
    words: frozenset[str]

    def is_true(self, documents: Mapping[str, Document]) -> bool:
        """Whether the file still has these lines."""
        document = documents.get(self.key)
        return document is not None and (document.text is self.source or self.text in document.text)

    @property
    def segment(self) -> Segment:
        return Segment("file", self.label, (self.tokens,), reason=REASON)


def words_in(text: str) -> frozenset[str]:
    """What of a text is compared."""
    return frozenset(_WORD.findall(text))


def words_around(document: Document, offset: int) -> frozenset[str]:
    """What lines of other files are compared with."""
    content = document.content
    line = content.line_at(offset)
    start, end = content.line_start(max(line - LINES_BEFORE, 0)), content.line_start(line + LINES_AFTER)
    return words_in(document.text[start:end])


def similarity(words: frozenset[str], others: frozenset[str]) -> float:
    """How many of all words both have (Jaccard): 0 to 1."""
    n_common = len(words & others)
    return n_common / (len(words) + len(others) - n_common) if n_common else 0.0


def similar_excerpts(
    wanted: frozenset[str],
    candidates: Sequence[Document],
    known: Mapping[str, Windows],
    make: Callable[[Document, int, frozenset[str]], Excerpt],
    limit: int,
) -> tuple[Excerpt, ...]:
    """The lines of `candidates` that have most in common with the `wanted` words, the most similar last.

    Args:
        known: windows of documents; those of older texts are not looked at.
        make: an excerpt of a document, from a line on.
        limit: tokens of all together.
    """
    ranked = sorted(_ranked(wanted, candidates, known), key=lambda found: -found[0])
    chosen: list[Excerpt] = []
    shown: list[tuple[str, int]] = []
    for _, document, number in ranked:
        start = number * STEP_LINES
        if any(key == document.key and abs(start - line) < WINDOW_LINES + NEXT_LINES for key, line in shown):
            continue
        excerpt = make(document, start, known[document.key].words[number])
        limit -= len(excerpt.tokens)
        if limit < 0:
            break
        chosen.append(excerpt)
        shown.append((document.key, start))
        if len(chosen) == MAX_EXCERPTS:
            break
    return tuple(reversed(chosen))


def excerpt_of(
    project: Project,
    template: FimTemplate,
    token_cache: TokenCache,
    document: Document,
    line: int,
    words: frozenset[str],
) -> Excerpt:
    """The lines of `document` from `line` on, as prompts of `project` show them."""
    content, label = document.content, project.label(document)
    text = document.text[content.line_start(line) : content.line_start(line + WINDOW_LINES + NEXT_LINES)]
    parts = (*template.header(label), text if text.endswith("\n") else f"{text}\n")
    return Excerpt(document.key, label, text, part_tokens(parts, token_cache), document.text, words)


def _ranked(
    wanted: frozenset[str], candidates: Sequence[Document], known: Mapping[str, Windows]
) -> Iterator[tuple[float, Document, int]]:
    for document in candidates:
        windows = known.get(document.key)
        if windows is None or windows.text != document.text:
            continue
        for number, words in enumerate(windows.words):
            if (alike := similarity(words, wanted)) >= MIN_ALIKE:
                yield alike, document, number
