"""What questions for next edits cost a model, in tokens: Scrubjay's prompts against each format's usual ones at llama-server.

    python -m tests.benchmarks.edit_costs [--format NAME ...] [--log]

An editor, in this process, works on files of Python's library through a whole service: functions are typed line by line, and
lines are changed here and there in three files. After each line is a pause, in which the model is asked what is next. At the
same moment llama-server is sent what a client of that format would send: the same history, the same other files, and a
region around the cursor. It keeps what it knows (`cache_prompt`), as Scrubjay does; a pause in which Scrubjay asks no model,
because an edit is to be repeated, counts for neither.

The models are tiny, for numbers of tokens do not depend on weights; they are of plain attention, as Sweep v1 (Qwen2) and
Zeta 2.1 (Llama) are, and words are tokens in their vocabulary, as in real ones.
"""

import argparse
import asyncio
import inspect
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scrubjay.nextedit.formats import EditFormat, Scene, asked
from scrubjay.nextedit.known_formats import format_for
from scrubjay.nextedit.next_edit import Moment, OpenText
from scrubjay.nextedit.region import window_at
from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.events import AskNextEdit
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from tests.benchmarks.never_cold import post
from tests.benchmarks.scripted_editor import ROOT, ScriptedEditor
from tests.benchmarks.working_day import EDITED, N_VOCAB, A, B, C
from tests.support.gguf_models import TINY, write_model
from tests.support.llama_server import llama_server, which

FORMATS = ("sweep", "zeta-2.1")
N_CTX = 8192
N_BEHIND = 200
"""Characters by which the place is found where lines were."""
ROWS = (
    "| format | questions | prompt | Scrubjay, median | 95 % | all | llama-server, median | 95 % | all | share of that |"
    " share of whole prompts |",
    "|---" * 11 + "|",
)


@dataclass(frozen=True, slots=True)
class Typed:
    """So many lines that are typed, from the one that begins so; they are not in the file before."""

    name: str
    first: str
    n_lines: int

    @property
    def lines(self) -> list[str]:
        text = EDITED[self.name]
        return text[text.index(f"\n{self.first}") + 1 :].splitlines(keepends=True)[: self.n_lines]


@dataclass(frozen=True, slots=True)
class Changed:
    """A text that is replaced."""

    name: str
    old: str
    new: str


