"""The vocabulary of a `tokenizer.json`, as Hugging Face has them, as a GGUF file without weights, which llama.cpp can open."""

import json
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from scrubjay.errors import ModelRefused
from scrubjay.llama.vocabulary_file import ARRAY_TYPE, STRING_TYPE, without_weights

Json = dict[str, Any]

WORDS = (
    "qwen2",
    "llama-bpe",
    "gpt-4o",
    "qwen35",
    "deepseek-v3",
    "deepseek-coder",
    "deepseek-llm",
    "starcoder",
    "gpt-2",
    "tekken",
    "chatglm-bpe",
    "seed-coder",
    "kimi-k2",
    "exaone4",
    "minimax-m2",
    "hunyuan",
    "afmoe",
    "youtu",
    "bailingmoe",
    "superbpe",
    "granite-docling",
    "falcon",
    "viking",
    "poro-chat",
)
"""llama.cpp's names of the ways in which byte-level vocabularies split texts into words; the usual ones first."""
MAX_TOKENS = 1 << 20
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6
_CONTROL_NAME = re.compile(r"<\|.*\|>|<｜.*｜>|<(fim|file|repo|end|start)_\w+>", re.DOTALL)
_BYTE_NAME = re.compile(r"<0x[0-9A-F]{2}>")
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>", "<|im_end|>", "<|return|>")
_SPACE = "▁"
_NO_MERGE = -1e6


def vocabulary_files(path: Path) -> Iterator[bytes]:
    """What the `tokenizer.json` at `path`, and what lies beside it, says, as GGUF files: one for each way of `WORDS`.

    Which is the right one only a comparison can tell. A vocabulary that does not split texts into words makes one file.

    Raises:
        ModelRefused: it is none, or of a kind that llama.cpp does not have.
    """
    try:
        tokenizer, config = _read(path), _read(path.with_name("tokenizer_config.json"), {})
        template = _template(config, path.with_name("chat_template.jinja"))
        values = _values(tokenizer, config, template)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelRefused(f"{path} is no tokenizer.json: {type(error).__name__}: {error}.") from error
    except _Unknown as error:
        raise ModelRefused(f"{path} is of no use: {error}. Name a GGUF file of that model.") from error
    packed = [_packed(name, value) for name, value in values.items()]
    for words in WORDS if values["tokenizer.ggml.model"] == "gpt2" else ("default",):
        yield without_weights([*packed, _packed("tokenizer.ggml.pre", words)])


class _Unknown(Exception):
    """Nothing of the sort is known."""


def _read(path: Path, default: Json | None = None) -> Json:
    if default is not None and not path.is_file():
        return default
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise TypeError("it is no object")
    return value


def _values(tokenizer: Json, config: Json, template: str) -> Json:
    """The keys of the GGUF file, but the one that says how it splits words."""
    model = tokenizer["model"]
    kind = _kind(tokenizer, model)
    added = {item["content"]: item for item in tokenizer.get("added_tokens") or ()}
    names = _names(model["vocab"], {content: item["id"] for content, item in added.items()})
    merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    special = {
        name: id_ for name in ("bos", "eos", "unk", "pad") if (id_ := _id_of(config.get(f"{name}_token"), names)) >= 0
    }
    special.setdefault("eos", next((names.index(end) for end in _ENDS if end in names), -1))
    if special["eos"] < 0:
        raise _Unknown("nothing says which token ends a text; its tokenizer_config.json has to be beside it")
    bos = special.get("bos")
    values: Json = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type": [
            _UNUSED if name == _unused(id_) else _type(name, added.get(name), kind) for id_, name in enumerate(names)
        ],
        **{f"tokenizer.ggml.{_KEYS[name]}_token_id": id_ for name, id_ in special.items()},
        "tokenizer.ggml.add_bos_token": bos is not None and _adds(names[bos], tokenizer, config),
    }
    if kind == "gpt2":
        values["tokenizer.ggml.merges"] = [" ".join(map(_spelled, merge)) for merge in merges]
    else:
        ranks = {first + second: -float(rank) for rank, (first, second) in reversed([*enumerate(merges)])}
        values["tokenizer.ggml.scores"] = [ranks.get(name, _NO_MERGE) for name in names]
        values["tokenizer.ggml.add_space_prefix"] = _prepends_space(tokenizer)
    return values | ({"tokenizer.chat_template": template} if template else {})


