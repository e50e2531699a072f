"""The completions that were shown, found again when the user types along with them, accepts a part, or comes back.

A completion belongs to the text before and after the cursor where it was asked for. It serves a later place too if the
text after the cursor is the same and the text before has only grown by what the completion begins with.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import xxhash

from scrubjay.completion.requests import CompletionRequest, Item
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project
from scrubjay.workspace.text import Position

MAX_TYPED_CHARACTERS = 128
"""How many characters may have been typed or accepted since."""
FINGERPRINT_CHARACTERS = 32
"""Characters before the cursor that are compared before the whole text is looked at."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Completions for a place, the best first.

    Args:
        n_prefix: number of characters before the cursor.
        ending: the last of them.
        digest: the name of all of them.
        n_replaced: how many characters right of the cursor the completions replace.
    """

    n_prefix: int
    ending: str
    digest: bytes
    texts: tuple[str, ...]
    n_replaced: int = 0


class CompletionCache:
    """The last `max_entries` sets of completions, those not used for longest forgotten first."""

    def __init__(self, max_entries: int = 256) -> None:
        self._max_entries = max_entries
        # By document and request, and by the text after the cursor, its length first: then by the text before it.
        # The least used is first. Not an OrderedDict: to go through that, all names are hashed again.
        self._entries: dict[tuple[Hashable, int, bytes, bytes], Kept] = {}

    def put(self, key: Hashable, prefix: str, suffix: str, texts: tuple[str, ...], n_replaced: int = 0) -> None:
        """Keep `texts` for the place between `prefix` and `suffix`; `key` names the document and what was asked for."""
        digest = _digest(prefix)
        name = (key, len(suffix), _digest(suffix), digest)
        self._entries.pop(name, None)
        self._entries[name] = Kept(len(prefix), prefix[-FINGERPRINT_CHARACTERS:], digest, texts, n_replaced)
        if len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]

    def find(self, key: Hashable, prefix: str, suffix: str) -> Kept | None:
        """What is left of completions that this place agrees with, those with the fewest characters typed since first.

        A completion that was typed or accepted to its end is none any more.
        """
        for name, kept in sorted(self._candidates(prefix, suffix), key=lambda item: -item[1].n_prefix):
            typed = prefix[kept.n_prefix :]
            left = tuple(text[len(typed) :] for text in kept.texts if text.startswith(typed) and text != typed)
            # Questions and whole texts are compared only where all else agrees: each key before this one has left an entry.
            is_same = left and name[0] == key and _digest(suffix) == name[2]
            if is_same and _digest(prefix[: kept.n_prefix]) == kept.digest:
                self._entries[name] = self._entries.pop(name)
                return Kept(len(prefix), prefix[-FINGERPRINT_CHARACTERS:], b"", left, kept.n_replaced)
        return None

    def _candidates(self, prefix: str, suffix: str) -> Iterator[tuple[tuple[Hashable, int, bytes, bytes], Kept]]:
        """Entries that may be for a place like this one, whatever their questions."""
        n_prefix, n_suffix = len(prefix), len(suffix)
        for name, kept in self._entries.items():
            if (
                0 <= n_prefix - kept.n_prefix <= MAX_TYPED_CHARACTERS
                and name[1] == n_suffix
                and prefix.endswith(kept.ending, 0, kept.n_prefix)
            ):
                yield name, kept


@dataclass(frozen=True, slots=True)
class KnownCompletions:
    """The completions that are known for one question at one place."""

    _cache: CompletionCache
    _question: Hashable
    _prefix: str
    _suffix: str

    def find(self) -> tuple[Item, ...]:
        """What is known, best first; empty if nothing is."""
        kept = self._cache.find(self._question, self._prefix, self._suffix)
        if kept is None:
            return ()
        left = (text for text in kept.texts if text.strip())
        return tuple(Item(text, "cached", 0, n_replaced=kept.n_replaced) for text in left)

    def put(self, items: tuple[Item, ...]) -> None:
        """Keep `items`, if they all replace the same."""
        if len({item.n_replaced for item in items}) == 1:
            texts = tuple(item.text for item in items)
            self._cache.put(self._question, self._prefix, self._suffix, texts, items[0].n_replaced)


class CompletionHistory:
    """The completions that were shown, for the same question at the same place or one typed along with them.

    An edit of any other document of the project makes them another question's.
    """

    def __init__(self) -> None:
        self._cache = CompletionCache()
        # Texts of documents and their names: most documents are as they were at the last keystroke.
        self._known: dict[str, tuple[str, bytes]] = {}

    def at(self, request: CompletionRequest, project: Project, document: Document, offset: int) -> "KnownCompletions":
        """What is known of the answer to `request`, at `offset` of `document`."""
        text = document.text
        return KnownCompletions(self._cache, self._question(request, project, document), text[:offset], text[offset:])

    def _question(self, request: CompletionRequest, project: Project, document: Document) -> Hashable:
        """All that a completion depends on but the text before and after the cursor."""
        nowhere = replace(request, uri="", position=Position(0, 0), version=None, client="", owner="")
        asked = replace(nowhere, t_max_prompt_ms=None, cold=False)
        return project.root, project.rules, document.key, asked, self._others(project, document)

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


def _digest(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode(errors="surrogatepass"))
