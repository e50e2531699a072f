"""The vocabulary of a model as a file of its own."""

from pathlib import Path

import pytest

from scrubjay.errors import ModelRefused
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.llama.vocabulary_file import vocabulary_file
from tests.support.gguf_models import DAMAGES, Damage, corrupt_model, tiny_model

TEXT = "def f(self):\n\treturn 'naïve 漢字'  # <|fim_prefix|>\n"


@pytest.mark.parametrize("kind", ["dense", "dense_spm", "deltanet"])
def test_it_cuts_texts_like_the_model_it_is_of(kind: str, tmp_path: Path) -> None:
    model = tiny_model(kind)
    file = tmp_path / "vocabulary.gguf"
    file.write_bytes(vocabulary_file(model))
    assert file.stat().st_size < model.stat().st_size
    ours, theirs = Vocabulary.open(file), Vocabulary.open(model)
    for special in (False, True):
        assert ours.tokenize(TEXT, special).tolist() == theirs.tokenize(TEXT, special).tolist()
    assert (ours.n_tokens, ours.bos, ours.add_bos, ours.fim, ours.chat_template) == (
        theirs.n_tokens,
        theirs.bos,
        theirs.add_bos,
        theirs.fim,
        theirs.chat_template,
    )
    assert vocabulary_file(file) == file.read_bytes(), "it is one of its own"


@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGES if damage in ("empty", "truncated_header", "garbage", "magic")]
)
def test_a_damaged_file_is_refused(damage: Damage, tmp_path: Path) -> None:
    broken = corrupt_model(tiny_model("dense"), damage, tmp_path / "broken.gguf")
    with pytest.raises(ModelRefused):
        vocabulary_file(broken)
