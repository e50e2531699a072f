"""Packages that lie unpacked in folders, not installed: source packages of PyPI, npm and Debian. Nothing of them is run.

Their licence is what a file in their folder says that programs can read, the first that is there of: `PKG-INFO` (one can be
written by hand where a licence is stated in prose alone), `package.json`, and Debian's `copyright` in its fixed format,
which may give other licences to some of the files: those are left out one by one.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from email.parser import Parser
from fnmatch import fnmatchcase
from pathlib import Path

from scrubjay_training.sources import Package, is_permissive, is_wanted, licence_in

_ROOTS = ("usr/share/gocode/src", "usr/share/go-1.19/src")
_COPYRIGHTS = ("debian/copyright", "usr/share/doc/*/copyright")


@dataclass(frozen=True, slots=True)
class _Stanza:
    """The licence of the files that match one of the patterns, unless a later stanza matches too."""

    patterns: tuple[str, ...]
    licence: str

    def matches(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)


def unpacked(folders: Iterable[Path]) -> Iterator[Package]:
    """Each folder in one of `folders` as a package, by name; what says nothing of its licence has the licence ""."""
    for folder in folders:
        for root in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield _package(root)


def _package(root: Path) -> Package:
    name, _, version = root.name.partition("_")
    paths = tuple(sorted(path for path in _files(root) if is_wanted(path)))
    package = Package(name, version, "", root, paths)
    if (root / "PKG-INFO").is_file():
        return _with_pkg_info(package)
    if (root / "package.json").is_file():
        return _with_package_json(package)
    copyrights = [path for pattern in _COPYRIGHTS for path in sorted(root.glob(pattern))]
    stated = _with_copyright(package, _text(copyrights[0])) if copyrights else package
    return _from_inner_root(stated)


def _files(root: Path) -> Iterator[str]:
    return (path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file() and not path.is_symlink())


def _with_pkg_info(package: Package) -> Package:
    message = Parser().parsestr(_text(package.root / "PKG-INFO"), headersonly=True)
    name, version = message.get("Name", package.name), message.get("Version", package.version)
    return _from_inner_root(replace(package, name=name, version=version, licence=licence_in(message)))


def _with_package_json(package: Package) -> Package:
    try:
        stated = json.loads(_text(package.root / "package.json"))
    except ValueError:
        return package
    licence = stated.get("license", "")
    licence = licence.get("type", "") if isinstance(licence, dict) else licence
    name, version = stated.get("name", package.name), stated.get("version", package.version)
    return replace(package, name=str(name), version=str(version), licence=str(licence))


def _with_copyright(package: Package, text: str) -> Package:
    stanzas = [stanza for part in text.split("\n\n") if (stanza := _stanza(part)) is not None]
    main = next((stanza.licence for stanza in stanzas if "*" in stanza.patterns), "")
    kept = tuple(path for path in package.paths if is_permissive(_licence_of(path, stanzas)))
    return replace(package, licence=main, paths=kept)


def _stanza(part: str) -> _Stanza | None:
    """A paragraph that gives files a licence; a field goes on in lines that begin with a blank."""
    fields: dict[str, list[str]] = {}
    current: list[str] = []
    for line in part.splitlines():
        if line[:1].isspace():
            current.append(line.strip())
        else:
            key, _, value = line.partition(":")
            current = fields.setdefault(key.strip().lower(), [value.strip()])
    if "files" not in fields or "license" not in fields:
        return None
    return _Stanza(tuple(" ".join(fields["files"]).split()), fields["license"][0])


def _licence_of(path: str, stanzas: Iterable[_Stanza]) -> str:
    licence = ""
    for stanza in stanzas:
        if stanza.matches(path) or stanza.matches(path.rpartition("/src/")[2]):
            licence = stanza.licence
    return licence


def _from_inner_root(package: Package) -> Package:
    """The package seen from where its sources begin, so that paths are what an import says."""
    for inner in _ROOTS:
        paths = tuple(path.removeprefix(f"{inner}/") for path in package.paths if path.startswith(f"{inner}/"))
        if paths:
            return replace(package, root=package.root / inner, paths=paths)
    return package


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
