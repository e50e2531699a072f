"""What a key costs does not depend on how long the line or the document is: only what is near the cursor is tokenised."""

from collections.abc import Callable

import numpy as np
import pytest

from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.view import ProjectView
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import Tokens
from tests.prompt.test_plain import Workspace, workspace
from tests.support.vocabularies import open_vocabulary

CODE = 'function a(b,c){var d="x\\"y",e=[1,2,3];for(var f=0;f<e.length;f++){if(e[f]===b){return{g:d,h:c}}}return null}'
SHAPES: dict[str, Callable[[int], str]] = {
    "minified": lambda n: CODE * (n // len(CODE)),
    "brackets": lambda n: "[" * n,
    "spaces": lambda n: " " * n,
    "letters": lambda n: "a" * n,
    "ideographs": lambda n: "漢字仮名" * (n // 4),
    "blank lines": lambda n: "\n" * n,
    "escapes": lambda n: '"' + '\\"' * (n // 2),
    "after other lines": lambda n: "import os\n" * 50 + "x" * n + "\n" + "value = 1\n" * 50,
}
MAX_CHARACTERS = 1 << 16
"""Tokenised for one key."""


class Typist:
    """Types into the middle of a document, and counts the characters that are tokenised for each key."""

    def __init__(self, text: str, offset: int, layout: LayoutName) -> None:
        self._jay: Workspace = workspace(now=text, other="x = 1\n" * 10)
        self._text, self._offset = text, offset
        self._n_characters = 0
        vocabulary = open_vocabulary("qwen2")
        cache = TokenCache(self._tokenize, 1 << 24)
        place = (Layouts(layout), InfillHistory(), Limits(4096, 512))
        self._tools = PromptTools(vocabulary, find_template(vocabulary), cache, *place)
        self.ask()

    def _tokenize(self, text: str) -> Tokens:
        self._n_characters += len(text)
        return open_vocabulary("qwen2").tokenize(text)

    def ask(self) -> int:
        self._n_characters = 0
        recipe = DocumentRecipe(ProjectView.of(self._jay.project, self._jay.document("now.py"), self._offset))
        for preparation in recipe.preparations(self._tools):
            preparation.keep(preparation.run())
        prompt = recipe.make(self._tools)
        assert len(prompt.tokens) <= 4096 - 512
        assert prompt.tokens.dtype == np.int32
        return self._n_characters

    def type(self, key: str) -> int:
        self._text = self._text[: self._offset] + key + self._text[self._offset :]
        self._jay.edit("now.py", self._text)
        self._offset += len(key)
        return self.ask()


@pytest.mark.parametrize("layout", ["anchored", "plain"])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["at the start", "in the middle", "at the end"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_key_in_a_long_line_costs_what_it_costs_in_a_short_one(
    shape: Callable[[int], str], place: float, layout: LayoutName
) -> None:
    for n_characters in (100_000, 400_000):
        text = shape(n_characters)
        typist = Typist(text, int(len(text) * place), layout)
        assert max(typist.type(key) for key in "value(1)") <= MAX_CHARACTERS


def test_a_file_with_such_a_line_is_not_shown_beside_others() -> None:
    jay = workspace(long="x" * 100_000, short="y = 1\n", now="z = 2\n")
    vocabulary = open_vocabulary("qwen2")
    tools = PromptTools(
        vocabulary,
        find_template(vocabulary),
        TokenCache(vocabulary.tokenize, 1 << 22),
        Layouts(),
        InfillHistory(),
        Limits(100_000, 512),
    )
    prompt = DocumentRecipe(ProjectView.of(jay.project, jay.document("now.py"), 6)).make(tools)
    assert [span.label for span in prompt.segments if span.kind == "file"] == ["short.py"]
