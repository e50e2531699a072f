"""The pictures in the README: `python -m tests.support.pictures` makes them again.

A daemon with the small model, in which someone works on Python's own package `json`, and its page in a browser; and ghost text in
VS Code.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from tests.editors.vscode import SETTINGS, Browser, packaged_extension, serve
from tests.support.shared_daemon import Daemon, a_daemon

FOLDER = Path(__file__).parents[2] / "docs"
PLAIN = {
    "breadcrumbs.enabled": False,
    "editor.fontSize": 15,
    "editor.minimap.enabled": False,
    "workbench.activityBar.location": "hidden",
    "workbench.layoutControl.enabled": False,
    "workbench.colorTheme": "Default Light Modern",
    "window.commandCenter": False,
    "window.menuBarVisibility": "hidden",
}
"""Settings of VS Code, of which no more is to be seen than is needed."""
PROGRAM = '''def area(width, height):
    """The area of a rectangle."""
    return width * height


def perimeter(width, height):
    """The sum of all sides."""
'''
ROOT = "/home/you/json"
NAMES = ("tool.py", "scanner.py", "encoder.py", "decoder.py")
N_CHARACTERS = 5_000


def uri(name: str) -> str:
    return f"file://{ROOT}/{name}"


class Work:
    """What is done in the files of a project."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._version = 1

    def open(self) -> None:
        for name in NAMES:
            text = Path(json.__file__).with_name(name).read_text("utf-8")[:N_CHARACTERS]
            self._client.post(
                "documents/open", {"uri": uri(name), "text": text, "root": ROOT, "version": 1, "language": "python"}
            )

    def type(self, name: str, line: int, text: str) -> None:
        """`text` at the start of a line, from 0."""
        self._version += 1
        place = {"line": line, "character": 0}
        change = {"range": {"start": place, "end": place}, "text": text}
        self._client.post("documents/change", {"uri": uri(name), "version": self._version, "changes": [change]})

    def ask(self, name: str, line: int, character: int, outcome: str = "rejected") -> None:
        """Ask for a completion, which is shown; `outcome` is what becomes of it."""
        place = {"line": line, "character": character}
        answer = self._client.post("complete", {"uri": uri(name), "position": place, "max_tokens": 8})
        for told in ("shown", outcome):
            self._client.post("complete/outcome", {"request": answer["request"], "outcome": told})


def work(client: Client) -> None:
    """Some edits, of which one costs more."""
    doing = Work(client)
    doing.open()
    doing.ask("decoder.py", 60, 0)
    for text in ("    value = ", "    end = "):
        doing.type("decoder.py", 60, text)
        doing.ask("decoder.py", 60, len(text), "accepted")
    doing.type("scanner.py", 12, "# numbers come first\n")
    client.post("warm", {"uri": uri("decoder.py"), "position": {"line": 60, "character": 10}})
    doing.type("decoder.py", 61, "    start = ")
    doing.ask("decoder.py", 61, 12)


@contextmanager
def shown() -> Iterator[tuple[Path, Daemon, Browser]]:
    """A folder, a daemon, and a browser."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        browser, daemon = Browser(folder / "profile"), a_daemon(folder / "s")
        try:
            list(daemon.client.wait_until_ready())
            yield folder, daemon, browser
        finally:
            browser.close()
            stop_daemon(daemon.path)


def take_page(picture: Path) -> None:
    with shown() as (_, daemon, browser):
        work(daemon.client)
        browser.do("look", scheme="light", width="1000")
        browser.do("open", url=daemon.client.post("page", {})["url"])
        browser.do("wait", selector="#last")
        # As much as ends with a part of the page.
        bottom = (
            "String(Math.ceil(document.getElementById('costs').closest('section').getBoundingClientRect().bottom) + 14)"
        )
        browser.do("look", scheme="light", width="1000", height=browser.do("evaluate", script=bottom))
        browser.do("screenshot", path=str(picture), full="no")


def take_ghost_text(picture: Path) -> None:
    with shown() as (folder, daemon, browser):
        source = folder / "shapes" / "shapes.py"
        source.parent.mkdir()
        source.write_text(PROGRAM)
        settings = {**SETTINGS, **PLAIN, "scrubjay.socket": str(daemon.path)}
        server, port = serve(folder, packaged_extension(), settings, is_trusted=True)
        try:
            payload = quote(json.dumps([["openFile", f"vscode-remote://127.0.0.1:{port}{source}"]]))
            browser.do("look", scheme="light", width="900", height="330")
            browser.do("open", url=f"http://127.0.0.1:{port}/?folder={quote(str(source.parent))}&payload={payload}")
            browser.do("click", selector=".view-lines")
            browser.do("wait", selector='footer [aria-label*="Scrubjay: ready"]')
            browser.do("press", key="Control+b")
            browser.do("click", selector=".view-lines")
            browser.do("press", key="Control+End")
            browser.do("type", text="    ret")
            browser.do("ghost")
            browser.do("screenshot", path=str(picture), full="no")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    take_page(FOLDER / "status-page.png")
    take_ghost_text(FOLDER / "ghost-text.png")
