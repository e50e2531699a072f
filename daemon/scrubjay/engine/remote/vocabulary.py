"""The vocabulary of a remote model: prompts are made of its tokens here, so a file with it has to be on this machine."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scrubjay.engine.remote.address import RemoteAddress
from scrubjay.engine.remote.dialects import Served
from scrubjay.engine.remote.questions import ask_tokens
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed
from scrubjay.isolation import python_command, safe_environment

SAMPLE = "def f(self, a1):\n    \treturn self._x[12345] != 'naïve – 漢字 🎉'  # TODO: HTTPServer\n\n\n}" + " " * 7
"""A text in which vocabularies differ."""
FILE_NAME = "vocabulary.gguf"


@dataclass(frozen=True, slots=True)
class Cut:
    """How many tokens a vocabulary has, and those of `SAMPLE`."""

    n_tokens: int
    tokens: list[int]


async def find_vocabulary(
    wire: Wire, address: RemoteAddress, served: Served, named: str, folder: Path
) -> tuple[Path, int]:
    """The file with the vocabulary of the model that is `served`, which is checked, and how many tokens it has.

    It is the one that the user has named; what a Scrubjay hands out, which is put into `folder`; the model's file, where that
    is on this machine, too; or one of the same name that was downloaded from the Hugging Face hub.

    Raises:
        RemoteFailed: there is none, or it is another model's.
    """
    theirs = await ask_tokens(wire, address, served, SAMPLE)
    path = await _known(wire, served, named, folder)
    if path is None and (guess := await asyncio.to_thread(of_that_name, served.path or served.name, _hub_cache())):
        cut = await _cut(guess, address)
        if theirs == cut.tokens and served.n_vocab in (0, cut.n_tokens):
            return guess, cut.n_tokens
    if path is None:
        raise _nowhere(served, address)
    cut = await _cut(path, address)
    if served.n_vocab not in (0, cut.n_tokens):
        raise _other(path, address, f"{cut.n_tokens} tokens and not {served.n_vocab}")
    if theirs not in (None, cut.tokens):
        raise _other(path, address, "other tokens")
    return path, cut.n_tokens


async def _known(wire: Wire, served: Served, named: str, folder: Path) -> Path | None:
    """The file, if that is beyond doubt."""
    if named:
        return Path(named)
    if served.software == "scrubjay":
        path = folder / FILE_NAME
        path.write_bytes(await wire.get_bytes("/vocabulary"))
        return path
    if served.path.endswith(".gguf") and Path(served.path).is_file():
        return Path(served.path)
    return None


def of_that_name(name: str, cache: Path) -> Path | None:
    """A GGUF file in the Hugging Face hub's `cache` that is called as the served model is, or comes from its repository."""
    wanted = _letters(PurePosixPath(name).name)
    if not wanted:
        return None
    files = sorted(cache.glob("models--*/snapshots/*/**/*.gguf"))
    return next((file for file in files if wanted in _letters(str(file.relative_to(cache)))), None)


def _letters(name: str) -> str:
    """What of a name is the same in all its spellings."""
    return "".join(filter(str.isalnum, name.lower().removesuffix(".gguf")))


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


async def _cut(path: Path, address: RemoteAddress) -> Cut:
    """What the vocabulary in the file at `path` makes of `SAMPLE`."""
    process = await asyncio.create_subprocess_exec(
        *python_command("-m", "scrubjay.llama", str(path)),
        env=safe_environment(),
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate(SAMPLE.encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        said = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        why = f" {said[-1][:300]}" if said else ""
        raise RemoteFailed(f"{path} is no vocabulary for the model of {address.url}.{why}", "final")
    return Cut(**json.loads(out))


def _nowhere(served: Served, address: RemoteAddress) -> RemoteFailed:
    return RemoteFailed(
        f"The server of the remote model, {address.url}, serves {served.name!r}, whose vocabulary is not on this machine; "
        "name a GGUF file of that model, of any quantisation, by --tokenizer.",
        "final",
    )


def _other(path: Path, address: RemoteAddress, how: str) -> RemoteFailed:
    return RemoteFailed(
        f"{path} is not the vocabulary of the model that {address.url} serves: it has {how}. Name another by --tokenizer.",
        "final",
    )
