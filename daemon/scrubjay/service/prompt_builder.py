"""Makes prompts: at once where little has to be tokenised, else after threads have tokenised what is new.

The token cache and the layouts belong to the event loop, so that a keystroke never waits for a thread. Threads do pure work:
they tokenise texts, of which the event loop then keeps the tokens, or make whole prompts that need nothing but the
vocabulary. What is long has a thread of its own, so that nobody's short text waits for another's long one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.fim import FimTemplate, PromptStyle, find_template, styled
from scrubjay.prompt.fim_by_chat import chat_fim_template
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptRecipe, PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import ModelInfo
from scrubjay.tokenizer.token_cache import Preparation, TokenCache

if TYPE_CHECKING:
    from scrubjay.llama.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

T = TypeVar("T")
Made = Prompt | ScrubjayError
"""What the making of a prompt comes to."""

CACHE_BYTES = 64 << 20
MAX_AT_ONCE = 4096
"""Characters that may be tokenised in the event loop for one prompt: a few milliseconds."""
MAX_SHORT = 1 << 16
"""Characters of a text that is tokenised beside other short ones: a tenth of a second."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A vocabulary, and how prompts for it are made: `model` with its own fill-in-the-middle tokens, `used` perhaps by chat."""

    vocabulary: "Vocabulary"
    model: FimTemplate
    used: FimTemplate
    cache: TokenCache


