"""The recipe of a project's prompt: what the service asks of it, and what the layout makes of it."""

import numpy as np

from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptRecipe, PromptTools
from scrubjay.prompt.view import ProjectView
from scrubjay.tokenizer.token_cache import TokenCache
from tests.prompt.test_plain import Workspace, workspace

TEXT = "import os\n\ndef walk(top):\n    for name in os.listdir(top):\n        \n"
AT = len(TEXT) - 1
LIMITS = Limits(8192, 512)


def make_tools(jay: Workspace) -> PromptTools:
    cache = TokenCache(jay.vocabulary.tokenize, 1 << 22)
    return PromptTools(jay.vocabulary, find_template(jay.vocabulary), cache, Layouts(), InfillHistory(), LIMITS)


def view_of(jay: Workspace, offset: int = AT) -> ProjectView:
    return ProjectView.of(jay.project, jay.document("now.py"), offset)


def test_it_makes_the_prompt_of_the_layout() -> None:
    jay = workspace(a="A = 1\n" * 30, now=TEXT)
    tools, view = make_tools(jay), view_of(jay)
    recipe = DocumentRecipe(view)
    place = (view.project, view.document, recipe.start)
    expected = Layouts().prompt(LayoutInput(*place, tools.template, tools.token_cache, LIMITS))
    assert np.array_equal(recipe.make(tools).tokens, expected.tokens)
    assert recipe.is_fim


def test_the_model_begins_at_the_start_of_a_blank_line_and_writes_its_indentation_again() -> None:
    jay = workspace(now=TEXT)
    assert DocumentRecipe(view_of(jay)).indent == " " * 8
    assert DocumentRecipe(view_of(jay, len("import"))).indent == ""


def n_untokenized(recipe: PromptRecipe, tools: PromptTools) -> int:
    return sum(preparation.n_characters for preparation in recipe.preparations(tools) or [])


def prepare(recipe: PromptRecipe, tools: PromptTools) -> None:
    for preparation in recipe.preparations(tools) or []:
        preparation.keep(preparation.run())


def test_a_prompt_of_prepared_texts_is_the_same() -> None:
    jay = workspace(a="A = 1\n" * 30, now=TEXT)
    recipe, prepared, other = DocumentRecipe(view_of(jay)), make_tools(jay), make_tools(jay)
    prepare(recipe, prepared)
    assert recipe.make(prepared).tokens.tolist() == recipe.make(other).tokens.tolist()


def test_it_knows_how_much_is_not_tokenised_yet() -> None:
    jay = workspace(a="A = 1\n" * 30, now=TEXT)
    tools, recipe = make_tools(jay), DocumentRecipe(view_of(jay))
    assert n_untokenized(recipe, tools) == len(TEXT) + 180
    prepare(recipe, tools)
    assert recipe.preparations(tools) == []


def test_after_an_edit_a_part_of_the_document_is_not_tokenised() -> None:
    long = "".join(f"value_{number} = {number}\n" for number in range(2_000))
    jay = workspace(now=long)
    tools, recipe = make_tools(jay), DocumentRecipe(view_of(jay))
    prepare(recipe, tools)
    jay.edit("now.py", f"{long[:10]}x{long[10:]}")
    assert 0 < n_untokenized(DocumentRecipe(view_of(jay)), tools) < 10_000


def test_a_speculative_prompt_leaves_the_layout_as_it_was() -> None:
    jay = workspace(now=TEXT)
    tools, view = make_tools(jay), view_of(jay)
    DocumentRecipe(view, is_speculative=True).make(tools)
    assert not tools.layouts.state(view.project.root).anchors
    DocumentRecipe(view).make(tools)
    assert tools.layouts.state(view.project.root).anchors


def test_in_idle_time_large_files_are_cut_into_parts_in_a_thread() -> None:
    large = "".join(f"def f_{number}(x):\n    y = x\n    y += {number}\n    return y\n\n" for number in range(700))
    jay = workspace(a=large, now=TEXT)
    tools = make_tools(jay)
    prepare(DocumentRecipe(view_of(jay)), tools)
    assert DocumentRecipe(view_of(jay)).preparations(tools) == [], "not while somebody waits"
    idle = DocumentRecipe(view_of(jay), is_idle=True)
    sizes = [one.n_characters for one in idle.preparations(tools)]
    assert sizes == [len(large), len(large), len(TEXT)], "its parts, and where to look for lines in both files"
    prepare(idle, tools)
    assert idle.preparations(tools) == []
    seen = {label: text for kind, label, text in jay.shown(idle.make(tools)) if kind == "file"}
    assert "def f_0(x):" in seen["a.py"]
    assert "return y" not in seen["a.py"]
    jay.edit("a.py", large.replace("y += 3\n", "y += 33\n"))
    idle = DocumentRecipe(view_of(jay), is_idle=True)
    prepare(idle, tools)
    seen = {label: text for kind, label, text in jay.shown(idle.make(tools)) if kind == "file"}
    assert "y += 33" in seen["a.py"], "what was edited, with what it is in"


def test_a_key_that_does_what_idle_time_should_have_done_cuts_only_other_files() -> None:
    jay = workspace(a=TEXT * 100, now=TEXT * 100)
    tools = make_tools(jay)
    asked = DocumentRecipe(view_of(jay), is_idle=True, is_awaited=True)
    prepare(DocumentRecipe(view_of(jay)), tools)
    assert n_untokenized(asked, tools) == len(TEXT * 100)
    prepare(asked, tools)
    for number in range(3):
        jay.edit("now.py", f"{jay.document('now.py').text}{number}")
        after_key = DocumentRecipe(view_of(jay), is_idle=True, is_awaited=True)
        assert n_untokenized(after_key, tools) < 1_000
        prepare(after_key, tools)
    assert n_untokenized(DocumentRecipe(view_of(jay), is_idle=True), tools) > 100 * len(TEXT)
