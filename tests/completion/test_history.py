"""Kept completions: found exactly where the text agrees with them."""

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.history import MAX_TYPED_CHARACTERS, CompletionCache
from scrubjay.completion.requests import CompletionRequest
from scrubjay.workspace.text import Position
from tests.support.growth import calls_of

PREFIX, SUFFIX, TEXT = "def f(x):\n    ", "\n\nprint(f(1))\n", "return x + 1\n    # done"


def kept() -> CompletionCache:
    cache = CompletionCache()
    cache.put("a.py", PREFIX, SUFFIX, (TEXT, "raise NotImplementedError"))
    return cache


def left(cache: CompletionCache, prefix: str, suffix: str = SUFFIX, key: str = "a.py") -> tuple[str, ...]:
    found = cache.find(key, prefix, suffix)
    return found.texts if found else ()


def test_what_was_typed_or_accepted_is_taken_off() -> None:
    assert left(kept(), PREFIX) == (TEXT, "raise NotImplementedError")
    assert left(kept(), PREFIX + "r") == (TEXT[1:], "aise NotImplementedError")
    assert left(kept(), PREFIX + "return x + 1\n") == ("    # done",)


def test_another_text_finds_nothing() -> None:
    assert left(kept(), PREFIX + "x") == ()
    assert left(kept(), PREFIX + TEXT) == ()
    assert left(kept(), PREFIX[:-1]) == ()
    assert left(kept(), "\n" + PREFIX) == ()
    assert left(kept(), PREFIX, SUFFIX + "x") == ()
    assert left(kept(), PREFIX, key="b.py") == ()


def test_deleting_what_was_typed_finds_it_again() -> None:
    cache = kept()
    cache.put("a.py", PREFIX + "ret", SUFFIX, ("urn None",))
    assert left(cache, PREFIX + "retu") == ("rn None",)
    assert left(cache, PREFIX + "re") == (TEXT[2:],)


def test_an_older_set_serves_where_the_newer_disagrees() -> None:
    cache = kept()
    cache.put("a.py", PREFIX + "re", SUFFIX, ("vert()",))
    assert left(cache, PREFIX + "retu") == (TEXT[4:],)


def test_far_from_where_it_was_asked_for_nothing_is_found() -> None:
    cache = CompletionCache()
    cache.put("a.py", "", "", ("x" * 400,))
    assert left(cache, "x" * MAX_TYPED_CHARACTERS, "") == ("x" * (400 - MAX_TYPED_CHARACTERS),)
    assert left(cache, "x" * (MAX_TYPED_CHARACTERS + 1), "") == ()


def test_what_replaces_text_still_does() -> None:
    cache = CompletionCache()
    cache.put("a.py", "f(", ")", ("a, b)",), n_replaced=1)
    found = cache.find("a.py", "f(a", ")")
    assert found is not None
    assert (found.texts, found.n_replaced) == ((", b)",), 1)


def test_the_least_used_are_forgotten() -> None:
    cache = CompletionCache(max_entries=3)
    for i in range(3):
        cache.put("a.py", f"place {i} ", "", ("text",))
    assert left(cache, "place 0 ", "") == ("text",)
    cache.put("a.py", "place 3 ", "", ("text",))
    assert [bool(left(cache, f"place {i} ", "")) for i in range(4)] == [True, False, True, True]


def test_what_is_known_elsewhere_costs_a_key_no_calls() -> None:
    """Each key leaves an entry: a key must not hash the questions of all of them."""
    cache, question = CompletionCache(), CompletionRequest("file:///a.py", Position(0, 0))
    for i in range(200):
        cache.put((question, "a.py"), f"{i:03}" * 200, SUFFIX, ("text",))
    assert calls_of(lambda: cache.find((question, "a.py"), "x" * 600, SUFFIX)) < 200 + 50, "one look at each, at most"


@given(st.text("ab", max_size=8), st.text("ab", max_size=3), st.text("ab", min_size=1, max_size=8), st.text("ab"))
def test_it_is_found_exactly_where_the_text_agrees(prefix: str, suffix: str, text: str, later: str) -> None:
    cache = CompletionCache()
    cache.put("a", prefix, suffix, (text,))
    agrees = later.startswith(prefix) and (prefix + text).startswith(later) and later != prefix + text
    assert left(cache, later, suffix, "a") == ((text[len(later) - len(prefix) :],) if agrees else ())
