"""What is shown at 37 places of small files: right or useful, junk, or nothing, and whether the model knew it.

    python -m tests.benchmarks.places [--model PATH] [--confidence SHARE] [--style STYLE] [--verbose]

Each place is asked for as editors do while someone types; where nothing is shown, once more as when someone asks for it.
"""

import argparse
import asyncio
import inspect
import re
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scrubjay.code_text import language_of
from scrubjay.completion.requests import Completion, CompletionRequest, Trigger
from scrubjay.completion.rules import Unasked
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Complete
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.starter import LANGUAGES, model_path
from scrubjay.workspace.events import CloseDocument, OpenDocument
from scrubjay.workspace.text import Position
from tests.benchmarks.sample_places import FILES, PLACES, Place


def holed(place: Place) -> tuple[str, int]:
    """The text of the place's file without what is missing there, and the offset of the cursor."""
    text, whole = FILES[place.file], place.before + place.gone
    at = text.index(whole) + len(place.before)
    return text[:at] + text[at + len(place.gone) :], at


def is_right(place: Place, shown: str) -> bool:
    return bool(place.right) and re.match(place.right, shown) is not None


def judged(place: Place, shown: str, asked: str) -> str:
    """What to call an answer, of which `shown` was shown unasked, and `asked` would be if someone asked for it."""
    if shown.strip():
        return "right" if is_right(place, shown) else "junk"
    if not place.right:
        return "right"
    return "known, not shown" if is_right(place, asked) else "nothing"


def related(place: Place) -> list[str]:
    """The files that a project with the place has: those of the same language."""
    suffix = Path(place.file).suffix
    return [path for path in FILES if path != place.file and Path(path).suffix == suffix]


async def ask(service: Service, uri: str, position: Position, trigger: Trigger) -> Completion:
    request = CompletionRequest(uri, position, sampling=Sampling(max_tokens=128), trigger=trigger, can_replace=True)
    event = Complete(request)
    service.post(event)
    return await event.reply


async def shown_at(service: Service, number: int, place: Place) -> tuple[Completion, Completion]:
    """What is shown at a place unasked, and asked for."""
    root = f"/sample/{number}"
    text, offset = holed(place)
    language = language_of(place.file)
    uris = []
    for path in (*related(place), place.file):
        uris.append(f"file://{root}/{path}")
        service.post(event := OpenDocument(uris[-1], text if path == place.file else FILES[path], language, 1, root))
        await event.reply
    before = text[:offset]
    position = Position(before.count("\n"), len(before.rpartition("\n")[2]))
    unasked = await ask(service, uris[-1], position, "automatic")
    asked = unasked if unasked.items else await ask(service, uris[-1], position, "invoked")
    for uri in uris:
        service.post(close := CloseDocument(uri))
        await close.reply
    return unasked, asked


def first(completion: Completion) -> str:
    return completion.items[0].text if completion.items else ""


async def run(settings: ServiceSettings, is_verbose: bool) -> None:
    service, counts, console = Service(settings), Counter[str](), Console(width=150)
    service.start()
    table = Table("place", "judged", "shown", "by rule", "asked for")
    n_shown = n_tokens = 0
    for number, place in enumerate(PLACES):
        unasked, asked = await shown_at(service, number, place)
        verdict = judged(place, first(unasked), first(asked))
        counts[verdict] += 1
        n_shown += bool(unasked.items)
        n_tokens += unasked.timings.predicted_n
        hidden = "" if unasked.items else first(asked)
        table.add_row(place.before[-32:], verdict, first(unasked)[:60], " ".join(unasked.discarded), hidden[:60])
    await service.close()
    if is_verbose:
        console.print(table, markup=False)
    console.print(f"{n_shown} of {len(PLACES)} shown, {n_tokens} tokens written; {dict(sorted(counts.items()))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    parser.add_argument("--confidence", type=float, default=0.2)
    parser.add_argument("--style", default="auto", choices=("auto", "fim", "plain", "chat"))
    parser.add_argument("--verbose", action="store_true", help="show each place")
    flags = parser.parse_args()
    engine = EngineSettings(str(flags.model), n_ctx=4096, eager_load=False)
    languages = LANGUAGES if flags.model == model_path() else ()
    how = {"unasked": Unasked(flags.confidence, languages), "prompt_style": flags.style}
    settings = ServiceSettings(engine, warm=False, watch=False, **how)
    asyncio.run(run(settings, flags.verbose))


if __name__ == "__main__":
    main()
