"""Settings: three sources, one order, and sentences that say which of them is wrong."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.config import Config, build_config, default_socket, options, read_config, value_text
from scrubjay.errors import UsageError

HOME = {"XDG_RUNTIME_DIR": "/run/me", "XDG_DATA_HOME": "/data"}


def configured(toml: str = "", environment: Any = None, **flags: str) -> Config:
    return build_config(toml, "config.toml", HOME | (environment or {}), flags)


def complaint(toml: str = "", environment: Any = None, **flags: str) -> str:
    with pytest.raises(UsageError) as caught:
        configured(toml, environment, **flags)
    return str(caught.value)


def test_defaults() -> None:
    config = configured()
    assert (config.model, config.ctx, config.interval, config.gpu_layers) == ("starter", 0, 0, -1)
    assert (config.eager_load, config.warm, config.kv_type) == (True, True, "f16")
    assert (config.socket, config.data_dir) == (Path("/run/me/scrubjay/daemon.sock"), Path("/data/scrubjay"))


def test_flags_beat_the_environment_which_beats_the_file() -> None:
    toml = 'ctx = 1024\nthreads = 2\nmodel = "/m.gguf"\n'
    config = configured(toml, {"SCRUBJAY_CTX": "2048", "SCRUBJAY_THREADS": "3"}, ctx="4096")
    assert (config.ctx, config.threads, config.model) == (4096, 3, "/m.gguf")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("interval", "auto", 0),
        ("interval", "128", 128),
        ("checkpoint_budget", "2GiB", 2 << 30),
        ("checkpoint_budget", "512M", 512 << 20),
        ("checkpoint_budget", "1.5 GB", 3 << 29),
        ("checkpoint_budget", "1048576", 1 << 20),
        ("checkpoint_budget", "auto", 0),
        ("store", "off", 0),
        ("store", "64M", 64 << 20),
        ("store_daily", "1T", 1 << 40),
        ("draft", "off", 0),
        ("draft", "auto", -1),
        ("draft", "4", 4),
        ("gpu_layers", "all", -1),
        ("gpu_layers", "-1", -1),
        ("gpu_layers", "0", 0),
        ("kv_type", "q8_0", "q8_0"),
        ("warm", "off", False),
        ("watch", "off", False),
        ("show_secrets", "on", True),
        ("warm_on_battery", "on", True),
        ("eager_load", "no", False),
        ("warm_delay_ms", "0", 0),
        ("log_level", "debug", "debug"),
        ("model", "hf:me/it:Q8_0", "hf:me/it:Q8_0"),
    ],
)
def test_values_mean_the_same_from_every_source(name: str, text: str, value: object) -> None:
    key = name.replace("_", "-")
    for config in (
        configured(f'{key} = "{text}"'),
        configured(f'{name} = "{text}"'),
        configured("", {f"SCRUBJAY_{name.upper()}": text}),
        configured(**{name: text}),
    ):
        assert getattr(config, name) == value
    [option] = [option for option in options() if option.name == name]
    assert option.metadata["parse"](value_text(option, value)) == value


def test_toml_has_numbers_and_truth_values_of_its_own() -> None:
    config = configured("ctx = 2048\nwarm = false\n")
    assert (config.ctx, config.warm) == (2048, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ctx", "much"),
        ("ctx", "-1"),
        ("ctx", "31"),
        ("interval", "0"),
        ("threads", "1.5"),
        ("checkpoint_budget", "2XB"),
        ("checkpoint_budget", "2"),
        ("checkpoint_budget", "0"),
        ("checkpoint_budget", "8192"),
        ("checkpoint_budget", "off"),
        ("store", "2"),
        ("store", "auto"),
        ("store_daily", "16"),
        ("store_daily", "auto"),
        ("store_daily", "off"),
        ("gpu_layers", "some"),
        ("kv_type", "f64"),
        ("warm", "perhaps"),
        ("log_level", "LOUD"),
    ],
)
def test_a_wrong_value_is_told_with_its_source(name: str, text: str) -> None:
    key = name.replace("_", "-")
    sources = (
        (f"config.toml: {key}", complaint(f'{key} = "{text}"')),
        (f"SCRUBJAY_{name.upper()}", complaint("", {f"SCRUBJAY_{name.upper()}": text})),
        (f"--{key}", complaint(**{name: text})),
    )
    for source, sentence in sources:
        assert sentence.startswith(f"{source}: {text!r} is not ")
        assert sentence.endswith(".")
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "word"), [("checkpoint_budget", ", or 'auto'"), ("store", ", or 'off'"), ("store_daily", "")]
)
def test_bytes_without_their_unit_are_told_what_to_write(name: str, word: str) -> None:
    advice = f"give a number with its unit, such as 512M or 2GiB{word}."
    flag = name.replace("_", "-")
    assert complaint(**{name: "2"}) == f"--{flag}: '2' is not a size of 1 MiB or more: it is 2 bytes; {advice}"
    assert complaint(**{name: "8192"}).endswith(f"it is 8,192 bytes; {advice}")
    assert complaint(**{name: "much"}) == f"--{flag}: 'much' is not a size; {advice}"


def test_an_unknown_name_is_refused_and_the_nearest_known_one_suggested() -> None:
    assert complaint("modle = 1") == "config.toml: modle is no option of Scrubjay; did you mean 'model'?"
    assert "did you mean 'checkpoint-budget'?" in complaint("", checkpoint_bugdet="1G")
    assert "did you mean" not in complaint("zzz = 1")
    assert "--zzz" in complaint("", zzz="1")


def test_an_unknown_variable_is_warned_of_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    assert configured("", {"SCRUBJAY_CHECKPOINT_BUGDET": "1G", "SCRUBJAY_CTX": "64"}).ctx == 64
    [sentence] = caplog.messages
    assert sentence == "SCRUBJAY_CHECKPOINT_BUGDET is no option of Scrubjay; did you mean 'checkpoint-budget'?"


def test_what_toml_cannot_say() -> None:
    assert complaint("ctx = ").startswith("config.toml is not TOML: ")
    assert complaint("ctx = [1]") == "config.toml: ctx must be a text, a number, true or false."


def test_other_variables_and_empty_ones_do_not_count() -> None:
    assert configured("", {"CTX": "9999", "SCRUBJAY_CTX": "", "SCRUBJAY_CONFIG": "/elsewhere"}) == configured()


def test_where_the_socket_is() -> None:
    assert default_socket({"SCRUBJAY_SOCKET": "/s", "XDG_RUNTIME_DIR": "/run/me"}) == Path("/s")
    assert default_socket(HOME) == Path("/run/me/scrubjay/daemon.sock")
    assert default_socket({}).is_absolute()
    assert configured("", {"SCRUBJAY_SOCKET": "/s"}, socket="/flag").socket == Path("/flag")


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SCRUBJAY_CONFIG", raising=False)
    assert read_config().ctx == 0, "the usual file may be missing"
    with pytest.raises(UsageError, match=r"no configuration file .*none\.toml"):
        read_config({}, tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_config({}, tmp_path)
    (tmp_path / "scrubjay").mkdir()
    (tmp_path / "scrubjay" / "config.toml").write_text("ctx = 512")
    assert read_config().ctx == 512
    (tmp_path / "other.toml").write_text("ctx = 1024")
    monkeypatch.setenv("SCRUBJAY_CONFIG", str(tmp_path / "other.toml"))
    assert read_config().ctx == 1024


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xef\xbb\xbfctx = 512\n")
    assert read_config({}, tmp_path / "own.toml").ctx == 512
    (tmp_path / "own.toml").write_bytes("ctx = 512\n".encode("utf-16"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_config({}, tmp_path / "own.toml")


def test_relative_folders_of_the_desktop_do_not_count() -> None:
    relative = {"XDG_RUNTIME_DIR": "run", "XDG_DATA_HOME": "data"}
    assert default_socket(relative) == default_socket({})
    assert build_config("", "", relative, {}) == build_config("", "", {}, {})


UNKNOWN_USER = "import os, pwd, tempfile, platformdirs.unix; from scrubjay.config import read_config; os.setuid(4242)\n"
"""What is imported after it could not be read."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that the system does not know")
def test_a_user_without_a_home_folder(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HOME" and not key.startswith("XDG_")}

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", UNKNOWN_USER + code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)

    done = run("print(read_config({'data_dir': '/kept', 'socket': '/s'}).data_dir)")
    assert done.stdout == "/kept\n", done.stderr
    done = run("read_config()")
    assert "UsageError: The user has no home folder; set HOME, or --data-dir." in done.stderr


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_worse_than_a_usage_error(text: str) -> None:
    for name in ("ctx", "checkpoint_budget", "gpu_layers", "warm", "socket"):
        try:
            build_config("", "config.toml", HOME, {name: text})
        except UsageError as error:
            assert repr(text) in str(error)


def test_editors_do_not_pay_for_what_configuration_does_not_need() -> None:
    heavy = "{'numpy', 'xxhash', 'llama_cpp', 'aiohttp', 'huggingface_hub', 'rich'}"
    code = f"import sys; from scrubjay.config import read_config; read_config(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
