from pathlib import Path

import pytest

from scrubjay_training.collect import KnownLines, collect, manifest, read_corpus, teaches, write_corpus
from scrubjay_training.sources import Package
from tests.support.training_corpus import TEXT, corpus


def test_ordinary_code_teaches() -> None:
    assert teaches(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "# This file was auto-generated, do not edit.\n" + TEXT,
        "TABLE = [\n" + "    1, 2, 3, 45, 67, 890,\n" * 40 + "]\n",
        TEXT + "x = '" + "a" * 500 + "'\n",
        TEXT + "def broken(:\n",
        TEXT.replace("books", "\x00"),
    ],
    ids=["short", "generated", "table", "long line", "no Python", "binary"],
)
def test_what_nobody_wrote_does_not_teach(text: str) -> None:
    assert not teaches(text)


def test_copies_and_near_copies_are_noticed() -> None:
    known = KnownLines()
    assert known.add(TEXT)
    assert not known.add(TEXT.replace("books", "jars"))
    assert known.add("def something_else_altogether():\n    return 'nothing like the other text'\n")


def test_held_out_packages_come_first_so_that_training_never_sees_their_lines(tmp_path: Path) -> None:
    found = [_package(tmp_path, "zebra", "MIT"), _package(tmp_path, "flask", "BSD"), _package(tmp_path, "gnu", "GPL-3")]
    files = list(collect(found))
    assert [(file.package, file.held_out) for file in files] == [("flask", True)]
    rows = manifest(files, found).splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("flask\t1.0\tBSD\theld out\t1\t")


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path) -> None:
    files = corpus()
    write_corpus(files, tmp_path / "corpus.jsonl")
    first = (tmp_path / "corpus.jsonl").read_bytes()
    assert read_corpus(tmp_path / "corpus.jsonl") == files
    write_corpus(files, tmp_path / "corpus.jsonl")
    assert (tmp_path / "corpus.jsonl").read_bytes() == first


def _package(root: Path, name: str, licence: str) -> Package:
    (root / name).mkdir()
    (root / name / "code.py").write_text(TEXT)
    return Package(name, "1.0", licence, root, (f"{name}/code.py", f"{name}/missing.py"))
