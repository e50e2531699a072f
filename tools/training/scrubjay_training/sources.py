"""Which packages may be learnt from: those installed here whose own metadata names a permissive licence."""

import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from platform import python_version

_PERMISSIVE = re.compile(r"\b(MIT|BSD|0BSD|Apache|ASL 2|PSF|Python Software Foundation)\b", re.IGNORECASE)
_OTHER = re.compile(r"GPL|MPL|Mozilla|EPL|CDDL|EUPL|Eclipse|Affero|Proprietary|Commercial|CNRI|Non-?Commercial", re.I)
_LICENCE_KEYS = ("License-Expression", "License")
_LICENCE_CLASSIFIER = "License :: "
_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "testing", "_tests", "site-packages", "lib2to3", "idlelib", "turtledemo", "__pycache__"}
    | {"_vendor", "vendor", "vendored", "_vendored", "externals", "extern", "third_party", "locale", "migrations"}
)


@dataclass(frozen=True, slots=True)
class Package:
    """What was installed under one name.

    Args:
        licence: what its metadata says, "" if nothing.
        paths: of its Python files, relative to `root`.
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
        path.endswith(".py")
        and not path.endswith(("_pb2.py", "_pb2_grpc.py"))
        and not (_SKIPPED_FOLDERS & set(parts[:-1]))
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
                yield Package(_name(found), found.version, _licence(found), site, _paths(found))


def _name(found: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", str(found.metadata["Name"])).lower()


def _licence(found: Distribution) -> str:
    metadata = found.metadata
    texts = [text.split("\n")[0][:100] for key in _LICENCE_KEYS for text in metadata.get_all(key) or []]
    classifiers = metadata.get_all("Classifier") or []
    texts += [text.split(" :: ")[-1] for text in classifiers if text.startswith(_LICENCE_CLASSIFIER)]
    return "; ".join(dict.fromkeys(text for text in texts if text and text != "UNKNOWN"))


def _paths(found: Distribution) -> tuple[str, ...]:
    return tuple(sorted(str(file) for file in found.files or () if is_wanted(str(file))))


def _standard_library() -> Package:
    root = Path(sysconfig.get_path("stdlib"))
    paths = (file.relative_to(root).as_posix() for file in root.rglob("*.py"))
    return Package("python", python_version(), "PSF", root, tuple(sorted(path for path in paths if is_wanted(path))))
