"""How a model wants fill-in-the-middle prompts: its tokens, their order, and how files are headed.

llama.cpp finds the tokens of most models in the GGUF; those that it does not know are looked up by their texts. A model
without such tokens gets the plain template: files under comment headers, then the prefix, no suffix.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from scrubjay.code_text import comment_marker_for

Order = Literal["psm", "spm", "plain"]
PromptStyle = Literal["auto", "fim", "plain", "chat"]
"""By the model's own tokens; as text that goes on; in a chat. `auto` takes the first of them, else a chat, else text."""
Part = int | str
"""A piece of a prompt: a special token, or text to be tokenised."""


class FimVocabulary(Protocol):
    """What of a vocabulary tells how to fill in the middle."""

    @property
    def bos(self) -> int: ...
    @property
    def add_bos(self) -> bool: ...
    @property
    def fim(self) -> Mapping[str, int]: ...
    def special(self, text: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class ChatFim:
    """What stands for the special tokens where a chat model is asked: tokens before all files, at the cursor, and between
    the suffix and the beginning of the answer; and the strings at which an answer ends."""

    start: tuple[int, ...]
    cursor: tuple[int, ...]
    question: tuple[int, ...]
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FimTemplate:
    """The tokens of a model's prompts, None where it has no such token.

    Args:
        order: "psm" is prefix, suffix, middle; "spm" is suffix, prefix, middle; "plain" knows no suffix.
        bos: starts every prompt.
        repo: comes before the project's name, which `repo_end` ends.
        separator: comes before each file's path.
        chat: what stands for all these where there are none.

    Attributes:
        marks: the tokens before the prefix, before the suffix, and before the middle.
        stop_tokens: tokens at which a completion ends, besides the model's own end tokens.
        stop: strings at which a completion ends.
    """

    order: Order
    prefix: int | None = None
    suffix: int | None = None
    middle: int | None = None
    repo: int | None = None
    separator: int | None = None
    bos: int | None = None
    repo_end: str = "\n"
    chat: ChatFim | None = None
    marks: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = field(init=False, repr=False, compare=False)
    stop_tokens: tuple[int, ...] = field(init=False, repr=False, compare=False)
    stop: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, because each prompt needs them.
        marks = (_present(self.prefix), _present(self.suffix), _present(self.middle))
        tokens = (self.prefix, self.suffix, self.middle, self.repo, self.separator)
        object.__setattr__(self, "marks", ((), self.chat.cursor, self.chat.question) if self.chat else marks)
        object.__setattr__(self, "stop_tokens", tuple(token for token in tokens if token is not None))
        object.__setattr__(self, "stop", self.chat.stop if self.chat else ())

    def start(self, project: str) -> tuple[Part, ...]:
        """What comes before all files of the project of that name."""
        if self.chat:
            return self.chat.start
        return _present(self.bos) + (() if self.repo is None else (self.repo, project + self.repo_end))

    def header(self, path: str) -> tuple[Part, ...]:
        """What comes before the text of the file at `path`."""
        return (comment_line(path),) if self.separator is None else (self.separator, f"{path}\n")


@dataclass(frozen=True, slots=True)
class _TokenSet:
    """The texts of FIM tokens that llama.cpp does not look for; `model` is part of the names of the models they are for."""

    prefix: str
    suffix: str
    middle: str | None
    order: Order
    model: str = ""


# Mistral's general models have Codestral's tokens too, but were never trained with them.
_UNKNOWN_TO_LLAMA = (
    _TokenSet("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", "spm"),
    _TokenSet("[PREFIX]", "[SUFFIX]", None, "spm", model="codestral"),
)
_SPM_MODELS = ("mellum",)
_REPOS = {"<|repo_name|>": "\n", "<repo_name>": "", "<reponame>": ""}
_SEPARATORS = ("<|file_sep|>", "<file_sep>", "<|file_separator|>", "<filename>", "<|filename|>")


def find_template(vocabulary: FimVocabulary, name: str = "") -> FimTemplate:
    """The template for a model; `name` (of the model, "" if unknown) decides where its tokens do not tell."""
    bos = vocabulary.bos if vocabulary.add_bos else None
    found = _known_tokens(vocabulary, name.lower()) or _other_tokens(vocabulary, name.lower())
    if found is None:
        return FimTemplate("plain", bos=bos)
    order, prefix, suffix, middle = found
    repo, repo_end = _repo(vocabulary)
    separator = vocabulary.fim.get("separator", _first(vocabulary, _SEPARATORS))
    return FimTemplate(order, prefix, suffix, middle, repo, separator, bos, repo_end)


def styled(template: FimTemplate, style: PromptStyle, by_chat: Callable[[], FimTemplate | None]) -> FimTemplate:
    """How a model whose own template is `template` is asked in that style, or as `auto` has it where it cannot be.

    Args:
        by_chat: makes a template for asking in a chat; None if the model has none.
    """
    if style == "plain":
        return FimTemplate("plain", bos=template.bos)
    if style == "chat" or template.order == "plain":
        return by_chat() or template
    return template


def comment_line(path: str) -> str:
    """`path` in a comment of the language that its name says, for models that have no token between files."""
    return f"{comment_marker_for(path)} {path}\n"


_Found = tuple[Order, int, int, int | None]


def _known_tokens(vocabulary: FimVocabulary, name: str) -> _Found | None:
    fim = vocabulary.fim
    if not fim.keys() >= {"prefix", "suffix", "middle"}:
        return None
    order: Order = "spm" if any(model in name for model in _SPM_MODELS) else "psm"
    return order, fim["prefix"], fim["suffix"], fim["middle"]


def _other_tokens(vocabulary: FimVocabulary, name: str) -> _Found | None:
    for texts in _UNKNOWN_TO_LLAMA:
        prefix, suffix = vocabulary.special(texts.prefix), vocabulary.special(texts.suffix)
        middle = vocabulary.special(texts.middle) if texts.middle else None
        if prefix is None or suffix is None or (texts.middle and middle is None):
            continue
        if not name or texts.model in name:
            return texts.order, prefix, suffix, middle
    return None


def _repo(vocabulary: FimVocabulary) -> tuple[int | None, str]:
    known = vocabulary.fim.get("repo")
    for text, end in _REPOS.items():
        token = vocabulary.special(text)
        if token is not None and known in (None, token):
            return token, end
    return known, "\n"


def _first(vocabulary: FimVocabulary, texts: Iterable[str]) -> int | None:
    return next((token for text in texts if (token := vocabulary.special(text)) is not None), None)


def _present(token: int | None) -> tuple[int, ...]:
    return () if token is None else (token,)


PLAIN = FimTemplate("plain")