SESSION: tuple[Typed | Changed, ...] = (
    Typed(A, "    def _get_params_preserve", 20),
    Changed(A, "def get_params(self, failobj=None,", "def get_params(self, failobj=None, *,"),
    Changed(A, "            return [(k, _unquotevalue(v)) for k, v in params]", "            return _unquoted(params)"),
    Changed(A, "def _parseparam(s):", "def _unquoted(params):\n    return params\n\n\ndef _parseparam(s):"),
    Changed(
        A, "    return params\n\n\ndef _parse", "    return [(k, _unquotevalue(v)) for k, v in params]\n\n\ndef _parse"
    ),
    Typed(B, "        msgtexts = []", 16),
    Changed(B, "        oldfp = self._fp\n", "        before = self._fp\n"),
    Changed(B, "            self._fp = oldfp\n", "            self._fp = before\n"),
    Changed(B, "from io import StringIO, BytesIO", "from io import BytesIO, StringIO, TextIOBase"),
    Changed(C, "    if name:\n", "    if name is not None and name:\n"),
    Changed(C, "EMPTYSTRING = ''\n", 'EMPTYSTRING = ""\n'),
    Typed(A, "        missing = object()", 10),
    Changed(A, "        return ctype.split('/')[0]\n", "        return ctype.partition('/')[0]\n"),
    Changed(A, "        return ctype.split('/')[1]\n", "        return ctype.partition('/')[2]\n"),
    Changed(A, "        return self._default_type\n", "        return self._default_type or 'text/plain'\n"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What one question has cost: tokens of Scrubjay's prompt and of those processed; the same for llama-server."""

    prompt: int
    processed: int
    usual_prompt: int
    usual_processed: int


class Asker:
    """Asks Scrubjay and llama-server at each pause of a session."""

    def __init__(self, service: Service, form: EditFormat, url: str) -> None:
        opened = dict(EDITED)
        for part in SESSION:
            if isinstance(part, Typed):
                opened[part.name] = opened[part.name].replace("".join(part.lines), "", 1)
        self.editor = ScriptedEditor(service, opened)
        self.questions: list[Question] = []
        self._service = service
        self._form = form
        self._url = url

    async def work(self) -> None:
        """The whole session."""
        for name in self.editor.on_disk:
            await self.editor.open(name, 1)
        for part in SESSION:
            editor = self.editor
            editor.name = part.name
            if isinstance(part, Changed):
                if part.old not in editor.text:
                    raise RuntimeError(f"{part.name} has no {part.old!r}: the session does not fit this Python")
                await editor.become(editor.text.replace(part.old, part.new, 1))
                await self.ask()
                continue
            at = EDITED[part.name].index("".join(part.lines))
            behind = EDITED[part.name][at + len("".join(part.lines)) :][:N_BEHIND]
            editor.cursors[part.name] = editor.text.index(behind)
            for line in part.lines:
                await editor.insert(line)
                await self.ask()

    async def ask(self) -> None:
        """What is next, of both, if Scrubjay asks its model."""
        log, uri = self._service.models.logs.of(""), f"file://{ROOT}/{self.editor.name}"
        before = next((record.number for record in log), 0)
        while True:
            event = AskNextEdit(uri)
            self._service.post(event)
            answer = await event.reply
            if answer.quiet != ("typing",):
                break
            await asyncio.sleep(0.02)  # it tells nobody when it takes the user to have stopped
        record = next(iter(log), None)
        if record is None or record.number == before or record.cost is None:
            return
        usual = await asyncio.to_thread(post, f"{self._url}/completion", self._usual())
        self.questions.append(
            Question(record.cost.prompt, record.cost.processed, usual["tokens_evaluated"], usual["timings"]["prompt_n"])
        )

    def _usual(self) -> dict[str, object]:
        """What a client of the format sends: the region is chosen anew, around the cursor."""
        project = next(iter(self._service.projects))
        texts = [
            OpenText(document.key, document.path or document.uri, document.text)
            for document in reversed(project.by_recency())
            if document.is_open
        ]
        here = texts[0]
        _, window = window_at(here.text, project.documents[here.key].last_edit, self._form.size, None)
        moment = Moment(project.history.current(), texts)
        label = lambda key: project.label(project.documents[key])  # noqa: E731
        prompt = asked(self._form, Scene(moment, here, window, label, N_CTX))
        assert prompt
        return {"prompt": prompt.text, "n_predict": 1, "temperature": 0, "cache_prompt": True}


async def measure(name: str, model: Path) -> list[Question]:
    """The questions of the session, in the format of the models of that name."""
    form = format_for(name)
    assert form
    engine = EngineSettings(str(model), n_ctx=N_CTX, n_threads=1, eager_load=False)
    edits = ModelSettings(engine, name, ("edit",), layout="plain")
    settings = ServiceSettings(engine, warm=False, watch=False, rules=False, others=(edits,))
    with llama_server(model, N_CTX) as (_, url):
        service = Service(settings)
        service.start()
        try:
            asker = Asker(service, form, url)
            await asker.work()
            return asker.questions
        finally:
            await service.close()


def row(name: str, questions: list[Question]) -> str:
    """Of the table in Markdown."""
    ours, usual = ([getattr(q, side) for q in questions] for side in ("processed", "usual_processed"))
    cells = [name, len(questions), f"{np.median([q.prompt for q in questions]):.0f}"]
    for costs in (ours, usual):
        cells += [f"{np.median(costs):.0f}", f"{np.percentile(costs, 95):.0f}", sum(costs)]
    whole = sum(question.usual_prompt for question in questions)
    return f"| {' | '.join(map(str, cells))} | {sum(ours) / sum(usual):.2f} | {sum(ours) / whole:.2f} |"


def report(names: Sequence[str], log: bool = False) -> Iterator[str]:
    """The table, line by line."""
    yield from ROWS
    with tempfile.TemporaryDirectory() as folder:
        shape = replace(TINY["dense"], n_vocab=N_VOCAB, n_layer=1)
        model = write_model("dense", Path(folder) / "dense.gguf", shape=shape)
        for name in names:
            questions = asyncio.run(measure(name, model))
            yield row(name, questions)
            if log:
                yield from map(str, questions)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--format", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--log", action="store_true", help="print each question")
    flags = parser.parse_args()
    print(f"llama-server: {which()}")
    for line in report(flags.format, flags.log):
        print(line, flush=True)


if __name__ == "__main__":
    main()
