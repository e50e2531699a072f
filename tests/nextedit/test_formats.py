"""What models of next edits are asked, to the byte, and what is read out of what they write."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.nextedit.formats import EditFormat, EditPrompt, Scene, asked, read
from scrubjay.nextedit.known_formats import format_for
from scrubjay.nextedit.next_edit import NextEdit, OpenText
from scrubjay.nextedit.region import window_at
from scrubjay.nextedit.sweep import Sweep1, Sweep2
from scrubjay.nextedit.zeta import END, MAX_BLOCK, MIN_BLOCK, Zeta2, Zeta21, block_starts
from tests.nextedit.session import A, Session

FORMATS = (Sweep1(), Sweep2(), Zeta2(), Zeta21())
REST = "    return math.pi * r * r\n\n\nprint(area(2))\nprint(area(3))\n"
SHAPES = f"import math\n\n\ndef area(r):\n{REST}"
OTHER = "from a import area\n"


def session() -> Session:
    """A parameter of a function was renamed, in its head only."""
    shapes = Session(SHAPES, b_py=OTHER)
    shapes.edit("area(r)", "area(radius)")
    return shapes


def scene(of: Session, form: EditFormat, at: str = "radius):", n_tokens: int = 4096) -> Scene:
    moment = of.moment()
    text = OpenText(A, A, of.texts[A])
    window = window_at(text.text, text.text.index(at), form.size, None)[1]
    return Scene(moment, text, window, lambda key: key.removeprefix("/project/"), n_tokens)


def rendered(form: EditFormat, of: Session | None = None, at: str = "radius):") -> EditPrompt:
    prompt = asked(form, scene(of or session(), form, at))
    assert prompt
    return prompt


NOW = SHAPES.replace("area(r)", "area(radius)")


def test_the_first_sweep() -> None:
    assert rendered(Sweep1()).text == (
        "<|file_sep|>b.py\nfrom a import area\n"
        "<|file_sep|>a.py.diff\noriginal:\ndef area(r):\nupdated:\ndef area(radius):\n"
        f"<|file_sep|>original/a.py\n{SHAPES}"
        f"<|file_sep|>current/a.py\n{NOW}"
        "<|file_sep|>updated/a.py\n"
    )


def test_the_second_sweep() -> None:
    prompt = rendered(Sweep2())
    assert prompt.text == (
        f"<|file_sep|>a.py\n{NOW}"
        "<|file_sep|>b.py\nfrom a import area\n"
        "<|file_sep|>a.py:4:4\noriginal:\ndef area(r):\nupdated:\ndef area(radius):\n"
        f"<|file_sep|>original/a.py:2:9\n\n\ndef area(r):\n{REST}"
        f"<|file_sep|>current/a.py:2:9\n\n\ndef area(<|cursor|>radius):\n{REST}"
        "<|file_sep|>updated/a.py:2:9\n\n\n"
    )
    assert prompt.begun == "\n\n"


def test_sweep_writes_all_lines_but_the_first_where_one_was_put_in() -> None:
    shapes = session()
    shapes.edit("def area(radius):\n", "def area(radius):\n    check(radius)\n")
    assert rendered(Sweep2(), shapes, "    check").begun == "\n"


def test_zeta_2() -> None:
    far = Session("".join(f"line {n}\n" for n in range(400)), b_py=OTHER)
    far.edit("line 200\n", "line two hundred\n")
    window = scene(far, Zeta2(), "line two").window
    below, above = "".join(window.below[:25]), "".join(window.above[-25:])
    assert rendered(Zeta2(), far, "line two").text == (
        f"<[fim-suffix]>{below}<[fim-prefix]><filename>b.py\nfrom a import area\n\n"
        "<filename>edit_history\n--- a/a.py\n+++ b/a.py\n@@ -198,7 +198,7 @@\n line 197\n line 198\n line 199\n"
        "-line 200\n+line two hundred\n line 201\n line 202\n line 203\n\n"
        f"<filename>a.py\n{above}<<<<<<< CURRENT\n{window.marked('<|user_cursor|>')}=======\n<[fim-middle]>"
    )


def test_zeta_2_in_a_file_that_it_sees_whole() -> None:
    assert rendered(Zeta2()).text == (
        "<[fim-suffix]>\n<[fim-prefix]><filename>b.py\nfrom a import area\n\n"
        "<filename>edit_history\n--- a/a.py\n+++ b/a.py\n@@ -1,7 +1,7 @@\n import math\n \n \n-def area(r):\n+def area(radius):\n"
        "     return math.pi * r * r\n \n \n\n"
        "<filename>a.py\n<<<<<<< CURRENT\n" + NOW.replace("radius", "<|user_cursor|>radius") + "=======\n<[fim-middle]>"
    )


def test_zeta_21_has_markers_between_blocks() -> None:
    text = "".join(f"a{n} = {n}\n" + "\n" * (n % 7 == 6) for n in range(28))
    blocks = Session(text)
    blocks.edit("a1 = 1\n", "a1 = 2\n")
    prompt = rendered(Zeta21(), blocks, "= 2").text
    region = prompt[prompt.index("<|marker_1|>") :]
    assert region.startswith("<|marker_1|>a0 = 0\na1 <|user_cursor|>= 2\n")
    assert "a13 = 13\n\n<|marker_2|>a14 = 14\n" in region
    assert region.endswith("a27 = 27\n\n<|marker_3|><[fim-middle]>")


@given(st.lists(st.sampled_from(["\n", "x\n", "  \n"]), max_size=80))
def test_blocks_are_all_lines_and_of_the_right_length(lines: list[str]) -> None:
    starts = block_starts(lines)
    assert (starts[0], starts[-1]) == (0, len(lines))
    assert all(MIN_BLOCK <= end - first <= MAX_BLOCK for first, end in pairwise(starts[:-1]))
    assert starts[-1] - starts[-2] <= MAX_BLOCK


# --- answers ---------------------------------------------------------------------------------------------------------

WANTED = NOW.replace("r * r", "radius * radius")


def written(form: EditFormat, old: str, new: str) -> str:
    """What a model would write to have `new`, of the present text `old` that it sees whole."""
    if isinstance(form, Sweep1):
        return new
    if isinstance(form, Sweep2):
        return new.removeprefix("import math\n\n\n")
    return f"{new}>>>>>>> UPDATED\n" if isinstance(form, Zeta2) else f"<|marker_1|>{new}<|marker_2|>"


def answer(form: EditFormat, text: str) -> NextEdit | None:
    """The next edit in what the model of `form` has written, up to where it is stopped."""
    of = scene(session(), form)
    prompt = asked(form, of)
    assert prompt
    ends = [text.index(stop) for stop in form.stop if stop in text]
    return read(form, prompt.begun + text[: min(ends, default=len(text))], A, of.window)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_an_answer_is_what_differs(form: EditFormat) -> None:
    made = answer(form, written(form, NOW, WANTED))
    line = "    return math.pi * r * r\n"
    at = NOW.index(line)
    assert made == NextEdit(A, at, at + len(line), line, line.replace("r * r", "radius * radius"), "model")
    assert answer(form, written(form, NOW, NOW)) is None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_any_answer_is_read_without_harm(form: EditFormat) -> None:
    whole = written(form, NOW, WANTED) + "<|file_sep|>" + END
    for end in range(len(whole)):
        made = answer(form, whole[:end])
        assert made is None or NOW[made.start : made.end] == made.old


@given(
    st.sampled_from(FORMATS),
    st.lists(st.sampled_from(["<|marker_1|>", "<|marker_2|>", "<|marker_9|>", "a\n", "\n", END])),
)
def test_what_is_read_is_in_its_place(form: EditFormat, parts: list[str]) -> None:
    made = answer(form, "".join(parts))
    assert made is None or (NOW[made.start : made.end] == made.old and made.old != made.new)


@pytest.mark.parametrize(
    "text", ["", "<|marker_1|>", "x<|marker_1|>y<|marker_2|>", "<|marker_2|>x<|marker_1|>", "<|marker_1|>x<|marker_3|>"]
)
def test_markers_that_make_no_sense_are_no_edit(text: str) -> None:
    assert answer(Zeta21(), text) is None


def test_the_same_marker_twice_is_no_edit() -> None:
    assert answer(Zeta21(), "<|marker_1|><|marker_1|>") is None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_a_text_with_a_marker_in_it_is_not_shown(form: EditFormat) -> None:
    for marker in form.markers:
        own = session()
        own.edit("import math\n", f"import math  # {marker}\n")
        assert asked(form, scene(own, form)) is None
        shapes = session()
        shapes.texts["/project/b.py"] = f"{OTHER}# {marker}\n"
        assert "b.py" not in rendered(form, shapes).text


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_a_prompt_is_as_long_as_it_may_be(form: EditFormat) -> None:
    shapes = session()
    shapes.texts["/project/b.py"] = "".join(f"value_{n} = {n}\n" for n in range(5000))
    of = scene(shapes, form)
    for n_tokens in (1500, 4096):
        prompt = asked(form, replace(of, n_tokens=n_tokens))
        assert prompt
        assert 1.5 * n_tokens < len(prompt.text) + 3 * prompt.max_tokens <= 3 * n_tokens
        assert "value_0 = 0\n" in prompt.text


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_other_files_end_where_they_ended_when_lines_are_typed(form: EditFormat) -> None:
    shapes = session()
    shapes.texts["/project/b.py"] = "".join(f"value_{n} = {n}\n" for n in range(5000))
    ends = set()
    for number in range(8):
        shapes.edit("import math\n", f"import math\nimport module_{number}\n")
        text = rendered(form, shapes).text
        ends.add(max(n for n in range(5000) if f"value_{n} = {n}\n" in text))
    assert len(ends) == 1


def test_names_say_which_format_a_model_has_learnt() -> None:
    found = {
        name: type(format_for(name)).__name__
        for name in (
            "sweep-next-edit-1.5B.Q8_0.gguf",
            "sweep-next-edit-v2-7B-Q4_K_M.gguf",
            "sweep-v2",
            "zeta-2",
            "zeta-2.1-Q4_K_M.gguf",
            "qwen",
        )
    }
    assert list(found.values()) == ["Sweep1", "Sweep2", "Sweep2", "Zeta2", "Zeta21", "NoneType"]
    assert type(format_for("edit", "zeta2.gguf")).__name__ == "Zeta2"
