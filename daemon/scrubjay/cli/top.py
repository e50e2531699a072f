"""`scrubjay top`: what the daemon does and holds, live in a terminal."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scrubjay.cli.status import helps, summary
from scrubjay.errors import DaemonError, RequestError, ScrubjayError
from scrubjay.process.client import Client, Json

MIB = 1 << 20
AGAIN_S = 0.25
"""How soon what happened is shown, at most so often."""
IDLE_S = 5.0
"""How often it is asked for although nothing happened."""
RETRY_S = 0.5
N_REQUESTS = 12
_STYLES = {
    "file": ("on blue", "on dark_blue"),
    "repo": ("on bright_black",),
    "path": ("on bright_black",),
    "prefix": ("on green",),
    "suffix": ("on dark_cyan",),
    "middle": ("on dark_orange3",),
    "tail": ("on purple",),
}
HELP = "w warm   f forget   p pause or resume   ↑↓ project   q quit"


def run_top(client: Client) -> int:
    """Show it until `q`, Ctrl-C or SIGTERM; the terminal is left as it was, whatever happens."""
    console = Console()
    if not (sys.stdin.isatty() and console.is_terminal):
        raise RequestError("`scrubjay top` needs a terminal; `scrubjay status` and `scrubjay why` print the same.")
    news: Queue[Json | ScrubjayError] = Queue()
    Thread(target=_listen, args=(client, news), daemon=True).start()
    top = Top(client)
    signal.signal(signal.SIGTERM, _end)
    with _keys() as next_key, Live(console=console, screen=True, auto_refresh=False) as live:
        while top.is_open:
            live.update(top.view(console.height), refresh=True)
            top.take(news, next_key)
    return 0


class Top:
    """What is shown, and what keys do."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._status: Json = {}
        self._context: Json = {}
        self._requests: list[Json] = []
        self._progress = ""
        self._said = ""
        self._chosen = 0
        self._due = 0.0
        self._footer = HELP
        # What is done if the user says yes.
        self._confirmed: Callable[[], None] | None = None
        self.is_open = True
        self._actions: Mapping[str, Callable[[], None]] = {
            "q": self._quit,
            "": self._quit,
            "w": self._warm,
            "f": self._ask_to_forget,
            "p": self._pause,
            "\x1b[A": lambda: self._choose(-1),
            "\x1b[B": lambda: self._choose(1),
        }

    # --- what happens -------------------------------------------------------------------------------------------------

    def take(self, news: "Queue[Json | ScrubjayError]", next_key: Callable[[float], str | None]) -> None:
        """Wait for a key or for something that happens; ask for what there is if it is time."""
        if (key := next_key(AGAIN_S)) is not None:
            self._press(key)
        with suppress(Empty):
            while True:
                self._note(news.get_nowait())
        if self.is_open and monotonic() >= self._due:
            self._due = monotonic() + IDLE_S
            self._safely(self._ask)

    def _note(self, event: Json | ScrubjayError) -> None:
        if isinstance(event, ScrubjayError):
            self._status, self._said = {}, f"{event} This view goes on when one does."
            return
        if event["type"] == "progress":
            is_running = event["done"] < event["total"]
            self._progress = f"processing {event['done']:,} of {event['total']:,} tokens" if is_running else ""
        elif event["type"] == "edit":
            self._progress = ""
        self._due = 0.0

    def _ask(self) -> None:
        self._status = self._client.get("status")
        self._requests = self._client.get("requests", last=str(N_REQUESTS))["requests"]
        root = self._root
        self._context = self._client.get("context", root=root) if root else {}
        self._said = ""

    def _safely(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ScrubjayError as error:
            self._said = str(error)
            if isinstance(error, DaemonError):
                self._status = {}

    # --- keys -----------------------------------------------------------------------------------------------------------

    def _press(self, key: str) -> None:
        confirmed, self._confirmed, self._footer = self._confirmed, None, HELP
        if confirmed and key != "":
            if key == "y":
                self._safely(confirmed)
        elif action := self._actions.get(key):
            self._safely(action)

    def _quit(self) -> None:
        self.is_open = False

    def _warm(self) -> None:
        if self._root:
            self._client.post("warm", {"root": self._root, "wait": False})

    def _ask_to_forget(self) -> None:
        if root := self._root:
            self._confirmed = partial(self._forget, root)
            self._footer = (
                f"Remove what is kept of {root}: records, memory, counts? y removes it, any other key does not."
            )

    def _forget(self, root: str) -> None:
        told = self._client.post("forget", {"root": root})
        self._footer = f"Removed {told['records']:,} records ({told['bytes'] / MIB:.1f} MiB) and the counts of {root}."
        self._due = 0.0

    def _pause(self) -> None:
        is_paused = self._client.post("pause", {"paused": not self._status.get("paused")})["paused"]
        self._status["paused"] = is_paused

    def _choose(self, step: int) -> None:
        self._chosen = (self._chosen + step) % max(len(self._status.get("projects", [])), 1)
        self._due = 0.0

    @property
    def _root(self) -> str:
        roots = [project["root"] for project in self._status.get("projects", [])]
        return roots[self._chosen % len(roots)] if roots else ""

    # --- what is shown --------------------------------------------------------------------------------------------------

    def view(self, height: int) -> RenderableType:
        """All of it, for a terminal of so many lines."""
        if not self._status:
            return Group(Text("Scrubjay", "bold"), Text(self._said or "Connecting."), Text("q quit", "dim"))
        n_lines = 15 + len(self._status["projects"]) + 2 * len(self._helps)
        n_requests = max((height - n_lines) // 2, 1)
        parts = [self._head(), self._memory(), self._projects(), self._strip(), self._last(n_requests)]
        return Group(
            *parts, Text(self._said or self._footer, "dim" if self._footer == HELP and not self._said else "bold")
        )

    def _head(self) -> Text:
        status = self._status
        model = f" {status['model']['name']}" if status["model"] else ""
        paused = "  paused: only what is asked for is done" if status["paused"] else ""
        others = "".join(f"; {other['name']}: {other['state']}" for other in status.get("models", ())[1:])
        now = self._progress or status["queue"]["running"] or "idle"
        text = Text.assemble(("Scrubjay", "bold"), f"{model}: {status['state']}{others}", (paused, "bold yellow"))
        return text.append(f"\nNow: {now}; {status['queue']['queued']} waiting, {status['n_editors']} editors")

    def _memory(self) -> Text:
        checkpoints, rss, today = self._status["checkpoints"], self._status["rss"], self._status["totals"]["today"]
        used = f"{checkpoints['bytes'] / MIB:,.1f} of {checkpoints['budget'] / MIB:,.0f} MiB"
        memory = f"{checkpoints['count']:,} checkpoints, {used}"
        text = f"Memory: {memory}; model {(rss['engine'] or 0) / MIB:,.0f} MiB, daemon {rss['daemon'] / MIB:,.0f} MiB\n"
        if records := self._status["records"]:
            sizes = f"{records['bytes'] / MIB:,.1f} of {records['budget'] / MIB:,.0f} MiB"
            text += f"On disk: {records['count']:,} records, {sizes}\n"
        saved = f"Today: {today['saved']:,} of {today['prompt']:,} prompt tokens saved in {today['n_requests']:,} requests\n"
        return Text(
            text + saved + "".join(f"Helps, {row['language'] or 'other'}: {helps(row)}\n" for row in self._helps)
        )

    @property
    def _helps(self) -> list[Json]:
        """What was counted of completions in the chosen project."""
        return [row for row in self._status.get("acceptance", []) if row["root"] == self._root and row["shown"]]

    def _projects(self) -> RenderableType:
        if not self._status["projects"]:
            return Text("No project is open.\n", "dim")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for head in ("", "project", "open", "files", "in memory"):
            table.add_column(head, justify="left" if head in ("", "project") else "right")
        held = {context["key"]: context["n_resident"] for context in self._status["contexts"]}
        for project in self._status["projects"]:
            counts = (project["n_documents"], project["n_files"], held.get(project["root"], 0))
            mark = "›" if project["root"] == self._root else ""
            table.add_row(mark, Text(project["root"], overflow="ellipsis", no_wrap=True), *(f"{n:,}" for n in counts))
        return table

    def _strip(self) -> RenderableType:
        spans = self._context.get("segments")
        if not spans:
            return Text("\nNothing has been read of this project yet.\n", "dim")
        return Group(Text(), _Strip(spans, self._context["checkpoints"], self._context["n_resident"]), Text())

    def _last(self, n: int) -> RenderableType:
        lines = Text()
        for request in self._requests[:n]:
            lines.append(f"#{request['number']} {summary(request)}\n", "dim").append(f"   {request['why']}\n")
        return lines


class _Strip:
    """The prompt to scale: its segments, and above them where checkpoints stand, below them what is in memory."""

    def __init__(self, spans: list[Json], checkpoints: list[int], n_resident: int) -> None:
        self._spans, self._checkpoints, self._n_resident = spans, checkpoints, n_resident

    def __rich_console__(self, console: Console, options: object) -> Iterator[Text]:
        width, total = console.width, max(self._n_resident, self._spans[-1]["end"], 1)
        marks = {n * width // total for n in self._checkpoints}
        yield Text("".join("╷" if column in marks else " " for column in range(width)), no_wrap=True)
        strip = Text(no_wrap=True)
        for number, span in enumerate(self._spans):
            n_columns = span["end"] * width // total - span["start"] * width // total
            styles = _STYLES[span["kind"]]
            strip.append(f" {span['label']}"[:n_columns].ljust(n_columns), styles[number % len(styles)])
        yield strip
        yield Text("▔" * (self._n_resident * width // total), "green", no_wrap=True)


# --- the terminal, and the daemon ------------------------------------------------------------------------------------


@contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """What waits so many seconds for a key: None if none comes, "" if the terminal is gone. It is set back at the end."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def next_key(wait_s: float) -> str | None:
        is_there, _, _ = select.select([descriptor], [], [], wait_s)
        if not is_there:
            return None
        try:
            return os.read(descriptor, 8).decode(errors="replace")
        except OSError:
            return ""

    try:
        yield next_key
    finally:
        with suppress(termios.error):  # there may be none any more
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _end(number: int, _frame: object) -> None:
    """Leave by way of everything that sets the terminal back."""
    sys.exit(128 + number)


def _listen(client: Client, news: "Queue[Json | ScrubjayError]") -> None:
    """Put what happens into `news`, and that the daemon is gone; then look for it again and again."""
    never = Event()
    while True:
        try:
            for event in client.events():
                news.put(event)
            news.put(DaemonError(f"No daemon answers on {client.path}; `scrubjay start` starts one."))
        except ScrubjayError as error:
            news.put(error)
        never.wait(RETRY_S)
