"""What clients are advised from how fast keys and answers come."""

from scrubjay.service.debounce import TypingPace, advise_debounce


def test_debounce_is_advised_only_while_answers_are_slower_than_keys() -> None:
    assert advise_debounce([], 500) == 0
    assert advise_debounce([150, 200], 40) == 0
    assert advise_debounce([150, 200], 160) == 15
    assert advise_debounce([400, 400], 160) == 0
    assert advise_debounce([100, 500], 110) == 75
    assert advise_debounce([100, 120], 300) == 0


def test_pauses_are_not_typing_and_old_answers_do_not_count() -> None:
    pace = TypingPace()
    for at in (0, 100, 300, 60_000, 60_150):
        pace.typed(at)
    assert pace.debounce_ms == 0
    pace.answered(120)
    assert pace.debounce_ms == 30
    for _ in range(8):
        pace.answered(20)
    assert pace.debounce_ms == 0
