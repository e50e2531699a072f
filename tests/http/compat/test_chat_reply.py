"""Replies taken apart: thoughts, what is said, calls of tools; however the text was cut on its way."""

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scrubjay.http.compat.chat_reply import Form, Part, Reply, ReplyReader, ToolCall, read_reply

ALL = Form(has_thoughts=True, has_calls=True)
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
WEATHER = ToolCall("weather", '{"city": "Zürich"}')

replies = st.lists(
    st.sampled_from(["<think>", "</think>", "<tool_call>", "</tool_call>", CALL, "<", "say", " ", "\n", "{}"]),
    max_size=8,
).map("".join)
forms = st.builds(Form, st.booleans(), st.booleans(), st.just("said"))


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("", Reply("", "", ())),
        (" as it is \n", Reply(" as it is \n", "", ())),
        ("<think>\nhm\n</think>\n\nyes", Reply("yes", "hm", ())),
        ("<think>cut in the mid", Reply("", "cut in the mid", ())),
        ("I say <think>", Reply("I say <think>", "", ())),
        (f"I look.\n{CALL}\n{CALL}\n", Reply("I look.", "", (WEATHER, WEATHER))),
        (f"<think>hm</think>{CALL}", Reply("", "hm", (WEATHER,))),
        ("<tool_call>{not JSON}</tool_call>", Reply("<tool_call>{not JSON}</tool_call>", "", ())),
        ('<tool_call>{"name": "cut', Reply('<tool_call>{"name": "cut', "", ())),
        ('<tool_call>{"name": 7}</tool_call>', Reply('<tool_call>{"name": 7}</tool_call>', "", ())),
        ('<tool_call>{"name": "now"}</tool_call>', Reply("", "", (ToolCall("now", "{}"),))),
    ],
)
def test_replies(text: str, reply: Reply) -> None:
    assert read_reply(text, ALL) == reply


def test_what_nobody_looks_for_is_said() -> None:
    text = f"<think>hm</think>{CALL}"
    assert read_reply(text, Form()).said == text


@pytest.mark.parametrize(
    ("begins", "text", "reply"),
    [
        ("thought", "hm\n</think>\nyes", Reply("yes", "hm", ())),
        ("call", '{"name": "now", "arguments": {}}', Reply("", "", (ToolCall("now", "{}"),))),
        ("call", "", Reply("", "", ())),
    ],
)
def test_replies_that_the_prompt_has_begun(begins: str, text: str, reply: Reply) -> None:
    assert read_reply(text, Form(True, True, begins)) == reply  # type: ignore[arg-type]


@given(replies, forms, st.lists(st.integers(0, 200)))
def test_cuts_make_no_difference(text: str, form: Form, cuts: list[int]) -> None:
    reader = ReplyReader(form)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    parts = [part for start, end in itertools.pairwise(edges) for part in reader.feed(text[start:end])]
    parts += reader.finish()
    assert collected(parts) == read_reply(text, form)


@given(replies, forms)
@example("<tool_call>", ALL)
def test_nothing_but_whitespace_and_tags_is_lost(text: str, form: Form) -> None:
    reply = read_reply(text, form)
    calls = "".join(json.dumps({"name": call.name, "arguments": call.arguments}) for call in reply.calls)
    kept = len("".join((reply.said + reply.thought).split()))
    lost = "".join(text.split())
    for tag in ("<think>", "</think>", *(["".join(CALL.split())] if calls else [])):
        lost = lost.replace(tag, "")
    assert kept >= len(lost)


def test_what_may_become_a_tag_is_held_back() -> None:
    reader = ReplyReader(ALL)
    assert reader.feed("look <tool") == [Part("look")]
    assert reader.feed("s>") == [Part(" <tools>")]


def collected(parts: list[Part]) -> Reply:
    return Reply(
        "".join(part.text for part in parts if not part.is_thought),
        "".join(part.text for part in parts if part.is_thought),
        tuple(part.call for part in parts if part.call),
    )
