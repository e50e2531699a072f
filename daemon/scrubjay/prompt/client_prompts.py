"""Prompts that clients bring themselves: texts, tokens and mixtures, as values that a vocabulary turns into tokens.

Some clients put a window of their text between the model's fill-in-the-middle tokens by themselves. With each key such a
window slides, and every token after its start would have to be processed again. So where a prompt has this form, it is laid out
around an anchor, as for `/infill`: the model sees the same text, split between prefix and middle at another place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

import numpy as np

from scrubjay.errors import RequestError
from scrubjay.prompt.anchored import MAX_MIDDLE_TOKENS, TokenBudget, current_segments, keep_or_reanchor
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.frame import MIN_ROOM_TOKENS, LayoutInput
from scrubjay.prompt.recipe import PromptTools, RawVocabulary
from scrubjay.prompt.segments import Prompt, Segment, Span, assemble
from scrubjay.prompt.windows import rounded_up
from scrubjay.tokenizer.token_cache import Preparation
from scrubjay.tokens import EMPTY, Tokens, as_tokens, frozen
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

N_SLICE = 1 << 14
"""Numbers of a prompt that become tokens at a time."""
MAX_READY_MADE = 1 << 20
"""Characters: a longer text is no client's window, and would be searched on the event loop."""
FILE = "filename"
"""What a text is called for which the client sent no name."""


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """Texts, in which names of special tokens count as these, and tokens, one after the other.

    Args:
        anchor: whether to lay out a fill-in-the-middle prompt so that the next one shares its beginning.
    """

    parts: tuple[str | int, ...]
    anchor: bool = False
    n_characters: int = field(default=0, init=False, compare=False)
    """Of its texts, and one for each token: counted where the prompt is made, as there may be very many."""
    is_fim: bool = field(default=False, init=False)
    indent: str = field(default="", init=False)
    typed: str = field(default="", init=False)
    closers: str = field(default="", init=False)

    def __post_init__(self) -> None:
        n_characters = sum(len(part) if isinstance(part, str) else 1 for part in self.parts)
        object.__setattr__(self, "n_characters", n_characters)

    @property
    def unhealed(self) -> "RawPrompt":
        return self

    def preparations(self, tools: PromptTools, /) -> list[Preparation] | None:
        ready = self._ready_made(tools)
        return ready.preparations(tools) if ready else None

    def make(self, tools: PromptTools) -> Prompt:
        ready = self._ready_made(tools)
        return ready.make(tools) if ready else single_segment(raw_tokens(self.parts, tools.vocabulary), tools)

    def _ready_made(self, tools: PromptTools) -> "ReadyMadePrompt | None":
        if not self.anchor or len(self.parts) != 1 or self.n_characters > MAX_READY_MADE:
            return None
        if not isinstance(self.parts[0], str):
            return None
        return find_ready_made(self.parts[0], tools.vocabulary, tools.template)


