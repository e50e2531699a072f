"""What is written at 20 cursors of three files made for this, a script, classes and tests: a table for the model's card.

    python -m tests.benchmarks.written [--model PATH]

Each is asked for as by someone who asks for it, so that everything is shown; the last column says whether it is shown unasked.
"""

import argparse
import asyncio
import inspect
import re
import sys
from pathlib import Path

from scrubjay.completion.rules import Unasked
from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.starter import model_path
from scrubjay.workspace.events import CloseDocument, OpenDocument
from scrubjay.workspace.text import Position
from tests.benchmarks.places import ask, first

HOLE = re.compile(r"«(.*?)»", re.DOTALL)
"""What stood at a cursor and is missing there; the other holes of a file are full while one is asked for."""

FILES = {
    "rainfall.py": '''"""Print the wettest days of a file of measurements: a date and millimetres in each line."""

import argparse
import csv
from pathlib import «Path»


def read(path):
    """Days and millimetres, in the order of the file."""
    with open(path, newline="") as «file:»
        reader = csv.reader(file)
        return [(row[0], float(«row[1]))» for row in reader]


def wettest(days, count):
    ordered = sorted(days, key=«lambda day: day[1], reverse=True)»
    return ordered[:count]


def average(days):
    if not days:
        return 0.0
    return sum(amount for _, amount in days) / «len(days)»


def main():
    parser = argparse.ArgumentParser(«description=__doc__)»
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", «type=int, default=5)»
    args = parser.parse_args()
    days = «read(args.file)»
    for day, amount in wettest(days, args.count):
        print(«f"{day}: {amount}")»


if __name__ == "__main__":
    main()
''',
    "inventory.py": '''"""Parts on the shelves of a workshop."""

from dataclasses import dataclass, field


class OutOfStock(Exception):
    pass


@dataclass
class Part:
    name: str
    price: «float»
    count: int = 0

    def value(self) -> float:
        return self.«price * self.count»


@dataclass
class Inventory:
    parts: dict[str, Part] = field(«default_factory=dict)»

    def add(self, part: Part) -> None:
        self.parts[part.name] = «part»

    def take(self, name: str, count: int = 1) -> Part:
        part = self.parts.get(name)
        if part is None:
            raise «KeyError(name)»
        if part.count < count:
            raise OutOfStock(name)
        part.count -= «count»
        return part

    def total(self) -> float:«
        return sum(part.value() for part in self.parts.values())»

    def names(self) -> list[str]:
        return «sorted(self.parts)»
''',
    "test_inventory.py": """import pytest

from inventory import Inventory, OutOfStock, Part


@pytest.fixture
def inventory():
    inventory = Inventory()
    inventory.add(Part("bolt", 0.5, «10))»
    return inventory


def test_taking_lowers_the_count(inventory):
    inventory.take("bolt", 3)
    assert inventory.parts["bolt"].count == «7»


def test_too_many_cannot_be_taken(inventory):
    with pytest.raises(«OutOfStock):»
        inventory.take("bolt", 11)
""",
}


def holes(text: str) -> list[tuple[str, str, str]]:
    """For each hole of a text: what stands before the cursor, what is missing there, and what follows."""
    marks = list(HOLE.finditer(text))
    return [(_full(text[: mark.start()]), mark[1], _full(text[mark.end() :])) for mark in marks]


def _full(text: str) -> str:
    return re.sub("[«»]", "", text)


async def rows(service: Service) -> list[str]:
    """The table's lines, one for each cursor."""
    lines = []
    for number, (path, before, wanted, after) in enumerate(
        (path, *hole) for path, text in FILES.items() for hole in holes(text)
    ):
        root, uris = f"/sample/{number}", []
        for other in (*(other for other in FILES if other != path), path):
            uris.append(f"file://{root}/{other}")
            text = before + after if other == path else _full(FILES[other])
            service.post(event := OpenDocument(uris[-1], text, "python", 1, root))
            await event.reply
        line = before.rpartition("\n")[2]
        position = Position(before.count("\n"), len(line))
        unasked = first(await ask(service, uris[-1], position, "automatic"))
        asked = first(await ask(service, uris[-1], position, "invoked"))
        for uri in uris:
            service.post(close := CloseDocument(uri))
            await close.reply
        cells = [_cell(line.lstrip() + "▌"), _cell(wanted), _cell(asked), "yes" if unasked.strip() else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(text: str) -> str:
    """A text of code in one cell."""
    shown = text.strip("\n").replace("\n", " ⏎ ").replace("|", "\\|")
    return f"`{shown}`" if shown else ""


async def run(model: Path) -> None:
    engine = EngineSettings(str(model), n_ctx=4096, eager_load=False)
    service = Service(ServiceSettings(engine, warm=False, watch=False, unasked=Unasked(0.2, ())))
    service.start()
    print("| cursor | stood there | written | shown unasked |\n|---|---|---|---|", *await rows(service), sep="\n")
    await service.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    asyncio.run(run(parser.parse_args().model))


if __name__ == "__main__":
    main()
