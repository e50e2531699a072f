"""What the documents say can be found: every file that they link to, every name of the code, every option."""

import importlib.util
import re
from functools import reduce
from itertools import takewhile
from pathlib import Path

import pytest

from scrubjay.cli.main import main
from scrubjay.config import options

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "clients/**/*.md", "tests/benchmarks/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
OF_OTHERS = {"--install", "--install-extension"}
"""Flags of other programs."""
OF_COMMANDS = {"--open", "--report"}
"""Flags of single commands, which are no options of the daemon."""


def section(heading: str) -> str:
    return ARCHITECTURE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def resolve(name: str) -> object:
    """The module, class, function or attribute that `name` is in the documents: below `scrubjay`, or in full."""
    parts = name.split(".")
    parts = parts if parts[0].startswith("scrubjay") else ["scrubjay", *parts]
    n_modules = len([*takewhile(str.islower, parts)])
    for n in range(n_modules, 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[n:], module)
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_are_run_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    modules = {name for name in re.findall(r"python -m ([\w.]+\w)", text) if name.islower()}
    for module in modules:
        found = importlib.util.find_spec(module)
        assert found, module
        assert found.submodule_search_locations is None or importlib.util.find_spec(f"{module}.__main__"), module


def test_the_other_measurements_exist() -> None:
    table = (ROOT / "docs" / "benchmark.md").read_text("utf-8").partition("## Other measurements")[2]
    names = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert names
    for name in names:
        assert importlib.util.find_spec(f"tests.benchmarks.{name}"), name


def test_the_way_of_an_edit_is_told_with_names_that_exist() -> None:
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", section("An edit becomes a completion"))
    assert len(names) > 20
    for name in names:
        resolve(name)


def test_options_exist() -> None:
    known = {f"--{option.name.replace('_', '-')}" for option in options()}
    known |= {flag.replace("--", "--no-", 1) for flag in known}
    for document in (ROOT / "README.md", ROOT / "docs" / "architecture.md"):
        flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", document.read_text("utf-8")))
        assert flags <= known | OF_OTHERS | OF_COMMANDS, document


def test_messages_are_those_of_the_program() -> None:
    rows = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    messages = re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)
    sources = [path.read_text("utf-8") for folder in ("daemon", "tools") for path in (ROOT / folder).rglob("*.py")]
    assert messages
    for message in messages:
        assert any(message in source for source in sources), message


@pytest.mark.parametrize("command", re.findall(r"`?scrubjay ([a-z]+)", (ROOT / "README.md").read_text("utf-8")))
def test_commands_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out
