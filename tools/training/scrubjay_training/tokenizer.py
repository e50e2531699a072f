"""Second stage: the vocabulary, byte-level BPE cut as llama.cpp's pre-tokenizer `qwen2` cuts."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from scrubjay_training.values import SPECIALS

_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(texts: Iterable[str], n_vocab: int) -> Tokenizer:
    """A tokenizer of exactly `n_vocab` tokens if the texts have enough pairs, the special ones last."""
    tokenizer = _with_cuts(BPE())
    trainer = BpeTrainer(
        vocab_size=n_vocab - len(SPECIALS), initial_alphabet=ByteLevel.alphabet(), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_specials(tokenizer)


def make_tokenizer(tokens: Iterable[str], merges: Iterable[tuple[str, str]]) -> Tokenizer:
    """A tokenizer of these tokens, in the order of their ids, and the special ones behind them."""
    return _with_specials(_with_cuts(BPE({token: i for i, token in enumerate(tokens)}, list(merges))))


def _with_cuts(model: BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(_CUTS), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def _with_specials(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that was saved there."""
    return Tokenizer.from_file(str(path))


def encode_plain(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of a text in which nothing is special: what looks like a special token is cut in two first."""
    if "<|" not in text:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)
    pieces = text.split("<|")
    parts = ["<" if i else "" for i in range(len(pieces))]
    texts = [pieces[0], *("|" + piece for piece in pieces[1:])]
    tokens: list[int] = []
    for mark, piece in zip(parts, texts, strict=True):
        tokens += tokenizer.encode(mark, add_special_tokens=False).ids
        tokens += tokenizer.encode(piece, add_special_tokens=False).ids
    return tokens
