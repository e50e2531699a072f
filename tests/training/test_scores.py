from scrubjay_training.cursors import Hole
from scrubjay_training.scores import Completion, ends_in_place, goes_on, is_exact, loops, matches_line, parses

TEXT = "def f(a):\n    b = a + 1\n    return b\n"
AT = TEXT.index("a + 1")


def _completion(written: str, has_ended: bool = True, tokens: tuple[int, ...] = (1, 2)) -> Completion:
    return Completion(TEXT, Hole(AT, AT + 5, "rest"), AT + 6, written, tokens, has_ended)


def test_the_right_completion_is_right_in_every_way() -> None:
    right = _completion("a + 1\n")
    assert goes_on(right)
    assert matches_line(right)
    assert ends_in_place(right)
    assert parses(right)
    assert not loops(right)


def test_only_all_of_it_is_exact() -> None:
    assert is_exact(_completion("a + 1\n"))
    assert not is_exact(_completion("a + 1\n    c = 1\n"))


def test_a_new_line_instead_of_the_rest_is_seen() -> None:
    assert not goes_on(_completion("\n    c = 1\n"))


def test_another_rest_of_the_line_is_seen() -> None:
    assert not matches_line(_completion("a + 2\n"))


def test_leaving_the_block_and_never_ending_are_seen() -> None:
    assert not ends_in_place(_completion("a + 1\nprint(f)\n"))
    assert not ends_in_place(_completion("a + 1\n", has_ended=False))
    assert ends_in_place(_completion("a + 1\n    c = b\n"))


def test_what_breaks_the_file_is_seen() -> None:
    assert not parses(_completion("(a + 1\n"))


def test_repetition_of_lines_and_of_tokens_is_seen() -> None:
    assert loops(_completion("a\n    b\n    b\n    b\n"))
    assert loops(_completion("a", tokens=(1, 2, 2, 2, 2, 2)))
    assert not loops(_completion("a\n    b\n    b\n", tokens=(2, 2, 2, 2)))