_KEYS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _kind(tokenizer: Json, model: Json) -> str:
    """llama.cpp's name of such vocabularies."""
    if model.get("type", "BPE") != "BPE":
        raise _Unknown(f"vocabularies of type {model['type']!r} are not known here")
    if any(
        part.get("type") == "ByteLevel"
        for part in chain(_parts(tokenizer, "pre_tokenizer"), _parts(tokenizer, "decoder"))
    ):
        return "gpt2"
    if model.get("byte_fallback"):
        return "llama"
    raise _Unknown("it does not fall back to bytes")


def _parts(tokenizer: Json, step: str) -> Sequence[Json]:
    """What a step consists of."""
    whole = tokenizer.get(step) or {}
    for name in ("pretokenizers", "decoders", "processors", "normalizers"):
        if name in whole:
            return [part for part in whole[name] if isinstance(part, dict)]
    return [whole]


def _names(vocabulary: dict[str, int], added: dict[str, int]) -> list[str]:
    by_id = {id_: name for name, id_ in (vocabulary | added).items()}
    if not by_id or min(by_id) < 0 or max(by_id) >= MAX_TOKENS:
        raise ValueError("its tokens have numbers that no vocabulary has")
    return [by_id.get(id_, _unused(id_)) for id_ in range(max(by_id) + 1)]


def _unused(id_: int) -> str:
    """What stands where there is no token."""
    return f"[PAD{id_}]"


def _type(name: str, added: Json | None, kind: str) -> int:
    if added is not None:
        return _CONTROL if added.get("special") or _CONTROL_NAME.fullmatch(name) else _USER_DEFINED
    if kind == "llama" and _BYTE_NAME.fullmatch(name):
        return _BYTE
    return _NORMAL


def _id_of(named: object, names: Sequence[str]) -> int:
    """The token that `tokenizer_config.json` names, -1 for none."""
    content = named.get("content") if isinstance(named, dict) else named
    return names.index(content) if isinstance(content, str) and content in names else -1


def _adds(bos: str, tokenizer: Json, config: Json) -> bool:
    """Whether prompts begin with `bos`."""
    if isinstance(said := config.get("add_bos_token"), bool):
        return said
    pieces = (piece for part in _parts(tokenizer, "post_processor") for piece in part.get("single") or ())
    return any((piece.get("SpecialToken") or {}).get("id") == bos for piece in pieces)


def _prepends_space(tokenizer: Json) -> bool:
    prepended = any(part.get("prepend") == _SPACE for part in _parts(tokenizer, "normalizer"))
    return prepended or any(
        part.get("type") == "Metaspace" and part.get("prepend_scheme", "always") != "never"
        for part in _parts(tokenizer, "pre_tokenizer")
    )


def _spelled(part: str) -> str:
    """`part` of a merge, of which llama.cpp reads the two at the space between them."""
    return part.replace(" ", chr(ord(" ") + 256))


def _template(config: Json, file: Path) -> str:
    """The chat template: the only one, or the one without another name."""
    found = config.get("chat_template")
    if isinstance(found, list):
        found = next((each["template"] for each in found if each["name"] == "default"), None)
    if isinstance(found, str):
        return found
    return file.read_text("utf-8") if file.is_file() else ""


# --- GGUF -------------------------------------------------------------------------------------------------------------


def _string(text: str) -> bytes:
    data = text.encode("utf-8", errors="replace")
    return struct.pack("<Q", len(data)) + data


_PACKED: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    bool: (7, struct.Struct("<?").pack),
    int: (4, struct.Struct("<I").pack),
    float: (6, struct.Struct("<f").pack),
    str: (STRING_TYPE, _string),
}


def _packed(name: str, value: object) -> bytes:
    """A key and its value; a list has values of one type."""
    if not isinstance(value, list):
        kind, pack = _PACKED[type(value)]
        return _string(name) + struct.pack("<I", kind) + pack(value)
    kind, pack = _PACKED[type(value[0])] if value else _PACKED[str]
    kind = 5 if type(value[0] if value else "") is int else kind  # types of tokens are signed
    return _string(name) + struct.pack("<IIQ", ARRAY_TYPE, kind, len(value)) + b"".join(map(pack, value))
