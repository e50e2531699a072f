from pathlib import Path

import pytest

from scrubjay_training.sources import is_permissive, is_wanted, packages


@pytest.mark.parametrize(
    "licence",
    ["MIT", "BSD-3-Clause", "Apache-2.0 OR BSD-2-Clause", "PSF-2.0", "Apache Software License", "BSD License"],
)
def test_permissive_licences_are_taken(licence: str) -> None:
    assert is_permissive(licence)


@pytest.mark.parametrize("licence", ["", "GPL-3.0", "MPL-2.0", "MIT; LGPLv2", "Other/Proprietary License", "SUMMIT"])
def test_other_unknown_and_mixed_licences_are_refused(licence: str) -> None:
    assert not is_permissive(licence)


@pytest.mark.parametrize(
    "path",
    [
        *("a/tests/b.py", "a/test_b.py", "a/_vendor/b.py", "a/b_pb2.py", "a/b.pyi", "../bin/x.py", "a/locale/de.py"),
        *("a/b.d.ts", "dist/b.js", "a/b_test.go", "a/b.test.ts", "a/b.min.js", "testdata/b.c", "a/b.txt"),
    ],
)
def test_tests_copies_and_generated_files_are_left_out(path: str) -> None:
    assert not is_wanted(path)


def test_ordinary_files_are_wanted() -> None:
    assert is_wanted("a/b.py")
    assert is_wanted("single.py")
    assert is_wanted("dist/b.py")
    assert all(is_wanted(f"src/b{suffix}") for suffix in (".js", ".ts", ".tsx", ".c", ".h", ".go"))


@pytest.mark.slow
def test_packages_are_named_with_what_their_metadata_say(tmp_path: Path) -> None:
    _install(tmp_path, "Nice_Thing", "License-Expression: MIT", "nice/core.py")
    _install(tmp_path, "old", "License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License", "old.py")
    standard, nice, old = packages([tmp_path, tmp_path])
    assert (standard.name, standard.licence) == ("python", "PSF")
    assert "json/decoder.py" in standard.paths
    assert (nice.name, nice.version, nice.licence, nice.paths) == ("nice-thing", "1.0", "MIT", ("nice/core.py",))
    assert old.licence == "BSD License"


def _install(site: Path, name: str, licence: str, path: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{licence}\n")
    (info / "RECORD").write_text(f"{path},,\n")
    (site / path).parent.mkdir(exist_ok=True)
    (site / path).write_text("x = 1\n")
