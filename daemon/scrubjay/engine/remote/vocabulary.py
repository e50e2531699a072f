"""The vocabulary of a remote model: prompts are made of its tokens here, so a file with it has to be on this machine."""

import asyncio
import json
import re
from collections.abc import Sequence
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
SAMPLES = (
    SAMPLE,
    "I'M sure WE'LL don't; fooBar, HTTPServerError, __init__ 12 345 6789",
    "हिन्दी 中文字符，测试。한국어 ひらがな Ελληνικά",
    "int main() {\r\n\t\t// ==== /path/to.c ====\r\n \n  \n\n\treturn x->y[0]--;\n}\n\n",
)
"""Texts in which the ways differ to split texts into words: a tokenizer.json has one that llama.cpp's name is not known of."""
FILE_NAME = "vocabulary.gguf"
JSON_NAME = "tokenizer.json"
MAX_GUESSES = 4
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cut:
    """How many tokens a vocabulary has, those of `SAMPLE`, and the file that llama.cpp can open."""

    n_tokens: int
    tokens: list[int]
    path: Path


async def find_vocabulary(
    wire: Wire, address: RemoteAddress, served: Served, named: str, folder: Path
) -> tuple[Path, int]:
    """The file with the vocabulary of the model that is `served`, which is checked, and how many tokens it has.

    It is the one that the user has named; what a Scrubjay hands out, which is put into `folder`; the model's file, where that
    is on this machine, too; or one of the same name that was downloaded from the Hugging Face hub. What a tokenizer.json says
    is put into `folder` as a GGUF file.

    Raises:
        RemoteFailed: there is none, or it is another model's.
    """
    finder = _Finder(wire, address, served, folder)
    theirs = await ask_tokens(wire, address, served, SAMPLE)
    if path := await _known(wire, served, named, folder):
        cut = await finder.cut(path, theirs)
        if not _has_as_many(cut, path, served):
            raise _other(path, address, f"{cut.n_tokens} tokens and not {served.n_vocab}")
        if theirs not in (None, cut.tokens):
            raise _other(path, address, "other tokens")
        return cut.path, cut.n_tokens
    guesses = await asyncio.to_thread(of_that_name, served.path or served.name, _hub_cache())
    for guess in guesses if theirs else ():
        try:
            cut = await finder.cut(guess, theirs)
        except RemoteFailed as error:
            if error.kind == "down":
                raise
        else:
            if theirs == cut.tokens and _has_as_many(cut, guess, served):
                return cut.path, cut.n_tokens
    raise _nowhere(served, address)


@dataclass(frozen=True, slots=True)
class _Finder:
    wire: Wire
    address: RemoteAddress
    served: Served
    folder: Path

    async def cut(self, path: Path, theirs: list[int] | None) -> Cut:
        """What the vocabulary in the file at `path` makes of `SAMPLE`, of which the server makes `theirs`.

        Raises:
            RemoteFailed: it is none.
        """
        if path.suffix != ".json":
            return await _cut(path, self.address, [SAMPLE])
        if theirs is None:
            raise RemoteFailed(
                f"The server of the remote model, {self.address.url}, does not say how it cuts texts, so {path} cannot be "
                "compared with it; name a GGUF file of that model, of any quantisation, by --tokenizer.",
                "final",
            )
        more = [await ask_tokens(self.wire, self.address, self.served, text) for text in SAMPLES[1:]]
        return await _cut(path, self.address, SAMPLES, [theirs, *more], self.folder / FILE_NAME)


async def _known(wire: Wire, served: Served, named: str, folder: Path) -> Path | None:
    """The file, if that is beyond doubt."""
    if named:
        return _file_in(Path(named))
    if served.software == "scrubjay":
        path = folder / FILE_NAME
        path.write_bytes(await wire.get_bytes("/vocabulary"))
        return path
    there = _file_in(Path(served.path))
    return there if there.is_absolute() and there.suffix in (".gguf", ".json") and there.is_file() else None


def _file_in(path: Path) -> Path:
    """`path`, or the tokenizer.json in the folder there."""
    return path / JSON_NAME if path.is_dir() else path


def of_that_name(name: str, cache: Path) -> list[Path]:
    """The GGUF files in the Hugging Face hub's `cache` that are called as the served model is, or come from its repository, and
    the tokenizer.json of such repositories; the one that has nothing more in its name first.
    """
    wanted = _letters(PurePosixPath(name).name)
    if not wanted:
        return []
    files = [file for pattern in ("**/*.gguf", JSON_NAME) for file in cache.glob(f"models--*/snapshots/*/{pattern}")]
    names = {file: _letters(str(file.relative_to(cache))) for file in files}
    found = sorted((len(name), str(file)) for file, name in names.items() if wanted in name)
    return [Path(file) for _, file in found][:MAX_GUESSES]


def _letters(name: str) -> str:
    """What of a name is the same in all its spellings."""
    return "".join(filter(str.isalnum, name.lower().removesuffix(".gguf")))


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


async def _cut(
    path: Path,
    address: RemoteAddress,
    texts: Sequence[str],
    theirs: Sequence[list[int] | None] = (),
    out: Path | None = None,
) -> Cut:
    """What the vocabulary in the file at `path` makes of the first of `texts`; see `scrubjay.llama.__main__`."""
    process = await asyncio.create_subprocess_exec(
        *python_command("-m", "scrubjay.llama", str(path), *([str(out)] if out else [])),
        env=safe_environment(),
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, err = await process.communicate(json.dumps({"texts": texts, "tokens": theirs}).encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        why = f" {lines[-1][:300]}" if lines else ""
        raise RemoteFailed(f"{path} is no vocabulary for the model of {address.url}.{why}", "final")
    found = json.loads(said)
    return Cut(found["n_tokens"], found["tokens"][0], out or path)


def _has_as_many(cut: Cut, path: Path, served: Served) -> bool:
    """Whether it has as many tokens as the model, as far as that is said; models are padded with tokens of no meaning."""
    return served.n_vocab in (0, cut.n_tokens) or (path.suffix == ".json" and cut.n_tokens < served.n_vocab)


def _nowhere(served: Served, address: RemoteAddress) -> RemoteFailed:
    name = served.path or served.name
    brought = (
        f"`hf download {name} {JSON_NAME} tokenizer_config.json` brings it, or " if _REPOSITORY.fullmatch(name) else ""
    )
    return RemoteFailed(
        f"The server of the remote model, {address.url}, serves {served.name!r}, whose vocabulary is not on this machine; "
        f"{brought}name its tokenizer.json, or a GGUF file of that model, of any quantisation, by --tokenizer.",
        "final",
    )


def _other(path: Path, address: RemoteAddress, how: str) -> RemoteFailed:
    return RemoteFailed(
        f"{path} is not the vocabulary of the model that {address.url} serves: it has {how}. Name another by --tokenizer.",
        "final",
    )
