"""What prompts could show of other files, and the benchmark that compares it, on a package of three files."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.benchmarks.related import Index, definitions_near
from tests.benchmarks.relevance import CONTEXTS, Asker, table_of
from tests.benchmarks.version_places import cursors, new_cursors, packages
from tests.support.gguf_models import tiny_model

SHAPES = '''class Shape:
    """What has sides."""

    def __init__(self, sides: list[int]) -> None:
        self.sides = sides

    def perimeter(self) -> int:
        """The sum of all sides."""
        return sum(self.sides)
'''
UNITS = "def in_inches(centimetres: float) -> float:\n    return centimetres / 2.54\n"
USES = "from .shapes import Shape\nfrom pack import units\n\n" + "".join(
    f"\n\ndef shape_{n}(a: int) -> str:\n    shape = Shape([a, a, {n}])\n    return str(units.in_inches(shape.perimeter()))\n"
    for n in range(30)
)
TEXTS = {"pack/__init__.py": "", "pack/shapes.py": SHAPES, "pack/units.py": UNITS, "pack/uses.py": USES}


def test_what_a_place_names_is_found_in_the_files_that_are_imported() -> None:
    index = Index.of(TEXTS)
    assert index.imported("pack/uses.py", index.outlines["pack/uses.py"]) == ["pack/shapes.py", "pack/units.py"]
    found = definitions_near(index, "pack/uses.py", USES, len(USES) // 2, 2000)
    assert "# pack/shapes.py\nclass Shape:\n" in found and "def perimeter(self) -> int:\n" in found
    assert "# pack/units.py\ndef in_inches(centimetres: float) -> float:\n" in found
    assert "return" not in found, "signatures are shown, no bodies"
    assert definitions_near(index, "pack/uses.py", USES, len(USES) // 2, 10) == ""


def write(folder: Path, versions: dict[str, dict[str, str]]) -> None:
    for version, texts in versions.items():
        for name, text in texts.items():
            path = folder / "pack" / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def test_new_places_are_where_the_newer_version_has_written(tmp_path: Path) -> None:
    """In its text, with the files open that got the same new words."""
    line = "    return [number * SCALE_FACTOR for number in range(12)]\n"
    newer = {
        **TEXTS,
        "pack/uses.py": USES.replace("def shape_9(", f"def scaled() -> list[int]:\n{line}\n\ndef shape_9("),
    }
    newer["pack/units.py"] = UNITS + "\n\nSCALE_FACTOR = 3\n"
    newer["pack/shapes.py"] = SHAPES + "\n\nUNIT_SHAPE = Shape([1])\n"
    write(tmp_path, {"1.9": TEXTS, "1.10": newer})
    found = packages(tmp_path)
    places = new_cursors(found, 9)
    assert {one.path for one in places} == {"pack/uses.py"}
    for one in places:
        assert f"{one.before}{one.truth}{one.after}" == newer["pack/uses.py"]
        assert (line + "def scaled() -> list[int]:\n").count(one.truth.splitlines()[0]) == 1
        assert one.edited == ("pack/units.py", "pack/shapes.py"), "the one with SCALE_FACTOR comes first"


@pytest.mark.slow
def test_each_context_is_asked_for_at_each_cursor(tmp_path: Path) -> None:
    write(tmp_path, {"1.9": TEXTS, "1.10": TEXTS | {"pack/units.py": UNITS.replace("2.54", "2.540")}})
    found = packages(tmp_path)
    assert found["pack"].changed == ["pack/units.py"]
    places = cursors(found, 2)
    assert [(one.path, one.edited[0]) for one in places] == [("pack/uses.py", "pack/units.py")] * 2
    assert all(f"{one.before}{one.truth}{one.after}" == USES for one in places)
    asker = Asker(tiny_model("dense"), 2048, "auto", 1)
    scores = [asker.score(n, one, found["pack"], name) for n, one in enumerate(places) for name in CONTEXTS]
    asker.close()
    assert all(score.log_likelihood < 0 for score in scores)
    files = {score.context: score.n_files for score in scores}
    assert 0 == files["none"] < files["definitions only"] and files["recency"] < files["definitions"]
    rows = [*map(asdict, scores)]
    assert table_of("tiny", rows).row_count == len(CONTEXTS)
    worse = [replace(score, log_likelihood=2 * score.log_likelihood) for score in scores if score.context == "none"]
    none = next(iter(table_of("tiny", [*rows, *map(asdict, worse)]).columns[2].cells))
    assert str(none).startswith("-")
