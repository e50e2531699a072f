"""How many machines a team needs: editing traces of many users against servers that cache blocks of tokens.

    python -m tests.benchmarks.scale [--users 10 100 1000] [--cache-tokens N] [--prefill-speed N] [--decode-speed N]

Users type, pause, jump and change files, each in a project of Python's library. At each key a client asks, with one of three
layouts: Scrubjay's; llama.vim's, whose prefix is the 256 lines above the cursor; and a window of 12,000 characters, as minuet's.
Each server keeps the least recently used blocks out, as vLLM does for dense models, and has a prompt's leading blocks for
nothing. Requests go to the server that has the user's session (affinity), or to any. No model is run: what is counted is tokens.
"""

import argparse
import asyncio
import email
import inspect
import json
import math
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import merge
from pathlib import Path
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.starter import model_path
from scrubjay.tokens import EMPTY, Tokens, common_length
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position
from tests.support.prompts import making

BLOCK = 16
ROOT = "/project"
LIMITS = Limits(n_ctx=8192, reserve=512, window=2048)
N_FILES = 6
N_TRACES = 16
"""Users beyond that do the same as others, in projects of their own."""
LINES_ABOVE, LINES_BELOW = 256, 64
"""What llama.vim shows of the current file."""
CHUNK_LINES, MAX_CHUNKS = 64, 16
"""Its ring of what the user has looked at."""
CHARACTERS_ABOVE, CHARACTERS_BELOW = 12_000, 4_000
"""What minuet shows."""
KEY_S, PAUSE_S, THOUGHT_S = 0.25, 1.5, 12.0
LINES = (
    "    value = compute(self.items, default=None)",
    "    if not ready: return None",
    "    for name, entry in sorted(found.items()):",
    "    # what the caller wants is decided there",
)
N_GENERATED = 24
"""Tokens of a completion."""
LAYOUTS = ("scrubjay", "lines", "characters")
MAX_BUSY = 0.5
"""More load than that makes requests wait for one another."""
MAX_USERS = 100
"""More are never tried on one server."""
Tokenize = Callable[[str], Tokens]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: seconds since the trace began, the names of the prompt's whole blocks, and its length in tokens."""

    at: float
    blocks: tuple[int, ...]
    n_tokens: int


# --- servers ---------------------------------------------------------------------------------------------------------


class Server:
    """A prefix cache of so many blocks; what was used least recently goes, the ends of prompts before their beginnings."""

    def __init__(self, n_blocks: int) -> None:
        self._n_blocks = n_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def serve(self, ask: Ask, salt: int = 0) -> int:
        """How many tokens of the prompt had to be processed: at least the last. `salt` keeps users apart."""
        names = [block ^ salt for block in ask.blocks]
        n_hits = next((n for n, name in enumerate(names) if name not in self._blocks), len(names))
        for name in reversed(names):
            self._blocks[name] = None
            self._blocks.move_to_end(name)
        while len(self._blocks) > self._n_blocks:
            self._blocks.popitem(last=False)
        return ask.n_tokens - min(n_hits * BLOCK, ask.n_tokens - 1)


def block_names(tokens: Tokens, before: tuple[Tokens, tuple[int, ...]] = (EMPTY, ())) -> tuple[int, ...]:
    """A name for each whole block, which stands for all tokens up to its end; `before` are other tokens and their names."""
    n_known = common_length(before[0], tokens) // BLOCK
    names = list(before[1][:n_known])
    for start in range(len(names) * BLOCK, len(tokens) - BLOCK + 1, BLOCK):
        names.append(hash((names[-1] if names else 0, tokens[start : start + BLOCK].tobytes())))
    return tuple(names)


# --- users -----------------------------------------------------------------------------------------------------------


