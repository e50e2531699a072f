"""Small files of four languages, and the places in them at which completions are judged. Written for this; from no package."""

from dataclasses import dataclass

CURSOR = "▌"

FILES = {
    "club/outings.py": '''"""Boats of a rowing club, and who has taken them out."""

from dataclasses import dataclass, field
from datetime import date, timedelta

MAX_DAYS = 14
FEE_PER_DAY = 3


@dataclass
class Boat:
    name: str
    seats: int


@dataclass
class Outing:
    boat: Boat
    rower: str
    start: date
    returned: date | None = None

    def due(self) -> date:
        return self.start + timedelta(days=MAX_DAYS)

    def days_late(self, today: date) -> int:
        """How many days the boat is late, 0 if it is not."""
        return max(0, (today - self.due()).days)

    def fee(self, today: date) -> int:
        return self.days_late(today) * FEE_PER_DAY


@dataclass
class Club:
    boats: dict[str, Boat] = field(default_factory=dict)
    outings: list[Outing] = field(default_factory=list)

    def add(self, boat: Boat) -> None:
        if boat.name in self.boats:
            raise ValueError(f"a boat {boat.name!r} is there already")
        self.boats[boat.name] = boat

    def open_outings(self) -> list[Outing]:
        return [outing for outing in self.outings if outing.returned is None]

    def take(self, name: str, rower: str, today: date) -> Outing:
        boat = self.boats[name]
        if any(outing.boat is boat for outing in self.open_outings()):
            raise ValueError(f"{name} is out with another rower")
        outing = Outing(boat, rower, today)
        self.outings.append(outing)
        return outing

    def bring_back(self, name: str, today: date) -> int:
        for outing in self.open_outings():
            if outing.boat.name == name:
                outing.returned = today
                return outing.fee(today)
        raise ValueError(f"{name} is not out")
''',
    "club/report.py": '''"""What the club prints on Sundays."""

import argparse
from datetime import date
from pathlib import Path

from club.outings import Club, Outing
from club.store import load


def line_for(outing: Outing, today: date) -> str:
    late = outing.days_late(today)
    text = f"{outing.boat.name} is out with {outing.rower}"
    if late > 0:
        text += f", {late} days late"
    return text


def report(club: Club, today: date) -> list[str]:
    lines = [line_for(outing, today) for outing in club.open_outings()]
    return sorted(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print who is out.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--today", type=date.fromisoformat, default=date.today())
    args = parser.parse_args()
    club = load(args.file)
    for line in report(club, args.today):
        print(line)


if __name__ == "__main__":
    main()
''',
    "club/store.py": '''"""The club's file, which is JSON."""

import json
import shutil
from datetime import date
from pathlib import Path

from club.outings import Boat, Club, Outing


def load(path: Path) -> Club:
    data = json.loads(path.read_text("utf-8"))
    boats = {name: Boat(name, seats) for name, seats in data["boats"].items()}
    outings = []
    for item in data["outings"]:
        start = date.fromisoformat(item["start"])
        returned = date.fromisoformat(item["returned"]) if item["returned"] else None
        outings.append(Outing(boats[item["boat"]], item["rower"], start, returned))
    return Club(boats, outings)


def save(club: Club, path: Path) -> None:
    # Copy the file beside itself, so that a mistake loses nothing.
    if path.exists():
        shutil.copy(path, path.with_suffix(".bak"))
    data = {
        "boats": {boat.name: boat.seats for boat in club.boats.values()},
        "outings": [
            {
                "boat": outing.boat.name,
                "rower": outing.rower,
                "start": outing.start.isoformat(),
                "returned": outing.returned.isoformat() if outing.returned else None,
            }
            for outing in club.outings
        ],
    }
    path.write_text(json.dumps(data, indent=2), "utf-8")
''',
    "tests/test_outings.py": """from datetime import date

import pytest

from club.outings import Boat, Club

TODAY = date(2026, 5, 1)


@pytest.fixture
def club() -> Club:
    club = Club()
    club.add(Boat("Heron", 4))
    return club


def test_a_boat_is_added_once(club: Club) -> None:
    with pytest.raises(ValueError):
        club.add(Boat("Heron", 2))


def test_a_boat_that_is_out_cannot_be_taken(club: Club) -> None:
    outing = club.take("Heron", "Ada", TODAY)
    assert outing.returned is None
    with pytest.raises(ValueError):
        club.take("Heron", "Bo", TODAY)


def test_bringing_a_boat_back_in_time_costs_nothing(club: Club) -> None:
    club.take("Heron", "Ada", TODAY)
    assert club.bring_back("Heron", TODAY) == 0
""",
    "src/stack.c": """#include <stdbool.h>
#include <stddef.h>

#define STACK_SIZE 32

struct stack {
    int items[STACK_SIZE];
    size_t count;
    size_t highest;
};

void stack_init(struct stack *s)
{
    s->count = 0;
    s->highest = 0;
}

bool stack_is_empty(const struct stack *s)
{
    return s->count == 0;
}

bool stack_push(struct stack *s, int item)
{
    if (s->count == STACK_SIZE)
        return false;
    s->items[s->count++] = item;
    return true;
}

bool stack_pop(struct stack *s, int *item)
{
    if (stack_is_empty(s))
        return false;
    *item = s->items[--s->count];
    return true;
}
""",
    "svc/counter.go": """package svc

import "sync"

type Counter struct {
	mu     sync.Mutex
	counts map[string]int
}

func NewCounter() *Counter {
	return &Counter{counts: make(map[string]int)}
}

func (c *Counter) Add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name]++
}

func (c *Counter) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.counts {
		names = append(names, name)
	}
	return names
}
""",
    "web/basket.js": """export class Basket {
  constructor(rate) {
    this.rate = rate;
    this.lines = new Map();
  }

  add(code, price, count = 1) {
    const line = this.lines.get(code) ?? { price, count: 0 };
    line.count += count;
    this.lines.set(code, line);
  }

  remove(code) {
    this.lines.delete(code);
  }

  total() {
    let sum = 0;
    for (const line of this.lines.values()) {
      sum += line.price * line.count;
    }
    return sum * (1 + this.rate);
  }
}

export async function fetchPrices(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`Failed to fetch ${url}: ${response.status}`);
  }
  return response.json();
}
""",
    "README.md": """# Club

Keeps the list of a rowing club's boats in a JSON file.

## Install

```
pip install club
```

## Use

To print who is out, run `python -m club.report club.json`.
""",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a completion is asked for.

    Args:
        file: one of `FILES`.
        before: what stands before the cursor; there only once.
        gone: what stood after it, and is missing.
        right: a regular expression for all that is right or useful there, up to its first edit; "" if nothing is wanted.
    """

    file: str
    before: str
    gone: str
    right: str


_OUTINGS, _REPORT, _STORE, _TESTS = "club/outings.py", "club/report.py", "club/store.py", "tests/test_outings.py"

PLACES = (
    Place(_OUTINGS, "timedelta(days=", "MAX_DAYS", r"MAX_DAYS\b"),
    Place(
        _OUTINGS,
        '0 if it is not."""\n        ',
        "return max(0, (today - self.due()).days)",
        r"return max\(|return \(today - self\.due|if today|if self\.returned|late = |due = self\.due",
    ),
    Place(_OUTINGS, 'already"', "", ""),
    Place(_OUTINGS, "for outing in self.outings if ", "outing.returned is None", r"(not )?outing\.returned\b"),
    Place(_OUTINGS, "return self.days_late(today) * ", "FEE_PER_DAY", r"FEE_PER_DAY\b"),
    Place(_OUTINGS, "self.outings.append(outing)", "\n        return outing", r"\s*return outing\b"),
    Place(_OUTINGS, "self.outings.append(outing)\n        ", "return outing", r"return outing\b"),
    Place(_OUTINGS, "outing.returned = ", "today", r"today\b"),
    Place(_OUTINGS, "if outing.boat.name ", "== name", r"== name\b"),
    Place(_OUTINGS, "if boat.name in ", "self.boats", r"self\.boats\b"),
    Place(_OUTINGS, "outing = Outing(", "boat, rower, today", r"boat, rower"),
    Place(_OUTINGS, "    outings: list[Outing] = ", "field(default_factory=list)", r"field\(default_factory=list"),
    Place(_OUTINGS, "from dataclasses import ", "dataclass, field", r"dataclass\b"),
    Place(_REPORT, "is out with {outing.", "rower", r"rower\b"),
    Place(_REPORT, 'text += f", {late} ', 'days late"', r"days? late"),
    Place(
        _REPORT, "parser.add_argument(", '"--today", type=date.fromisoformat, default=date.today()', r'"--?\w+"|"\w+"'
    ),
    Place(_REPORT, "        print(line)", "", ""),
    Place(_REPORT, "if __name__ == ", '"__main__":\n    main()', r"""["']__main__["']:"""),
    Place(_REPORT, "from club.outings import ", "Club, Outing", r"(Boat, )?(Club|Outing)\b"),
    Place(_REPORT, "for outing in club.", "open_outings()]", r"open_outings\(\)|outings\b"),
    Place(
        _STORE,
        "        returned = ",
        'date.fromisoformat(item["returned"]) if item["returned"] else None',
        r"date\.from|item\[",
    ),
    Place(_STORE, '                "rower": ', "outing.rower,", r"outing\.rower\b"),
    Place(
        _STORE,
        "loses nothing.\n    ",
        'if path.exists():\n        shutil.copy(path, path.with_suffix(".bak"))',
        r"if path\.|shutil\.|backup",
    ),
    Place(_STORE, "path.write_text(json.dumps(data", ', indent=2), "utf-8")', r", indent|\)"),
    Place(_TESTS, "    with pytest.raises(", 'ValueError):\n        club.add(Boat("Heron", 2))', r"ValueError\):"),
    Place(
        _TESTS,
        '    outing = club.take("Heron", "Ada", TODAY)\n    ',
        "assert outing.returned is None",
        r"assert (not )?(outing|club)\b",
    ),
    Place(
        _TESTS,
        "def test_a_boat_that_is_out_cannot",
        "_be_taken(club: Club) -> None:",
        r"(_\w+)?\(club: Club\) -> None:",
    ),
    Place("src/stack.c", "    s->count = 0;\n    ", "s->highest = 0;", r"s->highest = 0;"),
    Place(
        "src/stack.c",
        "bool stack_is_empty(const struct stack *s)\n{\n    return ",
        "s->count == 0;",
        r"!?s->count( == 0)?;",
    ),
    Place("src/stack.c", "if (s->count == ", "STACK_SIZE)", r"STACK_SIZE\b"),
    Place("svc/counter.go", "&Counter{counts: ", "make(map[string]int)}", r"make\(map\[string\]int\)"),
    Place("svc/counter.go", "names = append(", "names, name)", r"names, name\b"),
    Place("svc/counter.go", "Names() []string {\n\tc.mu.Lock()\n\t", "defer c.mu.Unlock()", r"defer c\.mu\.Unlock\(\)"),
    Place("web/basket.js", "(1 + this.", "rate);", r"rate\b"),
    Place("web/basket.js", "throw new Error(`", "Failed to fetch ${url}: ${response.status}`);", r"[A-Z]\w+.*\$\{"),
    Place(
        "web/basket.js",
        "  remove(code) {",
        "\n    this.lines.delete(code);",
        r"\s*this\.lines\.delete\(code\)|\s*const line = this\.lines\.get\(code\)",
    ),
    Place(
        "README.md",
        "## Install\n\n```\n",
        "pip install club",
        r"pip3? install|python3? -m pip install|\$ pip install|git clone",
    ),
)