class PromptBuilder:
    """Opens the vocabulary of a model and makes prompts for it. Called from the event loop."""

    def __init__(
        self, layout: LayoutName = "anchored", cache_bytes: int = CACHE_BYTES, style: PromptStyle = "auto"
    ) -> None:
        self._style = style
        self._layouts = Layouts(layout)
        self._infill_histories: dict[str, InfillHistory] = {}
        self._cache_bytes = cache_bytes
        self._short = ThreadPoolExecutor(max_workers=1, thread_name_prefix="short-texts")
        self._long = ThreadPoolExecutor(max_workers=1, thread_name_prefix="long-texts")
        # By the name of the text: what a thread is tokenising, for all that wait for it.
        self._running: dict[Hashable, asyncio.Future[None]] = {}
        # What may still use the vocabulary.
        self._tasks: set[asyncio.Future[Any]] = set()
        self._opened: _Opened | None = None

    @property
    def model_template(self) -> FimTemplate | None:
        """The model's fill-in-the-middle tokens; None until the vocabulary is open."""
        return self._opened.model if self._opened else None

    @property
    def fim_template(self) -> FimTemplate | None:
        """How prompts for filling in are made: with those tokens, or without them by chatting."""
        return self._opened.used if self._opened else None

    def open_later(self, info: ModelInfo, report: Callable[[ScrubjayError | None], None]) -> None:
        """Open the vocabulary of a model that the engine has accepted; `report` hears of it, with the reason if it is refused."""
        self._keep(asyncio.create_task(self._open_and_report(info, report)))

    async def _open_and_report(self, info: ModelInfo, report: Callable[[ScrubjayError | None], None]) -> None:
        try:
            await self.open(Path(info.path), info.name)
        except ScrubjayError as error:
            report(error)
        else:
            report(None)

    async def open(self, path: Path, name: str) -> None:
        """Open the vocabulary of a file that the engine has accepted; `name` is the model's.

        Raises:
            ModelRefused: it cannot be read after all.
        """
        self._opened = await _in(self._long, partial(_open, path, name, self._cache_bytes, self._style))

    def make(
        self, recipe: PromptRecipe, limits: Limits, report: Callable[[Made], None], group: str = ""
    ) -> Made | None:
        """The prompt of `recipe`, if it can be made at once; else None, and `report` gets it later, in the event loop.

        What of clients' texts is remembered from before, it is of `group` alone.

        Whatever goes wrong is an error in the place of the prompt; nothing is raised. The vocabulary must be open.
        """
        return _outcome(partial(self._begin, recipe, limits, report, group))

    def use(self, work: Callable[[PromptTools], T], n_characters: int, limits: Limits) -> "asyncio.Future[T]":
        """What `work` makes of the vocabulary, with about `n_characters` to tokenise; the vocabulary must be open.

        It gets a token cache and layouts of its own.
        """
        # Never in the event loop: `work` may render a stranger's template.
        executor = None if n_characters <= MAX_SHORT else self._long
        tools = self._tools_for_thread(limits)
        future = _in(executor, lambda: work(tools))
        self._keep(future)
        return future

    def _keep(self, task: "asyncio.Future[Any]") -> None:
        """`task` may use the vocabulary until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, root: str) -> None:
        """The project at `root` is closed."""
        self._layouts.forget(root)

    async def close(self) -> None:
        """Free the vocabulary, when what is being made is made."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        for executor in (self._short, self._long):
            await asyncio.to_thread(executor.shutdown)
        if self._opened:
            self._opened.vocabulary.close()
        self._opened = None

    def _begin(self, recipe: PromptRecipe, limits: Limits, report: Callable[[Made], None], group: str) -> Prompt | None:
        """The prompt, or None if it is left to a task."""
        tools = self._tools(limits, group)
        preparations = recipe.preparations(tools)
        n_characters = recipe.n_characters if preparations is None else _n_characters(preparations)
        if n_characters <= MAX_AT_ONCE:
            return recipe.make(tools)
        making = (
            self._make_in_thread(recipe, limits)
            if preparations is None
            else self._prepare(recipe, limits, preparations, group)
        )
        task = asyncio.create_task(self._report(making, report))
        self._keep(task)
        return None

    async def _report(self, making: Coroutine[Any, Any, Prompt], report: Callable[[Made], None]) -> None:
        try:
            made: Made = await making
        except Exception as error:
            made = _error(error)
        report(made)

    async def _make_in_thread(self, recipe: PromptRecipe, limits: Limits) -> Prompt:
        executor = self._executor(recipe.n_characters)
        return await _in(executor, lambda: recipe.make(self._tools_for_thread(limits)))

    async def _prepare(
        self, recipe: PromptRecipe, limits: Limits, preparations: list[Preparation], group: str
    ) -> Prompt:
        for preparation in preparations:
            running = self._running.get(preparation.name)
            if running is None:
                running = asyncio.ensure_future(self._run(preparation))
                self._running[preparation.name] = running
            await running
        return recipe.make(self._tools(limits, group))

    async def _run(self, preparation: Preparation) -> None:
        try:
            preparation.keep(await _in(self._executor(preparation.n_characters), preparation.run))
        finally:
            del self._running[preparation.name]

    def _executor(self, n_characters: int) -> ThreadPoolExecutor:
        return self._short if n_characters <= MAX_SHORT else self._long

    def _tools(self, limits: Limits, group: str) -> PromptTools:
        opened = self._require_open()
        if (history := self._infill_histories.get(group)) is None:
            history = self._infill_histories[group] = InfillHistory(group)
        return PromptTools(opened.vocabulary, opened.used, opened.cache, self._layouts, history, limits)

    def _tools_for_thread(self, limits: Limits) -> PromptTools:
        """Tools that nothing else uses, so that a thread may."""
        opened = self._require_open()
        own = (opened.cache.empty(), Layouts("plain"), InfillHistory())
        return PromptTools(opened.vocabulary, opened.used, *own, limits)

    def _require_open(self) -> _Opened:
        if self._opened is None:
            raise RuntimeError("a vocabulary was needed before it was open")
        return self._opened


def _open(path: Path, name: str, cache_bytes: int, style: PromptStyle) -> _Opened:
    # Not before it is needed: a daemon that loads its model should be there to say so.
    from scrubjay.llama.vocabulary import Vocabulary

    vocabulary = Vocabulary.open(path)
    template = find_template(vocabulary, name)
    used = styled(template, style, partial(chat_fim_template, vocabulary))
    return _Opened(vocabulary, template, used, TokenCache(vocabulary.tokenize, cache_bytes))


def _n_characters(preparations: list[Preparation]) -> int:
    return sum(preparation.n_characters for preparation in preparations)


def _in(executor: ThreadPoolExecutor | None, work: Callable[[], T]) -> "asyncio.Future[T]":
    return asyncio.get_running_loop().run_in_executor(executor, work)


def _outcome(work: Callable[[], T]) -> T | ScrubjayError:
    """What `work` makes, or a sentence about why it cannot be made."""
    try:
        return work()
    except Exception as error:
        return _error(error)


def _error(error: Exception) -> ScrubjayError:
    if isinstance(error, ScrubjayError):
        return error
    logger.error("A prompt could not be made.", exc_info=error)
    return RequestError(f"The prompt could not be made: {error!r}; see the daemon's log.", 500)
