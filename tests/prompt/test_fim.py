"""Templates by model family: the token sets that llama.cpp finds, and those that it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from scrubjay.prompt.fim import FimTemplate, comment_line, find_template
from tests.support.vocabularies import open_vocabulary


@dataclass
class Texts:
    """A vocabulary of special texts, numbered from 100; `found` are those that llama.cpp names."""

    texts: tuple[str, ...]
    found: Mapping[str, str] = field(default_factory=dict)
    add_bos: bool = False
    bos: int = 1

    @property
    def fim(self) -> Mapping[str, int]:
        return {name: 100 + self.texts.index(text) for name, text in self.found.items()}

    def special(self, text: str) -> int | None:
        return 100 + self.texts.index(text) if text in self.texts else None


def psm(prefix: str, suffix: str, middle: str, *others: str, **found: str) -> Texts:
    return Texts((prefix, suffix, middle, *others), {"prefix": prefix, "suffix": suffix, "middle": middle, **found})


QWEN = psm(
    "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>",
    repo="<|repo_name|>", separator="<|file_sep|>",
)  # fmt: skip


def test_qwen_has_every_token_and_ends_the_name_with_a_newline() -> None:
    template = find_template(QWEN)
    assert template == FimTemplate("psm", 100, 101, 102, repo=103, separator=104)
    assert template.start("jay") == (103, "jay\n")
    assert template.header("lib/a.py") == (104, "lib/a.py\n")
    assert template.stop_tokens == (100, 101, 102, 103, 104)


def test_starcoder_has_a_separator_that_llama_does_not_find() -> None:
    starcoder = psm("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<repo_name>", "<file_sep>", repo="<repo_name>")
    template = find_template(starcoder)
    assert template == FimTemplate("psm", 100, 101, 102, repo=103, separator=104, repo_end="")
    assert template.start("jay") == (103, "jay")


def test_codegemma_separates_files_but_has_no_name() -> None:
    template = find_template(psm("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>"))
    assert (template.repo, template.separator, template.start("jay")) == (None, 103, ())


def test_granite_heads_files_by_their_names() -> None:
    granite = psm("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<reponame>", "<filename>")
    assert find_template(granite, "granite-3b-code") == FimTemplate("psm", 100, 101, 102, 103, 104, repo_end="")


def test_mellum_is_told_from_granite_by_its_name() -> None:
    mellum = psm("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<filename>")
    assert find_template(mellum, "Mellum-4b-base").order == "spm"
    assert find_template(mellum).order == "psm"


def test_deepseek_heads_files_by_comments_and_starts_with_bos() -> None:
    deepseek = psm("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")
    deepseek.add_bos = True
    template = find_template(deepseek)
    assert template.start("jay") == (1,)
    assert template.header("lib/a.py") == ("# lib/a.py\n",)


def test_codestral_has_no_middle_and_suffix_first() -> None:
    mistral = Texts(("[PREFIX]", "[SUFFIX]"), add_bos=True)
    assert find_template(mistral, "Codestral-22B") == FimTemplate("spm", 100, 101, bos=1)
    assert find_template(mistral, "Mistral-Nemo-Instruct") == FimTemplate("plain", bos=1)


def test_seed_coder_has_suffix_first() -> None:
    seed = Texts(("<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"))
    assert find_template(seed, "Seed-Coder-8B-Base") == FimTemplate("spm", 101, 100, 102)


@pytest.mark.parametrize("vocabulary", [Texts(()), Texts(("<|fim_prefix|>",), {"prefix": "<|fim_prefix|>"})])
def test_a_model_without_the_tokens_is_plain(vocabulary: Texts) -> None:
    template = find_template(vocabulary)
    assert template == FimTemplate("plain")
    assert template.stop_tokens == ()


def test_comments_are_those_of_the_language() -> None:
    assert comment_line("a/b.RS") == "// a/b.RS\n"
    assert comment_line("init.lua") == "-- init.lua\n"
    assert comment_line("init.el") == ";; init.el\n"
    assert comment_line("Makefile") == "# Makefile\n"


def test_a_real_vocabulary_is_found_complete() -> None:
    vocabulary = open_vocabulary("qwen2")
    template = find_template(vocabulary)
    names = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")
    assert template.stop_tokens == tuple(vocabulary.special(name) for name in names)
    assert (template.order, template.bos) == ("psm", None)


def test_a_real_sentencepiece_vocabulary_starts_with_bos() -> None:
    vocabulary = open_vocabulary("sentencepiece")
    template = find_template(vocabulary)
    assert (template.order, template.bos, template.separator) == ("psm", vocabulary.bos, None)
    assert template.stop_tokens == tuple(vocabulary.fim[name] for name in ("prefix", "suffix", "middle"))
