"""What layouts remember of projects, and forget."""

import gc
import weakref

from scrubjay.prompt.anchored import Anchor
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.places import EMPTY_LAYOUT
from scrubjay.tokenizer.token_cache import TokenCache
from tests.prompt.test_plain import workspace


def test_of_a_project_that_is_forgotten_no_text_is_kept() -> None:
    jay = workspace(other="x = 1\n", now="y = 2\n" * 100)
    layouts, cache = Layouts(), TokenCache(jay.vocabulary.tokenize, 1 << 20)
    document, root = jay.document("now.py"), jay.project.root
    layouts.prompt(LayoutInput(jay.project, document, 60, find_template(jay.vocabulary), cache, Limits(4096, 512)))
    state = layouts.state(root)
    assert state.slots
    assert isinstance(state.anchors[document.key], Anchor)
    kept = [weakref.ref(array) for array in (slot.tokens for slot in state.slots)]
    del state
    layouts.forget(root)
    cache.forget(document.key)
    cache.forget(jay.document("other.py").key)
    assert layouts.state(root) is EMPTY_LAYOUT
    gc.collect()
    assert [reference() for reference in kept] == [None]
    assert cache.missing([(document.key, document.text)]), "its tokens are not known any more"


def test_an_anchor_goes_with_its_document() -> None:
    jay = workspace(other="x = 1\n", now="y = 2\n" * 100)
    layouts, cache = Layouts(), TokenCache(jay.vocabulary.tokenize, 1 << 20)

    def ask(name: str) -> None:
        place = (jay.project, jay.document(name), 3)
        layouts.prompt(LayoutInput(*place, find_template(jay.vocabulary), cache, Limits(4096, 512), is_idle=True))

    ask("other.py")
    ask("now.py")
    assert len(layouts.state(jay.project.root).anchors) == 2
    jay.projects.close("file:///projects/jay/other.py")
    ask("now.py")
    assert list(layouts.state(jay.project.root).anchors) == [jay.document("now.py").key]
