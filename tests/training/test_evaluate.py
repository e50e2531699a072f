"""Evaluation with the file that ships, at tiny sizes."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from scrubjay.starter import model_path
from scrubjay_training.__main__ import main
from scrubjay_training.collect import SourceFile, read_corpus, write_corpus
from scrubjay_training.cursors import Hole
from scrubjay_training.evaluate import Sizes, as_shown, by_place, complete, evaluate, score_text
from scrubjay_training.examples import Examples
from scrubjay_training.runner import Runner
from scrubjay_training.scores import Completion, loops
from scrubjay_training.values import END, SPECIALS
from tests.support.training_corpus import TEXT, corpus

TINY = Sizes(n_files=1, n_long=1, n_tokens=64, n_long_tokens=96, n_lines=2, n_bodies=1, n_pairs=1, n_a_place=1)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(model_path()) as opened:
        yield opened


def test_the_shipped_file_has_all_special_tokens_and_gives_texts_back(runner: Runner) -> None:
    assert len(set(runner.specials.values())) == len(SPECIALS)
    pieces = (runner.vocabulary.piece(token) for token in runner.encode(TEXT))
    assert b"".join(pieces).decode() == TEXT


def test_logits_do_not_depend_on_how_a_prompt_is_read(runner: Runner) -> None:
    tokens = runner.encode(TEXT)[:40]
    one_by_one = runner.all_logits(tokens)
    written, _ = runner.complete(tokens, 1, ())
    assert written == [int(one_by_one[-1].argmax())]


def test_generation_ends_at_a_stop_or_at_the_limit(runner: Runner) -> None:
    prompt = runner.encode(TEXT)
    written, has_ended = runner.complete(prompt, 3, ())
    assert (len(written), has_ended) == (3, False)
    assert runner.complete(prompt, 3, {written[0]}) == ([], True)


def test_the_score_of_a_text_is_what_the_logits_say(runner: Runner) -> None:
    before = [runner.specials[END]]
    tokens = runner.encode("import os\n")
    score = score_text(runner, before, "import os\n", 100)
    logits = runner.all_logits([*before, *tokens])
    first = np.log(np.exp(logits[0]).sum()) - logits[0][tokens[0]]
    assert score.nats[0] == pytest.approx(first, rel=1e-4)
    assert score.n_characters == 10
    assert len(score.hits) == len(score.nats) == len(tokens)


def test_a_completion_is_asked_for_at_its_hole(runner: Runner) -> None:
    file = corpus()[0]
    start = file.text.index("max(self")
    hole = Hole(start, file.text.index("\n", start), "rest")
    examples = Examples(corpus(), runner.encode, runner.specials)
    completion = complete(runner, examples, file, hole, Random(0))
    assert completion.text[completion.end :].startswith("\n\ndef")
    assert completion.rest_of_line == "max(self.names, key=len)"


def test_what_was_typed_comes_first_and_then_what_the_model_likes(runner: Runner) -> None:
    prompt = runner.encode("import os\nfrom path")
    for typed in (b"lib", b" <|endoftext|", b"\xc3\xa9"):
        written, _ = runner.complete(prompt, 24, (), typed)
        assert b"".join(runner.vocabulary.piece(token) for token in written).startswith(typed)
    free, _ = runner.complete(prompt, 6, ())
    first = runner.vocabulary.piece(free[0])
    assert runner.complete(prompt, 6, (), first) == (free, False)


def test_a_healed_prompt_ends_where_a_token_begins_and_gives_what_follows_the_cursor(runner: Runner) -> None:
    file = corpus()[0]
    start = file.text.index("list(names)")
    hole = Hole(start, file.text.index("\n", start), "rest")
    examples = Examples(corpus(), runner.encode, runner.specials)
    healed = complete(runner, examples, file, hole, Random(0), is_healed=True)
    assert not healed.written.startswith(" ")
    assert runner.vocabulary.piece(healed.tokens[0]).startswith(b" ")
    assert healed.rest_of_line == "list(names)"
    assert file.text[healed.end :].startswith("        self.place")


def test_of_a_loop_nothing_is_shown_that_loops(runner: Runner) -> None:
    start = TEXT.index("max(self")
    for written in ("max(self" + " self" * 40, "x\n" + "        x = 1\n" * 8):
        completion = Completion(
            TEXT, Hole(start, start + 4, "rest"), start + 4, written, tuple(runner.encode(written)), False
        )
        assert loops(completion)
        assert not loops(as_shown(runner, completion))


@pytest.mark.slow
def test_evaluation_gives_every_number_and_the_same_twice(runner: Runner) -> None:
    results = [evaluate(runner, corpus(), TINY, lambda _: None) for _ in range(2)]
    python = {"plain_text", "by_position", "repo_context", "completions", "completions_healed", "by_place", "speed"}
    assert set(results[0]) == {*python, "other_languages"}
    assert results[0]["completions"] == results[1]["completions"]
    assert results[0]["plain_text"] == results[1]["plain_text"]


@pytest.mark.slow
def test_completions_are_told_apart_by_kind_of_place(runner: Runner) -> None:
    file = SourceFile("flask", "flask/app.py", TEXT, held_out=True)
    scores = by_place(runner, Examples([file], runner.encode, runner.specials), [file], TINY)
    assert set(scores) >= {"word", "call", "attribute", "body"}
    assert {score["n_cursors"] for score in scores.values()} == {1}


@pytest.mark.slow
def test_other_languages_are_measured_by_themselves(runner: Runner) -> None:
    file = SourceFile(
        "shelf", "src/shelf.go", "package shelf\n\nfunc add(a int, b int) int {\n\treturn a + b\n}\n", True
    )
    results = evaluate(runner, [*corpus(), file], TINY, lambda _: None)
    assert set(results["other_languages"]) == {"go"}  # type: ignore[call-overload]
    assert results["plain_text"] == evaluate(runner, corpus(), TINY, lambda _: None)["plain_text"]


@pytest.mark.slow
def test_the_command_writes_its_results_beside_the_corpus(tmp_path: Path) -> None:
    write_corpus(corpus(), tmp_path / "corpus.jsonl")
    assert len(read_corpus(tmp_path / "corpus.jsonl")) == 6
    assert main(["evaluate", "--folder", str(tmp_path), "--cursors", "4"]) == 0
    assert json.loads((tmp_path / "starter-results.json").read_text())["completions"]["n_cursors"] == 4
