"""Fill-in-the-middle prompts for clients that send windows of their text, not documents.

Such a window slides: each new line takes one away at its other end, and with it goes every token that could have been
reused. So what was seen of a text is remembered, windows are aligned with it, and the prompt is laid out around an anchor,
as it is for documents. Making a prompt therefore changes the history of its client; nothing else here changes anything.
"""

import re
from dataclasses import dataclass, field, replace
from functools import partial

from scrubjay.code_text import has_words
from scrubjay.errors import RequestError
from scrubjay.prompt.anchored import Anchor, current_segments, keep_or_reanchor, token_budget
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.frame import FIM_TOKENS, MIN_ROOM_TOKENS, LayoutInput, PromptFrame, fim_segments, fitting
from scrubjay.prompt.infill_history import Extra, InfillClient
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt, Segment, assemble, count_tokens
from scrubjay.prompt.windows import token_border
from scrubjay.tokenizer.token_cache import Preparation
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

PROJECT, FILE = "myproject", "filename"
"""What llama.cpp's server calls them when nobody says it; models see the same with either server."""
_CLOSERS = re.compile(r"[^\S\n]*[)\]}>;,:\"'`]+[^\S\n]*")


@dataclass(frozen=True, slots=True)
class InfillPrompt:
    """What `/infill` takes: the text around the cursor, of which `middle` is what the model is to go on from.

    Args:
        extras: other texts, in the client's order.
        anchor: whether to lay the prompt out so that the next one shares its beginning.
        is_healed: whether it then ends where a token begins, see `resume_at`.
    """

    prefix: str
    suffix: str
    middle: str = ""
    extras: tuple[Extra, ...] = ()
    anchor: bool = True
    is_healed: bool = True
    is_fim: bool = field(default=True, init=False)

    @property
    def n_characters(self) -> int:
        return len(self.prefix) + len(self.suffix) + len(self.middle) + sum(len(extra.text) for extra in self.extras)

    @property
    def indent(self) -> str:
        """The indentation of a line that has nothing else, see `resume_at`; "" if prompts are to be as they are sent."""
        is_alone = not self._line.strip(" \t") and not has_words(self._rest)
        return self._line if is_alone and self.anchor else ""

    @property
    def typed(self) -> str:
        line = self._line
        is_healed = self.anchor and self.is_healed and not self.only_extras and line.strip(" \t")
        return line[token_border(line, 0, len(line)) :] if is_healed else ""

    @property
    def unhealed(self) -> "InfillPrompt":
        return replace(self, is_healed=False)

    @property
    def only_extras(self) -> bool:
        """Whether only other texts are there: what comes after them is not known, so it is left out."""
        return bool(self.extras) and not (self.prefix or self.suffix or self.middle)

    def preparations(self, tools: PromptTools, /) -> list[Preparation]:
        cache, texts = tools.token_cache, [extra.text for extra in self.extras]
        if self.anchor and not self.only_extras:
            client = tools.infill_history.extend(self.prefix + self.middle)
            windows = cache.missing([(client.key, client.before + self.suffix)])
        else:
            texts += [self.prefix, self.middle, self.suffix]
            windows = []
        return [*filter(None, map(cache.missing_text, texts)), *windows]

    def make(self, tools: PromptTools) -> Prompt:
        template, limits = tools.template, tools.limits
        start = Segment("repo", PROJECT, template.start(PROJECT), reason="the start of every prompt for such clients")
        path = Segment(
            "path", FILE, template.header(FILE), reason="a name for the text, for which the client sent none"
        )
        n_marks = max(FIM_TOKENS, sum(map(len, template.marks)))
        n_fixed = count_tokens(start, tools.token_cache) + count_tokens(path, tools.token_cache) + n_marks
        frame = PromptFrame(start, path, limits.n_ctx - limits.reserve - n_fixed)
        if frame.room < MIN_ROOM_TOKENS:
            raise RequestError(
                f"A context of {limits.n_ctx} tokens is too small to fill in anything; use a larger --ctx."
            )
        if self.only_extras:
            extras = [_extra_segment(extra, template) for extra in self.extras]
            alone = [start, *fitting(extras, frame.room, tools.token_cache)]
            return self._read_ahead(frame, tools) or assemble(alone, tools.token_cache)
        return self._anchored(frame, tools) if self.anchor else self._plain(frame, tools)

    def _anchored(self, frame: PromptFrame, tools: PromptTools) -> Prompt:
        """The prompt as for a document of which the windows show a part."""
        client = tools.infill_history.extend(self.prefix + self.middle)
        client.window = (self.prefix + self.middle, self.suffix)
        shown = replace(self, extras=client.shown(self.extras))
        prompt, client.anchor = shown._laid_out(client, frame, tools)
        return prompt

    def _read_ahead(self, frame: PromptFrame, tools: PromptTools) -> Prompt | None:
        """These other texts, with the window of the client that was used last: the prompt that it needs next.

        While it is being processed, that client's prompts go on with the texts from before.
        """
        client = tools.infill_history.last if self.anchor else None
        if client is None or client.window is None:
            return None
        before, after = client.window
        old = client.anchor
        prompt, anchor = replace(self, prefix=before, suffix=after)._laid_out(client, frame, tools)
        client.announce(self.extras)
        return replace(prompt, on_read=partial(client.adopt, self.extras, old, anchor))

    def _laid_out(self, client: InfillClient, frame: PromptFrame, tools: PromptTools) -> tuple[Prompt, Anchor]:
        """The prompt for the text of `client`, and the anchor in it."""
        extras = [_extra_segment(extra, tools.template) for extra in self.extras]
        document = Document(client.key, "", 0, client.before + self.suffix, None)
        n_typed = len(self.indent or self.typed)
        place = (Project(PROJECT), document, len(client.before) - n_typed)
        layout = LayoutInput(*place, tools.template, tools.token_cache, tools.limits, n_typed=n_typed)
        n_others = sum(count_tokens(extra, tools.token_cache) for extra in extras)
        budget = token_budget(frame, tools.template, 0, n_others)
        anchor = keep_or_reanchor(client.anchor, layout, budget)
        room = budget.for_files(len(anchor.prefix.tokens))
        shown = fitting(extras, room, tools.token_cache)
        current = current_segments(anchor, FILE, layout)
        return assemble([frame.start, *shown, frame.path, *current], tools.token_cache), anchor

    def _plain(self, frame: PromptFrame, tools: PromptTools) -> Prompt:
        """The prompt as llama.cpp's server makes it."""
        cache, extras = tools.token_cache, [_extra_segment(extra, tools.template) for extra in self.extras]
        middle = cache(self.middle)[-(frame.room // 2) :]
        suffix = cache(self.suffix)[: max((frame.room - len(middle)) // 4, 1)]
        n_prefix = max(frame.room - len(middle) - len(suffix), 1)
        prefix = cache(self.prefix)[-n_prefix:]
        shown = fitting(extras, n_prefix - len(prefix), cache)
        current = fim_segments(
            tools.template,
            Segment("prefix", FILE, (prefix,), reason="text before the cursor, as the client sent it"),
            Segment("suffix", FILE, (suffix,), reason="text after the cursor, as the client sent it"),
            Segment(
                "middle", FILE, (middle,), reason="the beginning of the line, as sent; the model goes on from here"
            ),
        )
        return assemble([frame.start, *shown, frame.path, *current], cache)

    @property
    def closers(self) -> str:
        """What stands after the cursor, and the model writes all the same: the anchored layout does not show closers."""
        return self._rest.strip() if self.anchor and _CLOSERS.fullmatch(self._rest) else ""

    @property
    def _line(self) -> str:
        """What stands before the cursor in its line."""
        return split_at_line(split_at_line(self.prefix)[1] + self.middle)[1]

    @property
    def _rest(self) -> str:
        """What stands after the cursor in its line."""
        # The rest of a long text need not be copied for each word that is written.
        end = self.suffix.find("\n")
        return self.suffix if end < 0 else self.suffix[:end]


def _extra_segment(extra: Extra, template: FimTemplate) -> Segment:
    parts: tuple[int | str, ...] = (*template.header(extra.filename), extra.text)
    if template.separator is None and not extra.text.endswith("\n"):
        parts = (*parts, "\n")
    return Segment("file", extra.filename, parts, reason="another text that the client sent with its request")


def split_at_line(text: str) -> tuple[str, str]:
    """`text` up to the beginning of its last line, and that line."""
    at = text.rfind("\n") + 1
    return text[:at], text[at:]
