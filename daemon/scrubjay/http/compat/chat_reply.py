"""What a model has written as the assistant, taken apart: what it thought, what it says, which tools it calls. Pure.

Understood is the form that the Hermes and Qwen families were trained with, and that most others learn as well:

    <think> ... </think> ... <tool_call> {"name": ..., "arguments": {...}} </tool_call>

What does not have this form stays what is said, so nothing that was generated is lost.
"""

import json
from dataclasses import dataclass
from typing import Literal

from scrubjay.code_text import overlap

Section = Literal["said", "thought", "call"]
THINK, END_THINK = "<think>", "</think>"
CALL, END_CALL = "<tool_call>", "</tool_call>"
_ENDS: dict[Section, str] = {"thought": END_THINK, "call": END_CALL}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called; `arguments` is a JSON object as text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply: of what is said, or of what was thought, or a whole call."""

    text: str = ""
    is_thought: bool = False
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply."""

    said: str
    thought: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What to look for in a reply.

    Args:
        has_thoughts: whether thoughts are told apart from what is said.
        has_calls: whether there are tools to call.
        begins: what the prompt ends within.
    """

    has_thoughts: bool = False
    has_calls: bool = False
    begins: Section = "said"


PLAIN = Form()
"""Nothing is looked for."""


def read_reply(text: str, form: Form) -> Reply:
    """The reply that `text` is."""
    reader = ReplyReader(form)
    parts = [*reader.feed(text), *reader.finish()]
    return Reply(
        "".join(part.text for part in parts if not part.is_thought),
        "".join(part.text for part in parts if part.is_thought),
        tuple(part.call for part in parts if part.call),
    )


class ReplyReader:
    """Takes a reply apart while it is being generated. What may yet turn out to be a tag is held back.

    Blanks beside a tag belong to nobody; all others are kept.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._section: Section = form.begins
        self._held = ""
        self._spaces = ""
        self._is_after_tag = form.begins != "said"
        self._is_at_start = form.begins == "said"
        self._is_untouched = True

    def feed(self, text: str) -> list[Part]:
        """What became certain with `text`."""
        self._held += text
        parts: list[Part] = []
        while found := self._next_tag():
            at, tag = found
            before, self._held = self._held[:at], self._held[at + len(tag) :]
            parts += self._leave(before, tag)
        n_certain = 0 if self._section == "call" else len(self._held) - self._n_uncertain()
        certain, self._held = self._held[:n_certain], self._held[n_certain:]
        return [*parts, *self._tell(certain)]

    def finish(self) -> list[Part]:
        """The rest, when nothing more comes."""
        rest, self._held = self._held, ""
        if self._section == "call":
            is_begun = rest.strip() or not self._is_untouched
            return self._called(rest, "") if is_begun else []
        parts, spaces = self._tell(rest), self._spaces
        is_said = self._section == "said" and not self._is_after_tag
        return [*parts, Part(spaces)] if spaces and is_said else parts

    def _tags(self) -> list[str]:
        """The tags that count here."""
        if self._section != "said":
            return [_ENDS[self._section]]
        # After the first visible text, `<think>` is literal text.
        is_first = self._is_at_start and THINK.startswith(self._held.lstrip()[: len(THINK)])
        return [*([THINK] if self._form.has_thoughts and is_first else []), *([CALL] if self._form.has_calls else [])]

    def _n_uncertain(self) -> int:
        """How many characters at the end may be the beginning of a tag."""
        return max((overlap(self._held, tag, len(tag) - 1) for tag in self._tags()), default=0)

    def _next_tag(self) -> tuple[int, str] | None:
        found = [(at, tag) for tag in self._tags() if (at := self._held.find(tag)) >= 0]
        return min(found, default=None)

    def _leave(self, before: str, tag: str) -> list[Part]:
        """A section has ended with `before`, at `tag`."""
        parts = self._called(before, tag) if self._section == "call" else self._tell(before)
        self._section = "thought" if tag == THINK else "call" if tag == CALL else "said"
        self._spaces, self._is_after_tag, self._is_at_start = "", True, False
        self._is_untouched = False
        return parts

    def _tell(self, text: str) -> list[Part]:
        """`text` is certain; the spaces at its end wait for what comes after them."""
        text = self._spaces + text
        told = text.rstrip()
        self._spaces = text[len(told) :]
        if not told:
            return []
        told = told.lstrip() if self._is_after_tag else told
        self._is_after_tag = self._is_at_start = False
        return [Part(told, is_thought=self._section == "thought")]

    def _called(self, text: str, tag: str) -> list[Part]:
        if call := _call(text):
            return [Part(call=call)]
        return [Part(CALL + text + tag)]


def _call(text: str) -> ToolCall | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    name = value.get("name") if isinstance(value, dict) else None
    arguments = value.get("arguments", value.get("parameters", {})) if isinstance(name, str) else None
    return (
        ToolCall(name, json.dumps(arguments, ensure_ascii=False))
        if isinstance(name, str) and isinstance(arguments, dict)
        else None
    )
