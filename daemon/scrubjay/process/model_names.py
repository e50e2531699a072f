"""What the name of a model means, and which of a repository's files it is. Looks at no network.

GGUF files of one repository differ in how they are quantised; big ones come in parts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scrubjay.engine.remote.address import is_remote
from scrubjay.errors import ModelRefused, UsageError

PREFERRED = ("Q4_K_M", "Q4_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0")
"""Quantisations to take if none is named, the best first: the usual compromise, what is like it, and what is larger."""
UNQUANTISED = ("BF16", "F16", "F32")
"""To take last."""

_HUB_NAME = re.compile(r"(?:hf:)?(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<file>.+))?")
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubName:
    """`hf:OWNER/REPO[:FILE-or-QUANT]`; `file` is "" if it is left out."""

    repo: str
    file: str = ""


def is_hub_name(name: str) -> bool:
    """Whether `name` is that of a repository: `hf:...`, or OWNER/REPO where there is no such file."""
    match = _HUB_NAME.fullmatch(name)
    if name.startswith("hf:") or not match:
        return name.startswith("hf:")
    is_path = name.startswith((".", "~")) or match["repo"].lower().endswith(".gguf")
    return not is_path and not Path(name).exists()


def whole_name(name: str) -> str:
    """`name` as it means the same in every folder: with `hf:`, or as an absolute path."""
    if is_remote(name):
        return name
    if is_hub_name(name):
        return name if name.startswith("hf:") else f"hf:{name}"
    return name if name == "starter" else str(Path(name).expanduser().absolute())


def parse_hub_name(name: str) -> HubName:
    """The parts of `hf:OWNER/REPO[:FILE-or-QUANT]`.

    Raises:
        UsageError: it is not of this form.
    """
    match = _HUB_NAME.fullmatch(name)
    if not match:
        raise UsageError(f"{name!r} is not of the form hf:OWNER/REPO or hf:OWNER/REPO:FILE-or-QUANT.")
    return HubName(match["repo"], match["file"] or "")


def choose_files(files: Iterable[str], wanted: str = "") -> list[str]:
    """The GGUF file that is `wanted`, or all its parts in order.

    Args:
        files: what the repository holds.
        wanted: a file's name, or a quantisation such as Q4_K_M; "" for the best of `PREFERRED`, or else what is there.

    Raises:
        ModelRefused: none fits, or several do; the message says which there are.
    """
    models = sorted(name for name in files if name.lower().endswith(".gguf") and not _is_projector(name))
    firsts = [name for name in models if not (part := _PART.fullmatch(name)) or int(part["number"]) == 1]
    chosen = _choose(firsts, wanted)
    part = _PART.fullmatch(chosen)
    return _all_parts(part, models) if part else [chosen]


def _is_projector(name: str) -> bool:
    """Whether the file is the picture side of a model that can see, which is no model by itself."""
    return Path(name).name.lower().startswith("mmproj")


def _choose(firsts: Sequence[str], wanted: str) -> str:
    if not firsts:
        raise ModelRefused("The repository has no GGUF file; choose one whose name ends in GGUF, as a rule.")
    if not wanted:
        quantised = [name for name in firsts if not any(_smallest([name], word) for word in UNQUANTISED)]
        return next((fit for quant in PREFERRED if (fit := _smallest(firsts, quant))), [*quantised, *firsts][0])
    exact = [name for name in firsts if wanted in (name, Path(name).name)]
    fit = exact[0] if exact else _smallest(firsts, wanted)
    if not fit:
        raise ModelRefused(f"The repository has no {wanted!r}; it has {', '.join(firsts)}.")
    return fit


def _smallest(names: Iterable[str], quant: str) -> str | None:
    """The shortest name with that quantisation in it as a word: others have additions, such as a date or a language."""
    word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(quant)}(?![A-Za-z0-9_])", re.IGNORECASE)
    return min((name for name in names if word.search(name)), key=len, default=None)


def _all_parts(first: re.Match[str], models: Sequence[str]) -> list[str]:
    n_parts = int(first["count"])
    parts = [f"{first['stem']}-{number:05}-of-{n_parts:05}.gguf" for number in range(1, n_parts + 1)]
    present = {name.lower() for name in models}
    if missing := [part for part in parts if part.lower() not in present]:
        raise ModelRefused(f"The repository lacks {missing[0]}, a part of that model.")
    return [next(name for name in models if name.lower() == part.lower()) for part in parts]
