"""Several models in one daemon: which there are, what each is for, and which of their options are their own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scrubjay.errors import UsageError

Purpose = Literal["complete", "chat", "edit", "embed"]
"""What a model is for: code at a cursor, conversations, next edits, vectors of texts."""
PURPOSES: tuple[Purpose, ...] = ("complete", "chat", "edit", "embed")
MODEL_OPTIONS = (
    "tokenizer",
    "remote_key_file",
    "ctx",
    "threads",
    "interval",
    "checkpoint_budget",
    "store",
    "store_daily",
    "gpu_layers",
    "kv_type",
    "draft",
    "context_budget",
    "layout",
    "prompt_style",
    "latency_budget_ms",
    "eager_load",
    "idle_unload",
)
"""Which options a model may have of its own."""
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)=(?P<source>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelTable:
    """One model of several.

    Args:
        name: as requests name it; "" for that of the option `model`.
        source: which model it is, as for that option.
        purposes: what it is for, where a request names no model.
        options: its own, by name; see `Config`.
    """

    name: str
    source: str
    purposes: tuple[Purpose, ...] = ("complete",)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What its source is called among options."""
        return f"models.{self.name}.source" if self.name else "model"


def model_key(text: str) -> tuple[str, str]:
    """The key of what the option `model` says, and the source: NAME=MODEL is one more model, of that name."""
    match = _NAMED.fullmatch(text)
    return (f"models.{match['name']}.source", match["source"]) if match else ("model", text)


def model_option(key: str, source: str) -> str:
    """What the option `model` has to say for that key and source."""
    return source if key == "model" else f"{key.removeprefix('models.').removesuffix('.source')}={source}"


def model_tables(tables: Mapping[str, Mapping[str, Any]]) -> tuple[ModelTable, ...]:
    """The models of these tables, by name; if one of them is for completing code, the first such is the first.

    Raises:
        UsageError: a table is wrong.
    """
    models = [_table(name, table) for name, table in tables.items()]
    first = next((table for table in models if "complete" in table.purposes), None)
    return tuple(sorted(models, key=lambda table: table is not first))


def _table(name: str, values: Mapping[str, Any]) -> ModelTable:
    if not _NAMED.fullmatch(f"{name}="):
        raise UsageError(f"{name!r} is no name of a model; take letters, digits, '.', '_' and '-'.")
    if "source" not in values:
        raise UsageError(f'The model {name!r} has no source; write `source = "..."` into [models.{name}].')
    usual: tuple[Purpose, ...] = tuple(each for each in PURPOSES if each == name) or ("complete", "chat")
    purposes = values.get("purposes", usual)
    if "embed" in purposes and len(purposes) > 1:
        raise UsageError(f"The model {name!r} cannot have another purpose beside 'embed'; make two tables of it.")
    own = {key: value for key, value in values.items() if key not in ("source", "purposes")}
    return ModelTable(name, values["source"], purposes, own)
