"""A text that is interrupted goes on where it was, whatever the engine did meanwhile."""

from collections.abc import Iterator

import numpy as np
import pytest

from scrubjay.contexts.naive import Control, Interrupted
from scrubjay.protocol.messages import FromEngine, Piece, PrefillDone, Run, Sampling, Stopped
from scrubjay.tokens import as_tokens
from scrubjay.worker.generate import MAX_KEPT
from tests.support.engine_rig import CLASSES, random_tokens
from tests.worker.test_loop import Served


def with_stops(served: Served, run: Run, every: int, between: list[Run]) -> tuple[str, int]:
    """The text of `run`, which is stopped before each `every`th decode and then goes on; `between` are run meanwhile."""
    text, n_stops = "", 0
    while True:
        answers: list[FromEngine] = []
        n_left = iter(range(every))

        def check(left: Iterator[int] = n_left) -> None:
            if next(left, None) is None:
                raise Interrupted(goes_on=True)

        end = served.worker.run(run, Control(check), answers.append)
        begins_again = any(isinstance(answer, PrefillDone) and not answer.goes_on for answer in answers)
        text = ("" if begins_again else text) + "".join(each.text for each in answers if isinstance(each, Piece))
        if not isinstance(end, Stopped):
            return text, n_stops
        n_stops += 1
        for other in between:
            served.worker.run(other, Control(), lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("n_others", [0, 1, 3])
def test_a_text_that_is_stopped_goes_on(kind: str, n_others: int) -> None:
    """Wherever it was, and whoever had its context meanwhile."""
    numbers = np.random.default_rng(7)
    prompt, *others = (random_tokens(numbers, n) for n in (300, 200, 150, 250))
    sampling = Sampling(max_tokens=24, temperature=0.9, seed=3, ignore_end=True, stop=("\x00",), repeat_penalty=1.1)
    settings = {"swa_full": True} if kind == "swa_full" else {}
    served = Served(kind.replace("swa_full", "swa"), max_contexts=2, **settings)
    served.run(prompt, sampling=sampling)
    whole = served.text()
    between = [Run(10 + n, "", other, group=f"{n}") for n, other in enumerate(others[:n_others])]
    text, n_stops = with_stops(served, Run(2, "", prompt, sampling=sampling), 6, between)
    assert text == whole
    assert n_stops >= 4
    served.worker.check_integrity()
    assert served.worker.status().n_integrity_failures == 0


def test_texts_that_never_go_on_are_given_up() -> None:
    served = Served("shortconv", max_contexts=3)

    def stop() -> None:
        if served.answers:
            raise Interrupted(goes_on=True)

    sampling = Sampling(max_tokens=8, ignore_end=True)
    for number in range(2, 30):
        served.answers = []
        run = Run(number, "", as_tokens([number, 4, 5]), sampling=sampling)
        assert isinstance(served.worker.run(run, Control(stop), served.answers.append), Stopped)
    assert len(served.worker._kept._texts) == MAX_KEPT
    assert with_stops(served, Run(2, "", as_tokens([2, 4, 5]), sampling=sampling), 100, [])[0]
