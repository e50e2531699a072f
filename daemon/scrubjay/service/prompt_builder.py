"""Makes prompts: at once where little has to be tokenised, else in a thread beside the event loop.

The vocabulary and the token cache belong to that thread while it has work, and to the event loop while it has none, so
that a keystroke need not wait for a thread to wake up. Recipes hold copies: documents' texts are values, so a copy of a
project costs next to nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.fim import FimTemplate, find_template
from scrubjay.prompt.fim_by_chat import chat_fim_template
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptRecipe, PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache

if TYPE_CHECKING:
    from scrubjay.llama.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

T = TypeVar("T")
Made = Prompt | ScrubjayError
"""What the making of a prompt comes to."""

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
        self._infill_history = InfillHistory()
        self.model_template: FimTemplate | None = None
        """The model's fill-in-the-middle tokens; None until the vocabulary is open."""
        self.fim_template: FimTemplate | None = None
        """How prompts for filling in are made: with those tokens, or without them by chatting."""

    async def open(self, path: Path, name: str) -> None:
        """Open the vocabulary of a file that the engine has accepted; `name` is the model's.

        Raises:
            ModelRefused: it cannot be read after all.
        """
        await self._in_thread(lambda: self._open(path, name))

    def make(self, recipe: PromptRecipe, limits: Limits, report: Callable[[Made], None]) -> Made | None:
        """The prompt of `recipe`, if it can be made at once; else None, and `report` gets it later, in the event loop.

        Whatever goes wrong is an error in the place of the prompt; nothing is raised. The vocabulary must be open.
        """
        if self._n_in_thread == 0:
            quick = _outcome(partial(self._make_if_quick, recipe, limits))
            if quick is not None:
                return quick
        future = self._in_thread(partial(_outcome, partial(self._make_with_rest, recipe, limits)))
        future.add_done_callback(lambda made: report(_shutting_down() if made.cancelled() else made.result()))
        return None

    def use(self, work: Callable[[PromptTools], T], n_characters: int, limits: Limits) -> "asyncio.Future[T]":
        """What `work` makes, which has about `n_characters` to tokenise; the vocabulary must be open."""

        def whole() -> T:
            return work(self._tools(limits))

        is_quick = self._n_in_thread == 0 and n_characters <= MAX_AT_ONCE
        return _at_once(whole) if is_quick else self._in_thread(whole)

    def forget(self, root: str) -> None:
        """The project at `root` is closed."""
        self._in_thread(lambda: self._layouts.forget(root))

    async def close(self) -> None:
        """Free the vocabulary, when what is being made is made."""
        await self._in_thread(self._close)
        self._executor.shutdown()

    def _make_if_quick(self, recipe: PromptRecipe, limits: Limits) -> Prompt | None:
        tools = self._tools(limits)
        return recipe.make(tools) if recipe.n_untokenized(tools) <= MAX_AT_ONCE else None

    def _make_with_rest(self, recipe: PromptRecipe, limits: Limits) -> Prompt:
        """The prompt, and tokens also of what it does not show: else each key would go to the thread because of that."""
        tools = self._tools(limits)
        prompt = recipe.make(tools)
        recipe.tokenize_rest(tools)
        return prompt

    def _in_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        self._n_in_thread += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(lambda _: self._left_thread())
        return future

    def _left_thread(self) -> None:
        self._n_in_thread -= 1

    def _open(self, path: Path, name: str) -> None:
        # Not before it is needed: a daemon that loads its model should be there to say so.
        from scrubjay.llama.vocabulary import Vocabulary

        self._close()
        self._vocabulary = Vocabulary.open(path)
        self._cache = TokenCache(self._vocabulary.tokenize, self._cache_bytes)
        template = find_template(self._vocabulary, name)
        by_chat = chat_fim_template(self._vocabulary) if template.order == "plain" else None
        self.model_template, self.fim_template = template, by_chat or template

    def _tools(self, limits: Limits) -> PromptTools:
        if self._vocabulary is None or self.fim_template is None or self._cache is None:
            raise RuntimeError("a vocabulary was needed before it was open")
        return PromptTools(
            self._vocabulary, self.fim_template, self._cache, self._layouts, self._infill_history, limits
        )

    def _close(self) -> None:
        if self._vocabulary:
            self._vocabulary.close()
        self._vocabulary = self._cache = self.model_template = self.fim_template = None


def _outcome(work: Callable[[], T]) -> T | ScrubjayError:
    """What `work` makes, or a sentence about why it cannot be made."""
    try:
        return work()
    except ScrubjayError as error:
        return error
    except Exception as error:
        logger.exception("A prompt could not be made.")
        return RequestError(f"The prompt could not be made: {error!r}; see the daemon's log.", 500)


def _at_once(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Do `work` here and now; a future all the same."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(work())
    except Exception as error:  # it is raised where the result is awaited
        future.set_exception(error)
    return future


def _shutting_down() -> RequestError:
    return RequestError("The daemon is shutting down.", 503)
