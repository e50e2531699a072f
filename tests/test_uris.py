"""URIs: every spelling of a path means the one path that is on disk, and what the disk refuses is not there."""

import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.uris import canonical_path, exists, notebook_of, path_of

NAMES = st.text(st.sampled_from("aZ09-._~ %+&=@!$'()*,;[]#?:|^`{}\"<>\\éß漢😀\u0301\n"), min_size=1, max_size=8)
PATHS = st.lists(NAMES.filter(lambda name: len(name) != 2), min_size=1, max_size=4).map("/x/".join)


@given(
    PATHS,
    st.sampled_from(["", "()[]+&=@~;,!$':*", "%"]),
    st.booleans(),
    st.sampled_from(["file://", "FILE:", "file://localhost"]),
)
def test_however_much_of_it_is_encoded_a_path_is_the_same(path: str, safe: str, is_lower: bool, scheme: str) -> None:
    path = f"/{path}"
    encoded = "/".join(quote(part, safe=safe.replace("%", "" if "%" in path else "%")) for part in path.split("/"))
    encoded = "".join(part.lower() if is_lower and part.startswith("%") else part for part in _escapes(encoded))
    assert path_of(scheme + encoded) == path


def _escapes(uri: str) -> list[str]:
    """`uri` cut before and after each percent-escape."""
    parts = uri.split("%")
    return [parts[0], *(piece for part in parts[1:] for piece in (f"%{part[:2]}", part[2:]))]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/u/a.py", "/home/u/a.py"),
        ("file:///home/u/a%20b%23.py", "/home/u/a b#.py"),
        ("file:///caf%C3%A9.py", "/café.py"),
        ("file:///caf%e9.py", "/caf\udce9.py"),
        ("file://localhost/etc/hosts", "/etc/hosts"),
        ("file:/etc/hosts", "/etc/hosts"),
        ("file:///100%.py", "/100%.py"),
        ("file:///%zz.py", "/%zz.py"),
        ("file:///C%3A/Windows/a.py", "/c:/Windows/a.py"),
        ("file:///c:/Windows/a.py", "/c:/Windows/a.py"),
        ("file:///C|/Windows/a.py", "/c:/Windows/a.py"),
        ("file:///a%0Ab.py", "/a\nb.py"),
        ("file://wsl.localhost/Ubuntu/a.py", None),
        ("file://host", None),
        ("file://", None),
        ("file:relative.py", None),
        ("untitled:Untitled-1", None),
        ("vscode-remote://ssh/home/a.py", None),
        ("", None),
    ],
)
def test_only_uris_of_local_files_have_a_path(uri: str, path: str | None) -> None:
    assert path_of(uri) == path


def test_a_cell_belongs_to_a_notebook() -> None:
    assert notebook_of("vscode-notebook-cell:/home/u/a%20b.ipynb#W0sZ") == ("/home/u/a b.ipynb", "W0sZ")
    assert notebook_of("vscode-notebook-cell://remote/home/n.ipynb#W0") is None
    assert notebook_of("file:///home/u/n.ipynb#W0") is None


def test_links_and_detours_lead_to_the_same_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for spelling in ("real/a.py", "link/a.py", "real/../link/./a.py", "real//a.py"):
        assert canonical_path(f"{tmp_path}/{spelling}") == str(tmp_path / "real" / "a.py")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_composed_as_the_disk_has_them(tmp_path: Path, form: str) -> None:
    there = tmp_path / unicodedata.normalize(form, "größe") / unicodedata.normalize(form, "é.py")  # type: ignore[arg-type]
    there.parent.mkdir()
    there.touch()
    for other in ("NFC", "NFD"):
        spelled = unicodedata.normalize(other, str(there))
        assert canonical_path(spelled) == str(there)
        assert canonical_path(f"{os.path.dirname(spelled)}/new.py") == str(there.parent / "new.py")  # noqa: PTH120
    assert canonical_path(f"{tmp_path}/nowhere/é") == f"{tmp_path}/nowhere/é"


@pytest.mark.parametrize("name", ["a\0b.py", "n" * 300, "folder/" * 900, "\ud83d.py", "x.py/inside.py"])
def test_what_the_disk_refuses_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.py").touch()
    path = canonical_path(f"{tmp_path}/{name}")
    assert path.startswith(str(tmp_path))
    assert not exists(path)
