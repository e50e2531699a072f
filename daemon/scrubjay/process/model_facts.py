"""What a model's file says of itself, without loading its weights."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Sizes in tokens. `kind` is that of its memory; `style` is how it is asked to fill in: "fim", "chat" or "plain"."""

    name: str
    architecture: str
    quantization: str
    n_ctx_train: int
    kind: str
    style: str
    licence: str


def model_facts(path: Path) -> ModelFacts:
    """What the GGUF file at `path` says.

    Raises:
        ModelRefused: llama.cpp cannot read it.
    """
    from scrubjay.llama.model import Header
    from scrubjay.prompt.fim import find_template

    with Header(path) as header:
        name, architecture = header.metadata("general.name") or path.stem, header.metadata("general.architecture")
        has_fim = find_template(header.vocabulary, name).order != "plain"
        return ModelFacts(
            name=name,
            architecture=architecture,
            quantization=header.quantization,
            n_ctx_train=int(header.metadata(f"{architecture}.context_length") or 0),
            kind=_kind(
                header.is_recurrent, header.is_hybrid, header.metadata(f"{architecture}.attention.sliding_window")
            ),
            style="fim" if has_fim else "chat" if header.vocabulary.chat_template else "plain",
            licence=header.metadata("general.license"),
        )


def _kind(is_recurrent: bool, is_hybrid: bool, window: str) -> str:
    if is_recurrent:
        return "recurrent"
    if is_hybrid:
        return "hybrid"
    return "sliding window" if window not in ("", "0") else "dense"