class User:
    """Somebody at work on some files: `texts` by name, the cursor in one of them, and what was looked at."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        folders = (Path(email.__file__).parent, Path(json.__file__).parent, Path(asyncio.__file__).parent)
        paths = sorted(
            path for folder in folders for path in folder.glob("*.py") if 4_000 < path.stat().st_size < 40_000
        )
        self.texts = {path.name: path.read_text("utf-8") for path in self.random.sample(paths, N_FILES)}
        self.chunks: deque[str] = deque(maxlen=MAX_CHUNKS)
        self.name, self.offset, self.at = "", 0, 0.0
        self.changed = Change("", Position(0, 0), Position(0, 0))
        self.jump()

    def jump(self) -> None:
        """Go to the end of some line, often in the same file."""
        if not self.name or self.random.random() < 0.4:
            self.name = self.random.choice(sorted(self.texts))
        ends = [at for at, c in enumerate(self.texts[self.name]) if c == "\n"]
        self.offset = self.random.choice(ends)
        lines = self.texts[self.name].split("\n")
        line = self.texts[self.name].count("\n", 0, self.offset)
        self.chunks.append("\n".join(lines[max(line - CHUNK_LINES // 2, 0) : line + CHUNK_LINES // 2]))

    def steps(self, n_keys: int) -> Iterator[bool]:
        """Press that many keys: True after each one, which `changed` then is; False in a pause after a line. The time is `at`."""
        while n_keys > 0:
            line = "\n" + self.random.choice(LINES)
            for key in line[: 1 + self.random.randrange(len(line) // 2, len(line))][:n_keys]:
                self._press(key)
                n_keys -= 1
                yield True
            self.at += 0.5
            yield False
            self.at += self.random.choice((PAUSE_S, PAUSE_S, THOUGHT_S))
            if self.random.random() < 0.3:
                self.jump()

    def _press(self, key: str) -> None:
        self.at += KEY_S
        text, at = self.texts[self.name], self.position
        self.changed = Change(key, at, at)
        self.texts[self.name] = text[: self.offset] + key + text[self.offset :]
        self.offset += 1

    @property
    def position(self) -> Position:
        text = self.texts[self.name]
        return Position(text.count("\n", 0, self.offset), self.offset - (text.rfind("\n", 0, self.offset) + 1))


async def scrubjay_prompts(user: User, n_keys: int, model: Path) -> list[tuple[float, Prompt]]:
    """What Scrubjay asks for, and when: a prompt at each key, and one that only warms in each pause."""
    projects, builder = Projects(), PromptBuilder("anchored")
    await builder.open(model, model.stem)
    for name, text in user.texts.items():
        projects.open(f"file://{ROOT}/{name}", "python", 1, text, ROOT, str)
    prompts = []
    for number, is_key in enumerate(user.steps(n_keys), start=2):
        uri = f"file://{ROOT}/{user.name}"
        if is_key:
            projects.change(uri, number, (user.changed,), "utf-32")
        view = ProjectView.of(projects.project_of(uri), projects.document(uri), user.offset)
        prompt = await making(builder, DocumentRecipe(view, is_idle=not is_key), LIMITS)
        prompts.append((user.at, prompt))
    await builder.close()
    return prompts


def window_prompts(
    user: User, n_keys: int, window: Callable[[User], Sequence[str]], tokenize: Tokenize
) -> list[tuple[float, Tokens]]:
    """What a client asks for that shows a window on the current file: its parts in the order of the prompt."""
    return [
        (user.at, np.concatenate([EMPTY, *(_line_tokens(part, tokenize) for part in window(user))]))
        for is_key in user.steps(n_keys)
        if is_key
    ]


def lines_window(user: User) -> Sequence[str]:
    """llama.vim's: its chunks, lines above and below the cursor's, and that line up to the cursor."""
    text = user.texts[user.name]
    start = text.rfind("\n", 0, user.offset) + 1
    above = text[:start].splitlines(keepends=True)[-LINES_ABOVE:]
    below = text[user.offset :].splitlines(keepends=True)[: LINES_BELOW + 1]
    return [*user.chunks, "".join(above), "".join(below), text[start : user.offset]]


def characters_window(user: User) -> Sequence[str]:
    """minuet's: characters before and after the cursor."""
    text = user.texts[user.name]
    before = text[max(user.offset - CHARACTERS_ABOVE, 0) : user.offset]
    return [before, text[user.offset : user.offset + CHARACTERS_BELOW]]


def _line_tokens(text: str, tokenize: Tokenize) -> Tokens:
    """The tokens of `text`, about: each line by itself, so that it need not be tokenised again with each prompt."""
    return np.concatenate([EMPTY, *map(tokenize, text.splitlines(keepends=True))])


def asks_of(prompts: Sequence[tuple[float, Tokens]]) -> list[Ask]:
    """Prompts as servers see them."""
    asks: list[Ask] = []
    last: tuple[Tokens, tuple[int, ...]] = (EMPTY, ())
    for at, tokens in prompts:
        last = (tokens, block_names(tokens, last))
        asks.append(Ask(at, last[1], len(tokens)))
    return asks


def traces(layout: str, n: int, n_keys: int, model: Path) -> list[list[Ask]]:
    """What that many users ask for."""
    if layout == "scrubjay":
        made = (asyncio.run(scrubjay_prompts(User(seed), n_keys, model)) for seed in range(n))
        return [asks_of([(at, prompt.tokens) for at, prompt in prompts]) for prompts in made]
    vocabulary = Vocabulary.open(model)
    tokenize = lru_cache(maxsize=1 << 16)(vocabulary.tokenize)
    window = {"lines": lines_window, "characters": characters_window}[layout]
    return [asks_of(window_prompts(User(seed), n_keys, window, tokenize)) for seed in range(n)]


