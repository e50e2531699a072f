"""Which file has the vocabulary of a model that another server runs."""

from pathlib import Path

import pytest

from scrubjay.engine.remote.vocabulary import of_that_name

FILES = (
    "models--Qwen--Qwen2.5-Coder-7B-Instruct-GGUF/snapshots/ab12/qwen2.5-coder-7b-instruct-q8_0.gguf",
    "models--Qwen--Qwen2.5-Coder-7B-Instruct/snapshots/cd34/tokenizer.json",
    "models--Qwen--Qwen3-Coder-30B/snapshots/ef56/tokenizer.json",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Qwen/Qwen2.5-Coder-7B-Instruct", [1, 0]),
        ("/models/qwen2.5-coder-7b-instruct-q8_0.gguf", [0]),
        ("qwen2.5-coder-7b-instruct-q4_k_m.gguf", []),
        ("qwen3-coder-30b", [2]),
        ("Qwen/Qwen2.5-Coder-14B", []),
        ("../../*", []),
        ("", []),
    ],
)
def test_files_of_that_name_are_found_in_the_cache(name: str, found: list[int], tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert of_that_name(name, tmp_path) == [tmp_path / FILES[number] for number in found]


def test_where_nothing_was_downloaded_nothing_is_found(tmp_path: Path) -> None:
    assert of_that_name("any", tmp_path / "nowhere") == []
