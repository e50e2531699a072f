"""Fill-in-the-middle prompts for clients that send windows of their text, not documents. Pure.

Such a window slides: each new line takes one away at its other end, and with it goes every token that could have been
reused. So what was seen of a text is remembered, windows are aligned with it, and the prompt is laid out around an anchor,
as it is for documents.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from scrubjay.code_text import has_words
from scrubjay.errors import RequestError
from scrubjay.prompt.anchored import current_segments, keep_or_reanchor, rooms
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt, Segment, assemble, count_tokens
from scrubjay.prompt.windows import PromptFrame, fim_segments, fitting, rounded_up
from scrubjay.workspace.document import Document

PROJECT, FILE = "myproject", "filename"
"""What llama.cpp's server calls them when nobody says it; models see the same with either server."""
N_FIM_TOKENS = 3
N_LEAST_ROOM = 16
_CLOSERS = re.compile(r"[^\S\n]*[)\]}>;,:\"'`]+[^\S\n]*")


@dataclass(frozen=True, slots=True)
class Extra:
    """Another text that the model should see."""

    filename: str
    text: str


@dataclass(frozen=True, slots=True)
class InfillPrompt:
    """What `/infill` takes: the text around the cursor, of which `middle` is what the model is to go on from.

    Args:
        extras: other texts, in the client's order.
        anchor: whether to lay the prompt out so that the next one shares its beginning.
    """

    prefix: str
    suffix: str
    middle: str = ""
    extras: tuple[Extra, ...] = ()
    anchor: bool = True
    is_fim: bool = field(default=True, init=False)

    @property
    def n_characters(self) -> int:
        return len(self.prefix) + len(self.suffix) + len(self.middle) + sum(len(extra.text) for extra in self.extras)

    @property
    def indent(self) -> str:
        """The indentation of a line that has nothing else, see `resume_at`; "" if prompts are to be as they are sent."""
        line = split_at_line(split_at_line(self.prefix)[1] + self.middle)[1]
        is_alone = not line.strip(" \t") and not has_words(self._rest)
        return line if is_alone and self.anchor else ""

    @property
    def only_extras(self) -> bool:
        """Whether only other texts are there: what comes after them is not known, so it is left out."""
        return bool(self.extras) and not (self.prefix or self.suffix or self.middle)

    def n_untokenized(self, _: PromptTools, /) -> int:
        return self.n_characters

    def make(self, tools: PromptTools) -> Prompt:
        template = tools.template
        start = Segment("repo", PROJECT, template.start(PROJECT), reason="start of every prompt")
        extras = [_extra_segment(extra, template) for extra in self.extras]
        path = Segment("path", FILE, template.header(FILE), reason="current file")
        n_marks = max(N_FIM_TOKENS, sum(map(len, template.marks)))
        n_fixed = count_tokens(start, tools.token_cache) + count_tokens(path, tools.token_cache) + n_marks
        framed = PromptFrame(start, path, tools.limits.n_ctx - tools.limits.reserve - n_fixed)
        if framed.room < N_LEAST_ROOM:
            raise RequestError(
                f"A context of {tools.limits.n_ctx} tokens is too small to fill in anything; use a larger --ctx."
            )
        if self.only_extras:
            return assemble([start, *fitting(extras, framed.room, tools.token_cache)], tools.token_cache)
        return self._anchored(framed, extras, tools) if self.anchor else self._plain(framed, extras, tools)

    def tokenize_rest(self, _: PromptTools, /) -> None:
        pass  # a window is shown whole

    def _anchored(self, framed: PromptFrame, extras: Sequence[Segment], tools: PromptTools) -> Prompt:
        stream = tools.infill_history.extended(self.prefix + self.middle)
        document = Document(stream.key, "", 0, stream.before + self.suffix, None)
        offset = len(stream.before) - len(self.indent)
        room = rooms(framed, tools.template, 0, sum(count_tokens(extra, tools.token_cache) for extra in extras))
        text = tools.token_cache.document(stream.key, document.text)
        stream.anchor = keep_or_reanchor(stream.anchor, document, text, offset, room, tools.token_cache, is_idle=False)
        n_prefix = rounded_up(len(stream.anchor.prefix.tokens), max(room.share // 16, 64), room.share)
        shown = fitting(extras, room.share - n_prefix, tools.token_cache)
        current = current_segments(stream.anchor, FILE, text, offset, tools.template)
        return assemble([framed.start, *shown, framed.path, *current], tools.token_cache)

    def _plain(self, framed: PromptFrame, extras: Sequence[Segment], tools: PromptTools) -> Prompt:
        middle = tools.token_cache(self.middle)[-(framed.room // 2) :]
        suffix = tools.token_cache(self.suffix)[: max((framed.room - len(middle)) // 4, 1)]
        n_prefix = max(framed.room - len(middle) - len(suffix), 1)
        prefix = tools.token_cache(self.prefix)[-n_prefix:]
        shown = fitting(extras, n_prefix - len(prefix), tools.token_cache)
        current = fim_segments(
            tools.template,
            Segment("prefix", FILE, (prefix,), reason="as sent"),
            Segment("suffix", FILE, (suffix,), reason="as sent"),
            Segment("middle", FILE, (middle,), reason="as sent; the model goes on from here"),
        )
        return assemble([framed.start, *shown, framed.path, *current], tools.token_cache)

    @property
    def closers(self) -> str:
        """What stands behind the cursor, and the model writes all the same: the anchored layout does not show closers."""
        return self._rest.strip() if self.anchor and _CLOSERS.fullmatch(self._rest) else ""

    @property
    def _rest(self) -> str:
        """What stands behind the cursor in its line."""
        # The rest of a long text need not be copied for each word that is written.
        end = self.suffix.find("\n")
        return self.suffix if end < 0 else self.suffix[:end]


def _extra_segment(extra: Extra, template: FimTemplate) -> Segment:
    parts: tuple[int | str, ...] = (*template.header(extra.filename), extra.text)
    if template.separator is None and not extra.text.endswith("\n"):
        parts = (*parts, "\n")
    return Segment("file", extra.filename, parts, reason="sent along")


def split_at_line(text: str) -> tuple[str, str]:
    """`text` up to the beginning of its last line, and that line."""
    at = text.rfind("\n") + 1
    return text[:at], text[at:]
