"""The completions that were shown, found again at the same place or one typed along."""

from collections.abc import Hashable
from dataclasses import replace

import xxhash

from scrubjay.completion.cache import CompletionCache
from scrubjay.completion.requests import CompletionRequest, Item
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project
from scrubjay.workspace.text import Position


class CompletionHistory:
    """The completions that were shown, for the same question at the same place or one typed along with them.

    An edit of any other document of the project makes them another question's.
    """

    def __init__(self) -> None:
        self._cache = CompletionCache()
        # Texts of documents and their names: most documents are as they were at the last keystroke.
        self._known: dict[str, tuple[str, bytes]] = {}

    def find(self, request: CompletionRequest, project: Project, document: Document, offset: int) -> tuple[Item, ...]:
        """What is known for the place, best first; empty if nothing is."""
        text = document.text
        kept = self._cache.find(self._question(request, project, document), text[:offset], text[offset:])
        if kept is None:
            return ()
        left = (text for text in kept.texts if text.strip())
        return tuple(Item(text, "cached", 0, n_replaced=kept.n_replaced) for text in left)

    def put(
        self,
        request: CompletionRequest,
        project: Project,
        document: Document,
        offset: int,
        items: tuple[Item, ...],
    ) -> None:
        """Keep `items`, if they all replace the same."""
        text = document.text
        if len({item.n_replaced for item in items}) == 1:
            texts = tuple(item.text for item in items)
            question = self._question(request, project, document)
            self._cache.put(question, text[:offset], text[offset:], texts, items[0].n_replaced)

    def _question(self, request: CompletionRequest, project: Project, document: Document) -> Hashable:
        """All that a completion depends on but the text before and after the cursor."""
        nowhere = replace(request, uri="", position=Position(0, 0), version=None, client="", owner="")
        asked = replace(nowhere, t_max_prompt_ms=None, cold=False)
        return project.root, document.key, asked, self._others(project, document)

    def _others(self, project: Project, document: Document) -> bytes:
        """Names the texts of the project's other documents, in whatever order, and its tails."""
        known = self._known
        self._known = {key: _named(key, other.text, known.get(key)) for key, other in project.documents.items()}
        names = sorted(name for key, (_, name) in self._known.items() if key != document.key)
        tails = (_named(f"tail {tail.name}", tail.text, None)[1] for tail in project.tails.values())
        return xxhash.xxh3_128_digest(b"".join([*names, *tails]))


def _named(key: str, text: str, known: tuple[str, bytes] | None) -> tuple[str, bytes]:
    """`text` with what names it as that of the document `key`, which is `known` if the text is that very object."""
    if known is not None and known[0] is text:
        return known
    return text, xxhash.xxh3_128_digest(f"{key}\0{text}".encode(errors="surrogatepass"))
