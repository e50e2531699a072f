"""The daemon's log: a line for each request, without the user's text; lines of JSON; files that are begun again."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from scrubjay.process.log import JsonLines, old_log
from tests.support.daemon_process import OPTIONS, Daemon, running_daemon
from tests.support.gguf_models import tiny_model

URI = "file:///project/a.py"
SECRET = "the_users_own_text"
TURNING = """
import logging, os, sys
from pathlib import Path
from scrubjay.process import log
log.MAX_LOG = 2000
log.set_up_log("info", "text", Path(sys.argv[1]))
for number in range(100):
    logging.info("line %d of one hundred", number)
os.write(2, b"what a library writes\\n")
"""


async def ask(daemon: Daemon) -> int:
    """Complete once; the number of the request."""
    await daemon.ready()
    await daemon.api.open(URI, f"{SECRET} = 1\n" * 20)
    status, answer = await daemon.api.complete(URI, 3)
    assert status == 200
    number: int = answer["request"]
    return number


async def test_a_request_has_a_line_with_its_number_and_cost_and_no_text(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        number = await ask(daemon)
        line = await daemon.line_with(f"Request {number}: completion, answered")
        assert SECRET not in line
        for part in (URI, "processed ", "reason cold", "first_token_ms ", "own_ms ", "n_items "):
            assert part in line
        status, _ = await daemon.api.post("/completion", {"prompt": f"{SECRET}\n" * 9, "n_predict": 1})
        assert status == 200
        assert SECRET not in await daemon.line_with(f"Request {number + 1}: raw, answered")


async def test_the_log_as_json(tmp_path: Path) -> None:
    more = (*OPTIONS, "--log-format=json")
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s", more=more) as daemon:
        number = await ask(daemon)
        line = json.loads(await daemon.line_with("completion, answered"))
        assert (line["level"], line["request"], line["outcome"], line["reason"]) == ("info", number, "answered", "cold")
        assert line["processed"] == line["prompt"] > 0


@pytest.mark.parametrize("name", ["line\nend", "zero\0byte", "\u2028"])
async def test_a_line_stays_one_line_whatever_a_document_is_called(tmp_path: Path, name: str) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        await daemon.api.open(f"file:///project/{name}", "x = 1\n")
        await daemon.api.complete(f"file:///project/{name}")
        assert "n_items" in await daemon.line_with("completion, answered")


def test_a_mistake_in_a_line_of_json_has_its_traceback() -> None:
    try:
        dict[str, int]()["x"]
    except KeyError:
        record = logging.LogRecord("a.b", logging.ERROR, __file__, 1, "A mistake in %s.", ("it",), sys.exc_info())
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("error", "a.b", "A mistake in it.")
    assert "KeyError: 'x'" in line["exception"]


def test_a_full_log_is_kept_and_a_new_one_begun(tmp_path: Path) -> None:
    file = tmp_path / "daemon.log"
    with file.open("ab") as output:
        subprocess.run([sys.executable, "-c", TURNING, str(file)], stderr=output, check=True)
    new, old = file.read_text().splitlines(), old_log(file).read_text().splitlines()
    assert new[-1] == "what a library writes"
    assert new[-2].endswith("line 99 of one hundred")
    assert sum(len(line) + 1 for line in old) < 2100
    numbers = [int(line.split("line ")[1].split()[0]) for line in (*old, *new[:-1])]
    assert numbers == list(range(numbers[0], 100)), "none is lost in between"
    assert file.stat().st_mode & 0o777 == 0o600
