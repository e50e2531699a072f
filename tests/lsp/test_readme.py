"""What clients/README.md tells users is so: settings and their defaults, commands, and configurations that can be read."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scrubjay_lsp.settings import Settings

README = (Path(__file__).parents[2] / "clients" / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by the names that users write."""
    for field in dataclasses.fields(settings):
        first, *others = field.name.split("_")
        name, value = prefix + first + "".join(map(str.capitalize, others)), getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def test_every_setting_is_listed_with_its_default() -> None:
    table = README.partition("## Settings")[2].partition("## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", table, re.MULTILINE)
    assert {name: json.loads(default) for name, default in rows} == dict(flat(Settings()))


@pytest.mark.parametrize("block", blocks("json"), ids=["sublime", "kate"])
def test_configurations_in_json_run_the_server(block: str) -> None:
    [servers] = json.loads(block).values()
    assert [server["command"] for server in servers.values()] == [["scrubjay", "lsp"]]


def test_the_configuration_of_helix_runs_the_server() -> None:
    [block] = blocks("toml")
    config = tomllib.loads(block)
    server = config["language-server"]["scrubjay"]
    assert [server["command"], *server["args"]] == ["scrubjay", "lsp"]
    assert all("scrubjay" in language["language-servers"] for language in config["language"])
