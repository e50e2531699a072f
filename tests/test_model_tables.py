"""Several models in one configuration: which one completes code, what each is for, and whose options count."""

import pytest

from scrubjay.model_tables import model_key, model_option
from tests.test_config import complaint, configured

TWO = """
ctx = 4096
[models.fim]
source = "/fim.gguf"
purposes = ["complete"]
[models.talk-2]
source = "/chat.gguf"
purposes = "chat, edit"
ctx = 8192
idle-unload = 10
"""


def sources(**how: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(table.name, table.source, table.purposes) for table in configured(TWO, **how).served]


def test_tables_are_models_and_the_one_that_completes_code_is_first() -> None:
    assert sources() == [("fim", "/fim.gguf", ("complete",)), ("talk-2", "/chat.gguf", ("chat", "edit"))]
    assert configured(TWO).model == "/fim.gguf"
    reversed_tables = '[models.chat]\nsource = "/c.gguf"\n[models.complete]\nsource = "/f.gguf"\n'
    assert [table.name for table in configured(reversed_tables).served] == ["complete", "chat"]


def test_a_model_that_is_set_completes_code_whatever_tables_say() -> None:
    assert [name for name, _, _ in sources(model="/mine.gguf")] == ["", "fim", "talk-2"]
    assert configured(TWO, model="/mine.gguf").model == "/mine.gguf"
    assert [table.source for table in configured("", {"SCRUBJAY_MODEL": "chat=/c.gguf"}).served] == [
        "starter",
        "/c.gguf",
    ]


def test_each_model_has_its_own_options_over_those_of_all() -> None:
    config = configured(TWO, threads="3")
    fim, talk = (config.of(table) for table in config.served)
    assert (fim.model, fim.ctx, fim.threads, fim.idle_unload) == ("/fim.gguf", 4096, 3, 0)
    assert (talk.model, talk.ctx, talk.threads, talk.idle_unload) == ("/chat.gguf", 8192, 3, 10)


def test_names_say_what_models_are_for() -> None:
    toml = "".join(f'[models.{name}]\nsource = "/m.gguf"\n' for name in ("big", "chat", "embed"))
    assert {table.name: table.purposes for table in configured(toml).served} == {
        "big": ("complete", "chat"),
        "chat": ("chat",),
        "embed": ("embed",),
    }


def test_a_flag_may_name_one_more_model_and_take_the_source_of_a_table() -> None:
    flags = dict([model_key("talk-2=hf:me/it"), model_key("/plain=1.gguf")])
    config = configured(TWO, **flags)
    assert [(table.name, table.source) for table in config.served] == [
        ("", "/plain=1.gguf"),
        ("fim", "/fim.gguf"),
        ("talk-2", "hf:me/it"),
    ]
    assert [model_option(key, source) for key, source in flags.items()] == ["talk-2=hf:me/it", "/plain=1.gguf"]


def test_files_take_the_place_of_names() -> None:
    config = configured(TWO).with_sources({"models.fim.source": "/a.gguf", "models.talk-2.source": "/b.gguf"})
    assert [table.source for table in config.served] == ["/a.gguf", "/b.gguf"]
    plain = configured(TWO, model="starter").with_sources({"model": "/starter.gguf"})
    assert [table.source for table in plain.served] == ["/starter.gguf", "/fim.gguf", "/chat.gguf"]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[models.a]\npurposes = 'chat'", "The model 'a' has no source"),
        ("[models.'a b']\nsource = '/m'", "'a b' is no name of a model"),
        ("[models.a]\nsource = '/m'\nwarm = true", "config.toml: models.a.warm is no option of a model"),
        ("[models.a]\nsource = '/m'\nidle-unlod = 1", "did you mean 'idle-unload'?"),
        ("[models.a]\nsource = '/m'\npurposes = ['talk']", "give some of complete, chat, edit, embed"),
        ("[models.a]\nsource = '/m'\npurposes = ['embed', 'chat']", "cannot have another purpose beside 'embed'"),
        ("[models.a]\nsource = '/m'\nctx = 1", "config.toml: models.a.ctx: '1' is not a whole number"),
        ("models = 3", "config.toml: models is no option of Scrubjay"),
        ("[models]\na = 3", "config.toml: models must be a text"),
        ("[tables.a]\nb = 1", "config.toml: tables must be a text"),
    ],
)
def test_what_is_wrong_is_said(toml: str, says: str) -> None:
    assert says in complaint(toml)