# --- a team ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """What one server can do: tokens that its cache holds, and that it processes and generates in a second."""

    cache_tokens: int
    prefill_speed: float
    decode_speed: float

    def load(self, processed: float, asks: float) -> float:
        """For how much of the time it is busy with that many tokens and requests in a second; more than 1 is too much."""
        return processed / self.prefill_speed + asks * N_GENERATED / self.decode_speed


@dataclass(frozen=True, slots=True)
class Result:
    """What one of a team's servers has done. `load` is that of its busiest minute."""

    n_asks: int
    n_tokens: int
    n_processed: int
    load: float

    @property
    def hit_rate(self) -> float:
        return 1 - self.n_processed / self.n_tokens


def simulate(known: Sequence[Sequence[Ask]], n_users: int, n_servers: int, machine: Machine, affinity: bool) -> Result:
    """What one of `n_servers` does for `n_users`; each user repeats one of the `known` traces in a project of its own.

    With affinity it has every request of its share of the users, without it its share of the requests of all.
    """
    random, server = Random(n_users), Server(machine.cache_tokens // BLOCK)
    length = max(ask.at for trace in known for ask in trace)
    users = range(max(n_users // n_servers, 1)) if affinity else range(n_users)
    salts = [random.getrandbits(60) for _ in users]
    begins = [random.uniform(0, length) for _ in users]
    by_minute: dict[int, list[int]] = {}
    n_tokens = 0
    for _, user, ask in merge(
        *(_later(known[user % len(known)], begins[user], user) for user in users), key=lambda each: each[:2]
    ):
        if affinity or random.random() * n_servers < 1:
            by_minute.setdefault(int((ask.at + begins[user]) // 60), []).append(server.serve(ask, salts[user]))
            n_tokens += ask.n_tokens
    costs = [cost for minute in by_minute.values() for cost in minute]
    load = max((machine.load(sum(minute) / 60, len(minute) / 60) for minute in by_minute.values()), default=0.0)
    return Result(len(costs), n_tokens, sum(costs), load)


def _later(trace: Sequence[Ask], begin: float, user: int) -> Iterator[tuple[float, int, Ask]]:
    return ((ask.at + begin, user, ask) for ask in trace)


def needed(known: Sequence[Sequence[Ask]], n_users: int, machine: Machine, affinity: bool) -> tuple[int, Result]:
    """How many servers are enough for none to be busy for more than `MAX_BUSY` of a minute, and what one of them does."""
    n = max(1, n_users // MAX_USERS)
    while (result := simulate(known, n_users, n, machine, affinity)).load > MAX_BUSY and n < n_users:
        n = min(max(n + 1, math.ceil(n * result.load / MAX_BUSY * 0.9)), n_users)
    return n, result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(sys.modules[__name__]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--keys", type=int, default=400, help="that each user presses")
    parser.add_argument("--cache-tokens", type=int, default=400_000, help="that one server's cache holds")
    parser.add_argument("--prefill-speed", type=float, default=10_000, help="tokens per second of one server")
    parser.add_argument("--decode-speed", type=float, default=2_000, help="the same for all its answers together")
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file, for its vocabulary")
    flags = parser.parse_args()
    machine = Machine(flags.cache_tokens, flags.prefill_speed, flags.decode_speed)
    table = Table("layout", "users", "affinity", "servers", "prompt", "hit rate", "processed", "load", title=TITLE)
    for layout in LAYOUTS:
        known = traces(layout, min(max(flags.users), N_TRACES), flags.keys, flags.model)
        for n_users in flags.users:
            for affinity in (True, False):
                n, result = needed(known[:n_users], n_users, machine, affinity)
                table.add_row(*row(layout, n_users, affinity, n, result))
    Console(width=120).print(table)


TITLE = "A request's prompt, and how much of it is processed, in tokens"


def row(layout: str, n_users: int, affinity: bool, n_servers: int, result: Result) -> list[str]:
    """A line of the table."""
    return [
        layout,
        f"{n_users:,}",
        "yes" if affinity else "no",
        str(n_servers),
        f"{result.n_tokens / result.n_asks:,.0f}",
        f"{result.hit_rate:.1%}",
        f"{result.n_processed / result.n_asks:,.0f}",
        f"{result.load:.2f}",
    ]


if __name__ == "__main__":
    main()
