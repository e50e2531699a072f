"""The measurement of what prompts show, as a tool: on a package made here, with the model that comes with Scrubjay."""

import pytest

from scrubjay.starter import model_path
from tests.benchmarks.relevance import CONTEXTS, Asker, cursors, table_of

NESTS = "class Nest:\n" + "".join(f"    def lay_{n}(self, egg):\n        return egg + {n}\n\n" for n in range(400))
BIRDS = "from jay.nests import Nest\n\n" + "".join(
    f"def build_{n}(nest: Nest):\n    return nest.lay_{n}({n})\n\n" for n in range(40)
)
PACKAGES = {
    "jay": {"jay/nests.py": NESTS, "jay/birds.py": BIRDS, "jay/py.typed": "Marker\n", "jay/log.py": "log = 1\n"}
}


def test_cursors_are_the_same_each_time_and_hold_the_truth() -> None:
    places = cursors(PACKAGES, 6)
    assert places == cursors(PACKAGES, 6)
    for place in places:
        assert place.before + place.truth + place.after == BIRDS
        assert place.truth.count("\n") == 10


@pytest.mark.slow
def test_each_context_shows_what_it_says() -> None:
    asker, (place,) = Asker(model_path(), 4096), cursors(PACKAGES, 1)
    scores = {context: [asker.score(place, PACKAGES["jay"], context)] for context in CONTEXTS}
    asker.close()
    n_files = {context: found[0].n_files for context, found in scores.items()}
    assert n_files["none"] == 0
    assert n_files["parts"] > n_files["relevance"], "the large file has no room as a whole"
    assert all(found[0].log_likelihood < 0 for found in scores.values())
    assert table_of("", [place], scores).row_count == len(CONTEXTS)
