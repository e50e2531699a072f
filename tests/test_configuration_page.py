"""docs/configuration.md is what the options say, and its examples are read as they look."""

import re

from scrubjay.config import build_config, options
from scrubjay.workspace.context_rules import read_context_rules
from tests.support.configuration_page import PAGE, page

HOME = {"XDG_RUNTIME_DIR": "/run/me", "XDG_DATA_HOME": "/data"}


def test_the_page_is_that_of_the_options() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m tests.support.configuration_page`"


def test_every_default_can_be_written() -> None:
    """What the table gives as a default means the default, where it is a value."""
    plain = build_config("", "", HOME, {})
    for option in options():
        row = next(line for line in page().splitlines() if f"`SCRUBJAY_{option.name.upper()}`" in line)
        default = row.split(" | ")[2].partition(",")[0]
        if option.name not in ("socket", "data_dir", "api_key"):
            assert build_config("", "", HOME, {option.name: default}) == plain, row


def test_the_examples() -> None:
    toml, rules, models, keys = re.findall(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert not (read := read_context_rules(rules)).problem
    assert read.only == "open" and read.insists_on("src/types/a.py")
    assert not read.may_show("vendor/a.py", is_open=True)
    config = build_config(toml, "config.toml", HOME, {})
    assert (config.ctx, config.http, config.warm_on_battery) == (32768, ("127.0.0.1", 8012), True)
    assert [table.name for table in build_config(models, "config.toml", HOME, {}).served] == ["fim", "talk"]
    hashed = keys.replace("sha256:...", "a" * 64, 1).replace("sha256:...", "b" * 64)
    assert [key.name for key in build_config(hashed, "config.toml", HOME, {}).keys] == ["anna", "bob"]
    variables = dict(re.findall(r"(SCRUBJAY_\w+)=(\S+)", page()))
    assert build_config("", "", HOME | variables, {}) == build_config(
        "", "", HOME, {"ctx": "32768", "warm_on_battery": "true"}
    )
