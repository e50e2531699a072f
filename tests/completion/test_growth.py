"""The time of every rule grows with its texts and not faster: they run on the event loop, on what models and files say.

The times are compared with those for a text four times as long, never with a clock's absolute numbers: what is linear
takes 4 times as long, what is quadratic 16 times.
"""

import random
from collections.abc import Callable
from time import process_time

import pytest

from scrubjay import code_text
from scrubjay.completion import discards
from scrubjay.completion import postprocess as rules
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import postprocess
from scrubjay.completion.stop_rules import STOP_RULES, choose_mode, leaves_asked_indent, loops_in_line, stop_at

N_CHARACTERS = 8_000
MAX_GROWTH = 9.0
NEGLIGIBLE_S = 0.02

SHAPES: dict[str, Callable[[int], str]] = {
    "one letter": lambda n: "a" * n,
    "nearly a repetition": lambda n: "abc" * (n // 3) + "Z",
    "spaces": lambda n: " " * n,
    "blank lines": lambda n: "\n" * n,
    "lines of spaces": lambda n: "   \n" * (n // 4),
    "equal lines": lambda n: "value = 1\n" * (n // 10),
    "similar long lines": lambda n: ("x" * 240 + "y\n" + "x" * 240 + "z\n") * (n // 484),
    "escaped quotes": lambda n: '\\"' * (n // 2),
    "an open string": lambda n: '"' + "\\'" * (n // 2),
    "quotes": lambda n: "'\"" * (n // 2),
    "open brackets": lambda n: "(" * (n // 2) + "]" * (n // 2),
    "nested brackets": lambda n: "([{" * (n // 6) + "}])" * (n // 6),
    "a path": lambda n: "# " + "a." * (n // 2),
    "dashes": lambda n: "--" * (n // 2),
    "fences": lambda n: "```\n" * (n // 4),
    "thoughts": lambda n: "<think>" * (n // 7),
    "closing words": lambda n: "end ;" * (n // 5),
    "random": lambda n: "".join(random.Random(1).choices("ab \n()'\"\\", k=n)),
}


def seconds(work: Callable[[], object]) -> float:
    """The least of three measurements."""
    times = []
    for _ in range(3):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def check_growth(work: Callable[[str], object], shape: Callable[[int], str]) -> None:
    small, large = shape(N_CHARACTERS), shape(4 * N_CHARACTERS)
    at_large = seconds(lambda: work(large))
    assert at_large < NEGLIGIBLE_S or at_large < MAX_GROWTH * max(seconds(lambda: work(small)), NEGLIGIBLE_S / 4)


BY_TEXT = [
    *rules.CHAT_TRIMS,
    *rules.FIRST_TRIMS,
    *rules.LAST_TRIMS,
    *discards.DISCARDS,
    *discards.AUTOMATIC_DISCARDS,
    rules.fit_line,
    rules.strip_half_line,
    *STOP_RULES,
]
RULE = pytest.mark.parametrize("rule", BY_TEXT, ids=lambda rule: rule.__name__)
BODY = CursorContext("def f(x):\n    ", "\n    return x\n", "python")


@RULE
def test_a_rule_takes_time_in_proportion_to_the_answer(rule: Callable[..., object]) -> None:
    for shape in SHAPES.values():
        check_growth(lambda text: rule(BODY, text), shape)


@RULE
def test_a_rule_takes_time_in_proportion_to_answer_and_document(rule: Callable[..., object]) -> None:
    for shape in SHAPES.values():
        check_growth(lambda text: rule(CursorContext.at(text + text, len(text)), text), shape)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_all_rules_together_take_time_in_proportion(shape: Callable[[int], str]) -> None:
    def work(text: str) -> None:
        cursor = CursorContext.at(text + text, len(text), "python")
        stop_at(cursor, choose_mode(cursor), text)
        postprocess(cursor, "multi", text, is_automatic=True, is_chat=True, can_replace=True)

    check_growth(work, shape)


@pytest.mark.parametrize(
    "work",
    [
        lambda text: leaves_asked_indent(text, 4),
        lambda text: loops_in_line(text[: len(text) // 16 * 16]),
        code_text.without_literals,
        lambda text: code_text.without_closers(text, ")"),
        lambda text: code_text.unmatched_closers(text, code_text.open_brackets(text)),
        lambda text: code_text.overlap(text, text[1:], len(text)),
        lambda text: code_text.common_prefix_length(text, text),
        lambda text: code_text.is_similar(text, text[1:], 0.1),
    ],
    ids=["asked indent", "loops", "literals", "closers", "brackets", "overlap", "common prefix", "similarity"],
)
def test_what_rules_ask_of_texts_takes_time_in_proportion(work: Callable[[str], object]) -> None:
    for shape in SHAPES.values():
        check_growth(work, shape)
