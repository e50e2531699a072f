"""Which file has the vocabulary of a model that another server runs."""

from pathlib import Path

import pytest

from scrubjay.engine.remote.vocabulary import of_that_name

FILES = ("models--Qwen--Qwen2.5-Coder-7B-Instruct-GGUF/snapshots/ab12/qwen2.5-coder-7b-instruct-q8_0.gguf",)


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("Qwen/Qwen2.5-Coder-7B-Instruct", True),
        ("/models/qwen2.5-coder-7b-instruct-q8_0.gguf", True),
        ("qwen2.5-coder-7b-instruct-q4_k_m.gguf", False),
        ("Qwen/Qwen2.5-Coder-14B", False),
        ("../../*", False),
        ("", False),
    ],
)
def test_a_file_of_that_name_is_found_in_the_cache(name: str, is_found: bool, tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert of_that_name(name, tmp_path) == (tmp_path / FILES[0] if is_found else None)


def test_where_nothing_was_downloaded_nothing_is_found(tmp_path: Path) -> None:
    assert of_that_name("any", tmp_path / "nowhere") is None
