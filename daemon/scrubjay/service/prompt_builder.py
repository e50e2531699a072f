"""Makes prompts: at once where little has to be tokenised, else in a thread beside the event loop.

The vocabulary and the token cache belong to that thread while it has work, and to the event loop while it has none, so
that a keystroke need not wait for a thread to wake up. What prompts are made of are copies: documents' texts are values,
so a copy of a project costs nothing worth mentioning.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scrubjay.completion.requests import CompletionRequest, RawRequest
from scrubjay.prompt.fim import FimTemplate, find_template
from scrubjay.prompt.fim_by_chat import chat_fim_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document

if TYPE_CHECKING:
    from scrubjay.llama.vocabulary import Vocabulary


T = TypeVar("T")
CACHE_BYTES = 64 << 20
MAX_AT_ONCE = 4096
"""Characters that may be tokenised in the event loop for one prompt: a few milliseconds."""


class PromptBuilder:
    """Opens the vocabulary of a model and makes prompts for it, one after the other. Called from the event loop."""

    def __init__(self, layout: LayoutName = "anchored", cache_bytes: int = CACHE_BYTES) -> None:
        self._layouts = Layouts(layout)
        self._cache_bytes = cache_bytes
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts")
        self._n_in_thread = 0
        self._vocabulary: Vocabulary | None = None
        self._cache: TokenCache | None = None
        self._streams = InfillHistory()
        # The texts of each project that were tokenised last, by document.
        self._seen: dict[str, dict[str, str]] = {}
        self.template: FimTemplate | None = None
        """The model's fill-in-the-middle tokens; None until the vocabulary is open."""
        self.asking: FimTemplate | None = None
        """How prompts for filling in are made: with those tokens, or without them by chatting."""

    def open(self, path: Path, name: str) -> "asyncio.Future[FimTemplate]":
        """Open the vocabulary of a file that the engine has accepted; `name` is the model's.

        Raises:
            ModelRefused: it cannot be read after all.
        """
        return self._in_thread(lambda: self._open(path, name))

    def make(
        self, view: ProjectView, limits: Limits, is_idle: bool = False, is_trial: bool = False
    ) -> "asyncio.Future[Prompt]":
        """The prompt for a completion at the place of `view`; the vocabulary must be open.

        Args:
            is_idle: nobody waits for it, so it may cost more than one that comes between two keystrokes.
            is_trial: nobody is at that place yet; see `Layouts.prompt`.

        Raises:
            EngineError: there is no room for it.
        """
        is_warm = self._n_cold(view) <= MAX_AT_ONCE
        self._seen[view.project.root] = {key: document.text for key, document in view.project.documents.items()}
        work = partial(self._make, view, limits, is_idle, is_trial)
        if is_warm and self._n_in_thread == 0:
            return _at_once(work)
        return self._in_thread(
            work if is_warm else partial(self._make_and_tokenize_ahead, view, limits, is_idle, is_trial)
        )

    def use(self, work: Callable[[PromptTools], T], n_characters: int, limits: Limits) -> "asyncio.Future[T]":
        """What `work` makes, which has about `n_characters` to tokenise; the vocabulary must be open."""
        is_quick = self._n_in_thread == 0 and n_characters <= MAX_AT_ONCE
        whole = partial(self._use, work, limits)
        return _at_once(whole) if is_quick else self._in_thread(whole)

    def template_for(self, request: CompletionRequest | RawRequest | None) -> FimTemplate | None:
        """The template of the prompts that `request` makes; None for those that follow none."""
        if isinstance(request, RawRequest):
            return self.asking if request.recipe.is_fim else None
        return self.asking

    async def close(self) -> None:
        """Free the vocabulary, when what is being made is made."""
        await self._in_thread(self._close)
        self._executor.shutdown()

    def _n_cold(self, view: ProjectView) -> int:
        """About how many characters have to be tokenised for a prompt."""
        seen = self._seen.get(view.project.root, {})
        changed = [document for key, document in view.project.documents.items() if seen.get(key) is not document.text]
        return sum(self._n_cold_in(document, is_known=document.key in seen) for document in changed)

    def _n_cold_in(self, document: Document, is_known: bool) -> int:
        if self._cache is None or not is_known:
            return len(document.text)
        pieces = self._cache.document(document.key, document.text).untokenized()
        return sum(len(piece.text) for piece, _ in pieces)

    def _in_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        self._n_in_thread += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(lambda _: self._left_thread())
        return future

    def _left_thread(self) -> None:
        self._n_in_thread -= 1

    def _open(self, path: Path, name: str) -> FimTemplate:
        # Not before it is needed: a daemon that loads its model should be there to say so.
        from scrubjay.llama.vocabulary import Vocabulary

        self._close()
        self._vocabulary = Vocabulary.open(path)
        self._cache = TokenCache(self._vocabulary.tokenize, self._cache_bytes)
        self.template = self.asking = find_template(self._vocabulary, name)
        if self.template.order == "plain":
            self.asking = chat_fim_template(self._vocabulary) or self.template
        return self.template

    def _make(self, view: ProjectView, limits: Limits, is_idle: bool, is_trial: bool) -> Prompt:
        if self.asking is None or self._cache is None:
            raise RuntimeError("a prompt was asked for before the vocabulary was open")
        place = (view.project, view.document, view.start)
        return self._layouts.prompt(LayoutInput(*place, self.asking, self._cache, limits, is_idle), is_trial)

    def _make_and_tokenize_ahead(self, view: ProjectView, limits: Limits, is_idle: bool, is_trial: bool) -> Prompt:
        """The prompt, and tokens also of what it does not show: else each key would go to the thread because of that."""
        prompt = self._make(view, limits, is_idle, is_trial)
        if self._cache is not None:
            self._cache.tokenize_ahead(self._cache.document(view.document.key, view.document.text).untokenized())
        return prompt

    def _use(self, work: Callable[[PromptTools], T], limits: Limits) -> T:
        if self._vocabulary is None or self.asking is None or self._cache is None:
            raise RuntimeError("a vocabulary was needed before it was open")
        return work(PromptTools(self._vocabulary, self.asking, self._cache, self._layouts, self._streams, limits))

    def _close(self) -> None:
        if self._vocabulary:
            self._vocabulary.close()
        self._vocabulary = self._cache = self.template = self.asking = None


def _at_once(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Do `work` here and now; a future all the same."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(work())
    except Exception as error:  # it is raised where the result is awaited
        future.set_exception(error)
    return future
