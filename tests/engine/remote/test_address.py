"""Names of remote models, and the keys of their servers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.config import REMOTE_KEY_VARIABLE
from scrubjay.engine.remote.address import RemoteAddress, is_remote, parse_remote, read_key
from scrubjay.errors import UsageError


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("remote:http://box:8000/v1", RemoteAddress("openai", "http://box:8000/v1")),
        ("remote:https://box/v1/#qwen/coder", RemoteAddress("openai", "https://box/v1", "qwen/coder")),
        ("remote+llama:http://[::1]:8080", RemoteAddress("llama", "http://[::1]:8080")),
        ("remote+llama:http://box:8080/v1", RemoteAddress("llama", "http://box:8080")),
    ],
)
def test_names_are_understood(name: str, address: RemoteAddress) -> None:
    assert is_remote(name)
    assert parse_remote(name) == address


@pytest.mark.parametrize(
    "name",
    [
        "remote:",
        "remote:box:8000",
        "remote:ftp://box",
        "remote:http://",
        "remote:http://box:port",
        "remote:http://box:0",
        "remote:http://box?key=1",
        "remote+other:http://box",
    ],
)
def test_what_is_no_address_is_refused(name: str) -> None:
    assert is_remote(name)
    with pytest.raises(UsageError, match="remote"):
        parse_remote(name)


@pytest.mark.parametrize("name", ["starter", "model.gguf", "owner/repo", "hf:owner/repo", "remotely/here"])
def test_other_names_are_not_remote(name: str) -> None:
    assert not is_remote(name)


def test_a_key_in_an_address_is_refused_and_not_repeated() -> None:
    for name in ("remote:http://user:s3cret@box/v1", "remote:http://s3cret@box:x/v1", "remote+x:http://s3cret@box"):
        with pytest.raises(UsageError) as refused:
            parse_remote(name)
        assert "s3cret" not in str(refused.value)


@given(st.text())
def test_no_name_does_worse_than_being_refused(rest: str) -> None:
    for prefix in ("remote:", "remote+llama:", "remote:http://"):
        try:
            address = parse_remote(prefix + rest)
        except UsageError:
            continue
        assert address.url.startswith("http")


def test_a_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REMOTE_KEY_VARIABLE, raising=False)
    assert read_key("") == ""
    monkeypatch.setenv(REMOTE_KEY_VARIABLE, "of-the-environment")
    assert read_key("") == "of-the-environment"
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    assert read_key(str(file)) == "of-the-file"


@pytest.mark.parametrize("content", [b"two\nlines", "schlüssel".encode(), b"\xff\xfe"])
def test_what_is_no_key_is_refused_and_not_repeated(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_key(str(file))
    assert "lines" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_key(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("url", "is_readable"),
    [
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost/v1", False),
        ("http://box/v1", True),
        ("https://box/v1", False),
    ],
)
def test_what_others_can_read_is_known(url: str, is_readable: bool) -> None:
    assert parse_remote(f"remote:{url}").is_readable is is_readable
