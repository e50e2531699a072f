"""Does the exported file say in llama.cpp what the model says in PyTorch?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from scrubjay_training.collect import read_corpus
from scrubjay_training.learner import load_model
from scrubjay_training.model import StarterModel
from scrubjay_training.runner import Runner
from scrubjay_training.tokenizer import encode_plain, load_tokenizer
from scrubjay_training.values import Workspace

Logits = npt.NDArray[np.float32]
_N_LOGIT_FILES, _N_TOKENS = 4, 384
_N_TOKENIZER_FILES = 1000


def check(workspace: Workspace) -> dict[str, float]:
    """Normalised mean square error of the f32 file's logits, argmax agreement of the Q8_0 file, tokenizers' agreement."""
    files = read_corpus(workspace.corpus)
    texts = [file.text for file in files if file.held_out] + [file.text for file in files if not file.held_out]
    model, tokenizer = load_model(workspace.checkpoint), load_tokenizer(workspace.tokenizer)
    sequences = [encode_plain(tokenizer, text)[:_N_TOKENS] for text in texts[:_N_LOGIT_FILES]]
    ours = torch_logits(model, sequences)
    exact, small = (llama_logits(workspace.gguf(kind), sequences) for kind in ("f32", "q8_0"))
    checked = texts[:_N_TOKENIZER_FILES]
    return {
        "f32_nmse": nmse(ours, exact),
        "q8_0_argmax_agreement": float((ours.argmax(1) == small.argmax(1)).mean()),
        "n_positions": float(len(ours)),
        "n_files_tokenised": float(len(checked)),
        "n_files_tokenised_equally": float(n_equal(workspace.gguf("q8_0"), tokenizer, checked)),
    }


def nmse(expected: Logits, actual: Logits) -> float:
    """Mean square error, relative to the mean square of what was expected."""
    return float(np.mean((expected - actual) ** 2) / np.mean(expected**2))


def torch_logits(model: StarterModel, sequences: Sequence[Sequence[int]]) -> Logits:
    """The logits behind every token of all sequences, [time of all, n_vocab]."""
    with torch.no_grad():
        rows = [model.logits(model(torch.tensor([list(tokens)])))[0].float().numpy() for tokens in sequences]
    return np.concatenate(rows)


def llama_logits(path: Path, sequences: Sequence[Sequence[int]]) -> Logits:
    """The same of a GGUF file through llama.cpp."""
    with Runner(path) as runner:
        return np.concatenate([runner.all_logits(tokens) for tokens in sequences])


def n_equal(path: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    """How many texts get the same tokens from both, which also give the text back byte for byte."""
    with Runner(path, n_ctx=256) as runner:
        return sum(_is_equal(runner, tokenizer, text) for text in texts)


def _is_equal(runner: Runner, tokenizer: Tokenizer, text: str) -> bool:
    tokens = runner.encode(text)
    whole = b"".join(runner.vocabulary.piece(token) for token in tokens)
    return tokens == encode_plain(tokenizer, text) and whole == text.encode()