@dataclass(frozen=True, slots=True)
class ReadyMadePrompt:
    """A text in which a client has put the model's fill-in-the-middle tokens by itself.

    Args:
        head: what comes before the first of them.
        middle: what comes after the middle token: the model goes on from there.
    """

    head: str
    prefix: str
    suffix: str
    middle: str

    def preparations(self, tools: PromptTools) -> list[Preparation]:
        """See `PromptRecipe.preparations`."""
        client = tools.infill_history.extend(self.prefix + self.middle)
        window = tools.token_cache.missing([(client.key, client.before + self.suffix)])
        suffix = tools.token_cache.missing_text(self.suffix)
        return [*window, suffix] if suffix else window

    def make(self, tools: PromptTools) -> Prompt:
        """The prompt; it has room for all that was sent, unless that fills the context."""
        head = raw_tokens((self.head,), tools.vocabulary)
        client = tools.infill_history.extend(self.prefix + self.middle)
        document = Document(client.key, "", 0, client.before + self.suffix, None)
        place = (Project(""), document, len(client.before))
        layout = LayoutInput(*place, tools.template, tools.token_cache, tools.limits, shows_rest=True)
        budget = self._budget(len(head) + sum(map(len, tools.template.marks)), tools)
        client.anchor = keep_or_reanchor(client.anchor, layout, budget)
        start = Segment("path", FILE, (head,), reason="what the client sent before the text around the cursor")
        return assemble([start, *current_segments(client.anchor, FILE, layout)], tools.token_cache)

    def _budget(self, n_fixed: int, tools: PromptTools) -> TokenBudget:
        room = tools.limits.n_ctx - tools.limits.reserve - n_fixed
        if room < MIN_ROOM_TOKENS:
            raise RequestError(
                f"A context of {tools.limits.n_ctx} tokens is too small for this prompt; use a larger --ctx."
            )
        middle = min(MAX_MIDDLE_TOKENS, room // 4)
        suffix = min(rounded_up(len(tools.token_cache(self.suffix)), 64, room), (room - middle) // 2)
        # Of what is remembered before the client's window about as much again is shown; a text has no more tokens than bytes.
        n_bytes = len(self.prefix.encode(errors="surrogatepass"))
        share = room - middle - suffix
        prefix = min(1 << n_bytes.bit_length(), share)
        return TokenBudget(prefix, suffix, middle, share, prefix)


def find_ready_made(text: str, vocabulary: RawVocabulary, template: FimTemplate) -> ReadyMadePrompt | None:
    """What a client has put between the model's tokens for filling in; None if `text` does not have that form."""
    by_order = {"psm": (template.prefix, template.suffix), "spm": (template.suffix, template.prefix)}
    tokens = by_order.get(template.order)
    if tokens is None or template.chat:
        return None
    parts = _split(text, [*tokens, *([] if template.middle is None else [template.middle])], vocabulary)
    if parts is None:
        return None
    head, first, second, *middle = parts
    prefix, suffix = (first, second) if template.order == "psm" else (second, first)
    return ReadyMadePrompt(head, prefix, suffix, "".join(middle))


def _split(text: str, tokens: Sequence[int | None], vocabulary: RawVocabulary) -> list[str] | None:
    """`text` split at the names of `tokens`, if each of them is there once and in this order."""
    parts = [text]
    for token in tokens:
        name = "" if token is None else vocabulary.name(token)
        if not name or text.count(name) != 1 or vocabulary.special(name) != token:
            return None
        before, found, after = parts.pop().partition(name)
        if not found:
            return None
        parts += before, after
    return parts


def raw_tokens(
    parts: Sequence[str | int], vocabulary: RawVocabulary, add_special: bool = True, parse_special: bool = True
) -> Tokens:
    """The tokens of `parts`, after a BOS if the model wants one, `add_special` and none is there.

    Args:
        parse_special: names of special tokens in texts count as these.

    Raises:
        RequestError: a number is no token.
    """
    arrays = [EMPTY]
    for is_text, run in groupby(parts, lambda part: isinstance(part, str)):
        if is_text:
            arrays += (vocabulary.tokenize(str(text), special=parse_special) for text in run)
        else:
            while numbers := [int(number) for number in islice(run, N_SLICE)]:  # between slices others have their turn
                arrays.append(_tokens(numbers, vocabulary))
    tokens = frozen(np.concatenate(arrays))
    wants_bos = add_special and vocabulary.add_bos and not (len(tokens) and tokens[0] == vocabulary.bos)
    return frozen(np.concatenate([as_tokens([vocabulary.bos]), tokens])) if wants_bos else tokens


def single_segment(tokens: Tokens, tools: PromptTools) -> Prompt:
    """A prompt in one piece.

    Raises:
        RequestError: it is empty or too long.
    """
    require_room(len(tokens), tools)
    return Prompt(tokens, (), (), (Span("prefix", "prompt", 0, len(tokens)),), ("sent as it is",))


def require_room(n_tokens: int, tools: PromptTools) -> None:
    """Raises RequestError unless a prompt of `n_tokens` has room in the context."""
    if n_tokens == 0:
        raise RequestError("The prompt is empty; send at least one token.")
    n_ctx = tools.limits.n_ctx
    if n_tokens >= n_ctx:
        raise RequestError(
            f"The prompt has {n_tokens} tokens and the context holds {n_ctx}, one of them for the answer; "
            "shorten the prompt or serve with a larger --ctx.",
            kind="exceed_context_size_error",
        )


def _tokens(numbers: Sequence[int], vocabulary: RawVocabulary) -> Tokens:
    n_tokens = vocabulary.n_tokens
    for number in numbers:
        if not 0 <= number < n_tokens:
            raise RequestError(f"{number} is no token: the vocabulary has {n_tokens}.")
    return as_tokens(numbers)
