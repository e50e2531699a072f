from dataclasses import replace
from random import Random

import pytest

from scrubjay_training.collect import SourceFile
from scrubjay_training.cursors import Hole, choose_hole
from scrubjay_training.examples import Examples, split
from scrubjay_training.values import REPO
from tests.support.training_corpus import SPECIAL_IDS, TEXT, characters, corpus, shown


def _examples() -> Examples:
    return Examples(corpus(), characters, SPECIAL_IDS)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("at_cursor", [True, False])
def test_the_parts_around_a_hole_are_the_text(seed: int, at_cursor: bool) -> None:
    hole = choose_hole(TEXT, Random(seed))
    assert hole is not None
    parts = split(TEXT, hole, at_cursor, n_lines_back=4)
    assert parts.prefix + parts.typed + parts.answer + parts.suffix == TEXT
    assert parts.answer.startswith(TEXT[hole.start : hole.end])


def test_anchored_parts_begin_at_a_line_and_take_closers_into_the_answer() -> None:
    text = "one = 1\ntwo = call(1)\nthree = 3\n"
    at = text.index("1)")
    parts = split(text, Hole(at, at + 1, "inside"), at_cursor=False, n_lines_back=1)
    assert (parts.prefix, parts.typed, parts.answer, parts.suffix) == (
        "",
        "one = 1\ntwo = call(",
        "1)\n",
        "three = 3\n",
    )


def test_more_than_closers_after_the_hole_stay_in_the_suffix() -> None:
    text = "two = call(1, name)\nthree = 3\n"
    parts = split(text, Hole(11, 12, "inside"), at_cursor=False, n_lines_back=0)
    assert (parts.answer, parts.suffix) == ("1", ", name)\nthree = 3\n")


def test_a_prompt_has_the_daemons_form() -> None:
    text = shown(_examples().prompt(corpus()[0], split(TEXT[:200], Hole(7, 9, "rest"), True, 0), 4000))
    assert text == f"<|file_sep|>pack/shelf.py\n<|fim_prefix|>import <|fim_suffix|>{TEXT[9:200]}<|fim_middle|>"


def test_in_the_other_order_the_suffix_comes_first() -> None:
    text = shown(_examples().prompt(corpus()[0], split(TEXT[:200], Hole(7, 9, "rest"), True, 0), 4000, "spm"))
    assert text == f"<|file_sep|>pack/shelf.py\n<|fim_suffix|>{TEXT[9:200]}<|fim_prefix|>import <|fim_middle|>"


def test_small_windows_keep_what_is_next_to_the_hole() -> None:
    hole = Hole(TEXT.index("return None"), TEXT.index("return None") + 11, "line")
    text = shown(_examples().prompt(corpus()[0], split(TEXT, hole, True, 0), 160))
    prefix, suffix = text.split("<|fim_prefix|>")[1].removesuffix("<|fim_middle|>").split("<|fim_suffix|>")
    assert TEXT[: hole.start].endswith(prefix)
    assert prefix.endswith("self.names:\n            ")
    assert TEXT[hole.end :].startswith(suffix)
    assert len(suffix) > 0


def test_other_files_are_of_the_same_project_and_never_the_current_one() -> None:
    files = corpus()
    for seed in range(10):
        text = shown(_examples().files_before(files[0], 300, Random(seed)))
        assert text.startswith("<|repo_name|>even\n<|file_sep|>pack/")
        assert "pack/shelf.py" not in text
        assert "pack/drawer.py" not in text


def _are_excerpts(hole: Hole | None) -> list[bool]:
    """Whether the last of the other files is a few lines that look like those of TEXT, for each of 40 seeds."""
    long = "\n".join(f"other_{i} = {i}" for i in range(300))
    texts = {"a.py": TEXT, "b.py": long, "c.py": f"{long}\n{TEXT}{long}"}
    files = [SourceFile("even", path, text, held_out=False) for path, text in texts.items()]
    examples = Examples(files, characters, SPECIAL_IDS)
    prompts = [shown(examples.files_before(files[0], 3000, Random(seed), hole)) for seed in range(40)]
    last = [prompt.rpartition("<|file_sep|>")[2] for prompt in prompts]
    return [text.startswith("c.py\n") and "def longest" in text and text.count("\n") <= 33 for text in last]


def test_excerpts_of_other_files_look_like_the_lines_around_the_hole() -> None:
    at = TEXT.index("if not self.names")
    assert 15 < sum(_are_excerpts(Hole(at, at + 10, "rest"))) < 35
    assert not any(_are_excerpts(None))


def test_nothing_is_looked_for_that_is_missing_in_the_hole() -> None:
    at, words = TEXT.index("if not self.names"), "\n".join(f"unforeseen{letter}" for letter in "abcdefghijklmnop")
    text = TEXT[:at] + words + TEXT[at:]
    files = [SourceFile("even", path, text, held_out=False) for path, text in (("a.py", text), ("b.py", words + "\n"))]
    examples = Examples(files, characters, SPECIAL_IDS)
    for seed in range(20):
        prompt = shown(examples.files_before(files[0], 60, Random(seed), Hole(at, at + len(words), "rest")))
        assert "unforeseen" not in prompt


@pytest.mark.parametrize("seed", range(10))
def test_sequences_have_the_length_asked_for_and_depend_on_the_seed_alone(seed: int) -> None:
    made = _examples().sequence(700, Random(seed))
    assert len(made.tokens) == len(made.weights) == sum(made.lengths) == 700
    starts = [sum(made.lengths[:i]) for i in range(len(made.lengths))]
    assert [i for i, token in enumerate(made.tokens) if token == SPECIAL_IDS[REPO]] == starts
    assert made == _examples().sequence(700, Random(seed))
    assert made != _examples().sequence(700, Random(seed + 1))


def test_every_middle_is_followed_by_an_end() -> None:
    for seed in range(30):
        text = shown(_examples().example(2000, Random(seed)).tokens)
        assert text.startswith("<|repo_name|>")
        if "<|fim_middle|>" in text:
            assert text.endswith("<|endoftext|>")
            assert text.count("<|endoftext|>") == 1


def test_what_is_to_be_written_counts_most_and_what_was_typed_before_it_not_at_all() -> None:
    kinds = set()
    for seed in range(60):
        tokens, weights, _ = _examples().example(2000, Random(seed))
        _, middle, written = shown(tokens).partition("<|fim_middle|>")
        n_around = len(tokens) - len(written.removesuffix("<|endoftext|>")) - bool(middle)
        n_typed = weights.count(0)
        assert set(weights[:n_around]) == {1}
        assert weights[n_around : n_around + n_typed] == [0] * n_typed
        assert not middle or min(weights[n_around + n_typed :]) > 1
        kinds.add((bool(middle), bool(n_typed)))
    assert kinds == {(False, False), (True, False), (True, True)}


def test_a_language_with_little_text_is_not_drawn_again_and_again() -> None:
    python = [replace(file, text=file.text * 50) for file in corpus()]
    little = [replace(python[0], path="pack/few.go", text="package few\n\nfunc Few() int {\n\treturn 3\n}\n")]
    examples = Examples([*python, *little], characters, SPECIAL_IDS)
    made = [shown(examples.example(200, Random(seed)).tokens) for seed in range(300)]
    assert sum("pack/few.go" in text or "func Few" in text for text in made) < 10
