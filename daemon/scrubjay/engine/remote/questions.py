"""What a server is asked before it is used: which model it serves, and how it cuts texts into tokens."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from scrubjay.engine.remote.address import RemoteAddress
from scrubjay.engine.remote.dialects import Json, Served, Software
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed

USUAL_N_CTX = 4096
"""Tokens of context, where a server does not say how many it has."""


async def ask_served(wire: Wire, address: RemoteAddress) -> Served:
    """The model that the server has.

    Raises:
        RemoteFailed: it cannot be asked, or it is not clear which model is meant.
    """
    try:
        return await (_ask_llama(wire) if address.dialect == "llama" else _ask_openai(wire, address))
    except (LookupError, TypeError, ValueError) as error:
        raise wire.garbage("a description of its model") from error


async def ask_tokens(wire: Wire, address: RemoteAddress, served: Served, text: str) -> list[int] | None:
    """The tokens of `text`, without any that begin a prompt; None if the server does not tell.

    Raises:
        RemoteFailed: it cannot be asked.
    """
    if address.dialect == "openai":
        body: Json = {"model": served.name, "prompt": text, "add_special_tokens": False}
    else:
        body = {"content": text, "add_special": False, "parse_special": False}
    try:
        answer = await wire.post(f"{address.root}/tokenize", body)
        # None at all are those of a server that looks for the text elsewhere, as llama.cpp's does where vLLM is expected.
        return [int(token) for token in answer["tokens"]] or None
    except RemoteFailed as error:
        if error.kind == "down":
            raise
        return None
    except (LookupError, TypeError, ValueError):
        return None


async def _ask_llama(wire: Wire) -> Served:
    props, models = await wire.get("/props"), await wire.get("/v1/models")
    model = models["data"][0] if models.get("data") else {}
    meta, path = model.get("meta") or {}, _text(props.get("model_path"))
    build = _text(props.get("build_info"))
    software: Software = "scrubjay" if build.startswith("scrubjay") else "llama.cpp"
    defaults = props["default_generation_settings"]
    return Served(
        name=(_text(props.get("model_alias")) or _text(model.get("id")) or path).rpartition("/")[2],
        software=software,
        n_ctx=int(defaults["n_ctx"]),
        path=path,
        n_vocab=_count(meta, "n_vocab"),
        n_ctx_train=_count(meta, "n_ctx_train"),
        n_params=_count(meta, "n_params"),
        size=_count(meta, "size"),
        n_slots=_count(props, "total_slots"),
    )


async def _ask_openai(wire: Wire, address: RemoteAddress) -> Served:
    models = (await wire.get("/models"))["data"]
    model = _chosen(models, address)
    name, n_ctx, path = _text(model["id"]), _count(model, "max_model_len") or USUAL_N_CTX, _text(model.get("root"))
    if model.get("owned_by") != "sglang":
        return Served(name, "openai", n_ctx, path, warm_priority=1)
    options = await _sglang_options(wire, address)
    path = _text(options.get("tokenizer_path")) or path
    return Served(name, "sglang", n_ctx, path, warm_priority=_warm_priority(options))


async def _sglang_options(wire: Wire, address: RemoteAddress) -> Json:
    """How SGLang was started, as far as it tells; by its older versions' name, too."""
    for name in ("server_info", "get_server_info"):
        with suppress(RemoteFailed):
            return await wire.get(f"{address.root}/{name}")
    return {}


def _warm_priority(options: Json) -> int:
    """SGLang takes larger ones first, unless it is told to take smaller ones; without this flag it may refuse all."""
    if not options.get("enable_priority_scheduling"):
        return 0
    return 1 if options.get("schedule_low_priority_values_first") else -1


def _chosen(models: Sequence[Json], address: RemoteAddress) -> Json:
    names = [str(model["id"]) for model in models]
    if address.model in names:
        return models[names.index(address.model)]
    if len(models) == 1 and not address.model:
        return models[0]
    wanted = f"no model {address.model!r}" if address.model else "several models" if models else "no model"
    served = f" It has {', '.join(names)}; write remote:{address.url}#NAME." if names else ""
    raise RemoteFailed(
        f"The server of the remote model, {address.url}, has {wanted}.{served}", "final" if names else "down"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(values: dict[str, Any], name: str) -> int:
    return max(int(values.get(name) or 0), 0)
