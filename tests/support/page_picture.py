"""The picture of the status page in the README: `python -m tests.support.page_picture` makes it again.

A daemon with the small model, in which someone works on Python's own package `json`, and its page in a browser.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from tests.editors.vscode import Browser
from tests.support.shared_daemon import a_daemon

PICTURE = Path(__file__).parents[2] / "docs" / "status-page.png"
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
            self._client.post("documents/open", {"uri": uri(name), "text": text, "root": ROOT, "version": 1})

    def type(self, name: str, line: int, text: str) -> None:
        """`text` at the start of a line, from 0."""
        self._version += 1
        place = {"line": line, "character": 0}
        change = {"range": {"start": place, "end": place}, "text": text}
        self._client.post("documents/change", {"uri": uri(name), "version": self._version, "changes": [change]})

    def ask(self, name: str, line: int, character: int) -> None:
        place = {"line": line, "character": character}
        self._client.post("complete", {"uri": uri(name), "position": place, "max_tokens": 8})


def work(client: Client) -> None:
    """Some edits, of which one costs more."""
    doing = Work(client)
    doing.open()
    doing.ask("decoder.py", 60, 0)
    for text in ("    value = ", "    end = "):
        doing.type("decoder.py", 60, text)
        doing.ask("decoder.py", 60, len(text))
    doing.type("scanner.py", 12, "# numbers come first\n")
    client.post("warm", {"uri": uri("decoder.py"), "position": {"line": 60, "character": 10}})
    doing.type("decoder.py", 61, "    start = ")
    doing.ask("decoder.py", 61, 12)


def take(picture: Path) -> None:
    with TemporaryDirectory() as folder:
        browser = Browser(Path(folder) / "profile")
        daemon = a_daemon(Path(folder) / "s")
        try:
            list(daemon.client.wait_until_ready())
            work(daemon.client)
            browser.do("look", scheme="light", width="1000")
            browser.do("open", url=daemon.client.post("page", {})["url"])
            browser.do("wait", selector="#last")
            browser.do("screenshot", path=str(picture), full="no")
        finally:
            browser.close()
            stop_daemon(daemon.path)


if __name__ == "__main__":
    take(Path(sys.argv[1]) if sys.argv[1:] else PICTURE)
