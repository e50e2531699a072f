"""Grammars, JSON schemas and biases, in llama.cpp's own sampler."""

import json

import numpy as np
import psutil
import pytest

from scrubjay.llama.sampler import Sampler
from scrubjay.protocol.messages import Sampling
from tests.support.engine_rig import random_tokens
from tests.worker.test_loop import Served


@pytest.fixture(scope="module")
def served() -> Served:
    return Served("dense_ending")


def generated(served: Served, **more: object) -> str:
    sampling = Sampling(**{"max_tokens": 200, "temperature": 1.0, "seed": 5, **more})  # type: ignore[arg-type]
    served.run(random_tokens(np.random.default_rng(1), 20), sampling=sampling)
    return served.text()


def test_a_grammar_is_obeyed(served: Served) -> None:
    assert generated(served, grammar='root ::= "ab" ("c" | "d") "e"') in ("abce", "abde")


def test_a_json_schema_is_obeyed(served: Served) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    assert json.loads(generated(served, json_schema=json.dumps(schema)))["n"] in (1, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grammar": "root ::= ("},
        {"grammar": 'other ::= "x"'},
        {"json_schema": '{"type": "nonsense"}'},
        {"json_schema": '{"$ref": "#/nowhere"}'},
        {"json_schema": '{"$ref": "https://example.invalid/schema.json"}'},
        {"json_schema": '{"type": "string", "pattern": "^(((("}'},
    ],
)
def test_a_wrong_grammar_or_schema_is_refused(served: Served, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="gramma"):
        generated(served, **wrong)


@pytest.mark.slow
def test_a_refused_grammar_leaves_nothing_behind(served: Served) -> None:
    """What was made before the refusal is freed: 64 KB each time."""
    refused = Sampling(grammar="root ::= (", logit_bias=tuple((token % 700, 1.0) for token in range(8000)))
    process, sizes = psutil.Process(), []
    for _ in range(3):
        for _ in range(50):
            with pytest.raises(ValueError, match="not valid GBNF"):
                Sampler(served.loaded.model.vocabulary, refused)
        sizes.append(process.memory_info().rss)
    assert sizes[-1] - sizes[0] < 50 * 8000 * 8


def test_a_bias_can_forbid_and_force(served: Served) -> None:
    token = int(served.loaded.model.vocabulary.tokenize("a")[0])
    assert set(generated(served, logit_bias=((token, 1000.0),))) == {"a"}


def test_the_best_token_is_the_one_that_llama_cpp_takes(served: Served) -> None:
    nothing = ((0, 0.0),)  # a bias makes the choice llama.cpp's
    assert generated(served, temperature=0.0) == generated(served, temperature=0.0, logit_bias=nothing)


@pytest.mark.parametrize(
    "odd",
    [
        {"penalty_last_n": 2**31 - 1, "repeat_penalty": 1.1},
        {"penalty_last_n": -5, "repeat_penalty": 1.1},
        {"top_k": 2**31 - 1},
        {"top_k": -3},
        {"temperature": 1e-300},
        {"temperature": float("inf")},
        {"top_p": -1.0, "min_p": 5.0},
        {"repeat_penalty": 0.0},
        {"repeat_penalty": float("nan"), "grammar": 'root ::= "ab"*'},
        {"logit_bias": ((10**9, 1.0), (-1, float("nan")))},
    ],
)
def test_odd_numbers_end_no_process(served: Served, odd: dict[str, object]) -> None:
    """What they mean is llama.cpp's business; a list of 8 GB for the last tokens would have ended it."""
    generated(served, **{"max_tokens": 8, **odd})
