"""Which packages may be learnt from: those installed here whose own metadata names a permissive licence.

`unpacked.py` finds those that are not installed.
"""

import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from platform import python_version
from typing import Any

from scrubjay_training.languages import language_of

_PERMISSIVE = re.compile(r"\b(MIT|Expat|BSD|0BSD|Apache|ASL 2|PSF|Python Software Foundation)\b", re.IGNORECASE)
_OTHER = re.compile(r"GPL|MPL|Mozilla|EPL|CDDL|EUPL|Eclipse|Affero|Proprietary|Commercial|CNRI|Non-?Commercial", re.I)
_LICENCE_KEYS = ("License-Expression", "License")
_LICENCE_CLASSIFIER = "License :: "
_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "testing", "_tests", "site-packages", "lib2to3", "idlelib", "turtledemo", "__pycache__"}
    | {"_vendor", "vendor", "vendored", "_vendored", "externals", "extern", "third_party", "locale", "migrations"}
)
_SKIPPED_ELSEWHERE = frozenset(
    {"__tests__", "testdata", "node_modules", "dist", "build", "umd", "bundles", "lib.commonjs", "lib.esm"}
    | {"_cjs", "_esm", "examples", "benchmark", "benchmarks", "fuzz", "deps", "debian"}
)
"""Folders of other languages that hold tests, copies, and what compilers make of other files of the package."""
_SKIPPED_ENDINGS = (
    *("_pb2.py", "_pb2_grpc.py", ".d.ts", ".min.js", ".bundle.js", ".pb.go", "_test.go", "_string.go"),
    *(".test.js", ".test.ts", ".test.tsx", ".spec.js", ".spec.ts", ".test-d.ts"),
)


@dataclass(frozen=True, slots=True)
class Package:
    """What was installed under one name.

    Args:
        licence: what its metadata says, "" if nothing.
        paths: of its files in a language that is learned, relative to `root`.
    """

    name: str
    version: str
    licence: str
    root: Path
    paths: tuple[str, ...]


def is_permissive(licence: str) -> bool:
    """Whether a licence as metadata name it is one of MIT, BSD, Apache and PSF, and no other is named beside it."""
    return bool(_PERMISSIVE.search(licence)) and not _OTHER.search(licence)


def is_wanted(path: str) -> bool:
    """Whether a file's place says that people wrote it, here, and that it is no test data."""
    parts = PurePosixPath(path).parts
    return (
        (language := language_of(path)) is not None
        and not path.endswith(_SKIPPED_ENDINGS)
        and not (_SKIPPED_FOLDERS & set(parts[:-1]))
        and (language == "python" or not _SKIPPED_ELSEWHERE & set(parts[:-1]))
        and not any(part.startswith("..") for part in parts)
        and not parts[-1].startswith(("test_", "_test"))
    )


def packages(sites: Iterable[Path]) -> Iterator[Package]:
    """The running Python's standard library, then everything installed in `sites`, each name once, by name."""
    yield _standard_library()
    seen: set[str] = set()
    for site in sites:
        for found in sorted(distributions(path=[str(site)]), key=_name):
            if _name(found) not in seen:
                seen.add(_name(found))
                yield Package(_name(found), found.version, licence_in(_metadata(found)), site, _paths(found))


def _name(found: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", str(found.metadata["Name"])).lower()


def licence_in(metadata: "Message[Any, Any]") -> str:
    """What a Python package's metadata say of its licence, "" if nothing."""
    texts = [text.split("\n")[0][:100] for key in _LICENCE_KEYS for text in metadata.get_all(key) or []]
    classifiers = metadata.get_all("Classifier") or []
    texts += [text.split(" :: ")[-1] for text in classifiers if text.startswith(_LICENCE_CLASSIFIER)]
    return "; ".join(dict.fromkeys(text for text in texts if text and text != "UNKNOWN"))


def _metadata(found: Distribution) -> "Message[Any, Any]":
    metadata: Any = found.metadata  # typed as less than the message that it is
    return metadata  # type: ignore[no-any-return]


def _paths(found: Distribution) -> tuple[str, ...]:
    return tuple(sorted(str(file) for file in found.files or () if is_wanted(str(file))))


def _standard_library() -> Package:
    root = Path(sysconfig.get_path("stdlib"))
    paths = (file.relative_to(root).as_posix() for file in root.rglob("*.py"))
    return Package("python", python_version(), "PSF", root, tuple(sorted(path for path in paths if is_wanted(path))))
