"""Which files a prompt shows: those that have to do with the place, and the one that was left last; decided in idle time."""

from scrubjay.workspace.project import File
from tests.prompt.test_anchored import SOURCE, Editor
from tests.prompt.test_places import ROOT, shown
from tests.prompt.test_plain import workspace

JUNK = {
    "README.md": "# Jay\n\nA library about birds.\n" * 3,
    "jay/py.typed": "Marker\n",
    "jay/_find_header.pxd": 'cdef extern from "_find_header.h":\n    int find_header(char *, int)\n',
    "jay/log.py": "import logging\n\nlogger = logging.getLogger(__name__)\n",
}
NESTS = "class Nest:\n    def __init__(self, size):\n        self.size = size\n\n    def add(self, egg):\n        return egg\n"
NOW = "from jay.nests import Nest\n\n\ndef build(size):\n    nest = Nest(size)\n    \n"


def editor_with(files: dict[str, str], **opened: str) -> Editor:
    editor = Editor(workspace("qwen2", None, now=NOW, **opened), n_ctx=2_048, cursor=len(NOW) - 1)
    editor.jay.projects.set_files(ROOT, [File(f"{ROOT}/{path}", text) for path, text in files.items()], is_first=True)
    return editor


def test_what_is_imported_is_shown_and_markers_and_prose_are_not() -> None:
    """What 0.1.0 showed were README.md, py.typed, headers and the smallest modules."""
    editor = editor_with({"jay/nests.py": NESTS, **JUNK})
    editor.ask(is_idle=True)
    assert shown(editor, "file").keys() == {"jay/nests.py"}


def test_the_file_that_was_left_is_shown_whatever_it_is() -> None:
    editor = editor_with({"jay/nests.py": NESTS}, notes="alpha = 1\n")
    editor.name = "notes.py"
    editor.replace(0, 0, "beta = 2\n")
    editor.ask(is_idle=True)
    editor.name, editor.cursor = "now.py", len(NOW) - 1
    editor.ask(is_idle=True)
    assert shown(editor, "file").keys() == {"jay/nests.py", "notes.py"}


def test_relevance_decides_what_is_shown_and_recency_in_which_order() -> None:
    others = {f"jay/f{n}.py": f"def f{n}(x):\n    return x + {n}\n" * 40 for n in range(6)}
    editor = editor_with({"jay/nests.py": NESTS, **others})
    editor.ask(is_idle=True)
    assert next(iter(shown(editor, "file"))) == "jay/nests.py", "it was edited first"
    files = {"jay/nests.py": NESTS, **others, "jay/nests.pyi": NESTS}
    editor = editor_with(files)
    editor.ask(is_idle=True)
    assert list(shown(editor, "file"))[-1] == "jay/nests.pyi"


def test_while_someone_types_no_file_on_disk_comes_in() -> None:
    editor = editor_with({"jay/nests.py": NESTS})
    editor.ask(is_idle=True)
    new = ("eggs", "trees", "wood")
    files = {"jay/nests.py": NESTS, **{f"jay/{name}.py": f"class {name}:\n    pass\n" for name in new}}
    editor.jay.projects.set_files(ROOT, [File(f"{ROOT}/{path}", text) for path, text in files.items()], is_first=False)
    editor.replace(0, 0, "".join(f"from jay.{name} import {name}\n" for name in new))
    editor.cursor = len(editor.text) - 1
    editor.ask()
    assert shown(editor, "file").keys() == {"jay/nests.py"}
    editor.ask(is_idle=True)
    assert shown(editor, "file").keys() == files.keys()


def test_a_file_that_is_shown_stays_beside_one_that_is_worth_little_more() -> None:
    size = "    # what a name is for\n" * 60
    files = {f"jay/f{n}.py": f"def name_{n}():\n{size}" for n in range(4)}
    editor = editor_with(files)
    editor.replace(len(NOW) - 1, len(NOW) - 1, "name_0() name_1()")
    editor.ask(is_idle=True)
    before = shown(editor, "file").keys()
    assert before
    editor.replace(len(editor.text) - 1, len(editor.text) - 1, " name_2()")
    editor.ask(is_idle=True)
    assert before <= shown(editor, "file").keys()


def test_what_is_known_of_a_closed_file_is_forgotten() -> None:
    editor = editor_with({}, a=SOURCE[:20_000])
    editor.ask(is_idle=True)
    knowledge = editor.layouts.knowledge(ROOT)
    assert f"{ROOT}/a.py" in knowledge.facts and f"{ROOT}/a.py" in knowledge.parts
    editor.jay.projects.close(f"file://{ROOT}/a.py")
    editor.ask(is_idle=True)
    assert f"{ROOT}/a.py" not in knowledge.facts and f"{ROOT}/a.py" not in knowledge.parts
    editor.layouts.forget(ROOT)
    assert editor.layouts.knowledge(ROOT).facts == {}
