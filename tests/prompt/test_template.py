"""Chat templates that are bombs cost their own process, and one request."""

import os
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from scrubjay.errors import RequestError
from scrubjay.prompt import template
from scrubjay.prompt.template import render

BOMBS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "repetition": "{{ 'a' * 10 ** 11 }}",
    "doubling": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "width": "{{ 'a'.ljust(10 ** 11) }}",
    "format": "{{ '%99999999999d' % 1 }}",
    "output": "{% for i in range(99999) %}{{ 'a' * 10 ** 7 }}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_the_next_prompt_is_made(name: str) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(RequestError, match=r"template"):
        render(BOMBS[name], {})
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert render("{{ a }}", {"a": "é\ud800"}) == "é\ud800"


def test_processes_are_used_again() -> None:
    render("x", {})
    ours = psutil.Process().children()
    for _ in range(5):
        render("x", {})
    assert psutil.Process().children() == ours


def test_threads_do_not_get_each_others_answers() -> None:
    with ThreadPoolExecutor(4) as threads:
        texts = list(threads.map(lambda number: render("{{ n }}" * 1000, {"n": number}), range(40)))
    assert texts == [str(number) * 1000 for number in range(40)]


def test_a_process_that_died_while_nobody_asked_is_replaced() -> None:
    render("x", {})
    for process in template._idle:
        os.kill(process._popen.pid, 9)
        process._popen.wait()
    assert render("{{ 1 + 1 }}", {}) == "2"


def test_deep_variables_are_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RequestError, match="nested too deeply"):
        render("x", {"deep": deep})
