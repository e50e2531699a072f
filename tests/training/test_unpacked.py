from pathlib import Path

from scrubjay_training.sources import Package, is_permissive
from scrubjay_training.unpacked import unpacked

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Somebody
License: Expat

Files:
 src/old.c
 lib/*
Copyright: 1999 Somebody Else
License: GPL-2+
"""


def test_what_npm_says_of_a_package_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "left-1.0" / "package.json", '{"name": "left", "version": "1.0.0", "license": "MIT"}')
    _write(tmp_path / "left-1.0" / "src" / "pad.ts")
    _write(tmp_path / "left-1.0" / "dist" / "pad.js")
    assert _summary(tmp_path) == [("left", "1.0.0", "MIT", ("src/pad.ts",))]


def test_what_pypi_says_of_a_source_package_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "thing-2.0" / "PKG-INFO", "Name: thing\nVersion: 2.0\nLicense-Expression: BSD-3-Clause\n")
    _write(tmp_path / "thing-2.0" / "ext" / "thing.c")
    assert _summary(tmp_path) == [("thing", "2.0", "BSD-3-Clause", ("ext/thing.c",))]


def test_files_with_another_licence_than_their_package_are_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "ring_1.2-3" / "debian" / "copyright", COPYRIGHT)
    for path in ("src/ring.c", "src/old.c", "lib/deep/list.c"):
        _write(tmp_path / "ring_1.2-3" / path)
    assert _summary(tmp_path) == [("ring", "1.2-3", "Expat", ("src/ring.c",))]
    assert is_permissive("Expat")


def test_go_packages_begin_where_imports_begin(tmp_path: Path) -> None:
    root = tmp_path / "golang-mux-dev_1.8_all"
    _write(root / "usr/share/doc/golang-mux-dev/copyright", COPYRIGHT)
    _write(root / "usr/share/gocode/src/github.com/mux/mux.go")
    (package,) = unpacked([tmp_path])
    assert package.paths == ("github.com/mux/mux.go",)
    assert (package.root / package.paths[0]).exists()


def test_a_package_that_says_nothing_has_no_licence(tmp_path: Path) -> None:
    _write(tmp_path / "silent" / "a.c")
    _write(tmp_path / "broken" / "package.json", "{")
    assert [package.licence for package in unpacked([tmp_path])] == ["", ""]


def _summary(folder: Path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    def cells(package: Package) -> tuple[str, str, str, tuple[str, ...]]:
        return package.name, package.version, package.licence, package.paths

    return [cells(package) for package in unpacked([folder])]


def _write(path: Path, text: str = "x\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
