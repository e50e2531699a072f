"""Conversations: from `messages` and `tools` to the prompt that the model's template makes, and what to look for in the reply."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scrubjay.errors import RequestError
from scrubjay.http.compat.chat_reply import CALL, END_THINK, THINK, Form, Section
from scrubjay.http.compat.reading import CompatRequest, content_of, generation
from scrubjay.http.params import Params
from scrubjay.prompt.chat import ChatPrompt
from scrubjay.prompt.client_prompts import RawPrompt

Json = dict[str, Any]
MAX_MESSAGES = 2_000


def chat_prompt(params: Params) -> ChatPrompt:
    """The prompt of `messages`.

    What the last one says as the assistant is the beginning of the answer, unless `continue_final_message` or
    `add_generation_prompt` is false.
    """
    items = params.items("messages")
    if len(items) > MAX_MESSAGES:
        raise RequestError(f"`messages` has {len(items)} items; send at most {MAX_MESSAGES}.")
    messages = list(map(_message, items))
    if not messages:
        raise RequestError("`messages` is empty; send at least one message.")
    opens_reply = params.flag("add_generation_prompt", default=True)
    can_continue = messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls")
    continues = params.flag("continue_final_message", default=can_continue and opens_reply)
    if continues and not can_continue:
        raise RequestError("`continue_final_message` needs a last message that the assistant has said.")
    prefill = str(messages.pop()["content"]) if continues else ""
    tools = tuple(item.values for item in params.items("tools")) if params.has("tools") else None
    options = params.nested("chat_template_kwargs").values if params.has("chat_template_kwargs") else {}
    options = {key: value for key, value in options.items() if key.isidentifier()}
    return ChatPrompt(tuple(messages), tools, options, opens_reply or continues, prefill)


def chat(params: Params, n_probs: int) -> Callable[[str], CompatRequest]:
    """What is to be generated for `messages`, of which the model's template will make a text.

    If `tool_choice` forces a call, the prompt ends inside `<tool_call>` and a grammar admits only the allowed tools.
    """
    asked = generation(params, [RawPrompt(("",))], n_probs=n_probs)
    has_thoughts = params.text("reasoning_format", "auto") != "none"
    if tools := _forced_tools(params):
        how = asked.sampling
        if how.grammar or how.json_schema:
            raise RequestError("Send a grammar or a JSON schema, or have a tool called, not both.")
        schema = json.dumps({"anyOf": [_call_schema(tool, number) for number, tool in enumerate(tools)]})
        asked = asked.with_sampling(replace(how, json_schema=schema))
    has_calls = bool(tools) or (params.has("tools") and params.values.get("tool_choice") != "none")

    def after(text: str) -> CompatRequest:
        thinks = text.rstrip().endswith(THINK)
        opening = f"{END_THINK}\n\n" * thinks + f"{CALL}\n" if tools else ""
        begins: Section = "call" if tools else "thought" if thinks and has_thoughts else "said"
        request = replace(asked.request, recipe=RawPrompt((text + opening,)))
        return replace(asked, requests=(request,), reply=Form(has_thoughts, has_calls, begins))

    return after


def _forced_tools(params: Params) -> list[Params]:
    """The functions of which the model must call one, as `tool_choice` says; none if it is free to."""
    choice = params.values.get("tool_choice")
    if choice not in ("required", "any") and not isinstance(choice, dict):
        return []
    tools = [tool.nested("function") for tool in params.items("tools")]
    if isinstance(choice, dict):
        name = Params(choice, "tool_choice.").nested("function").text("name")
        tools = [tool for tool in tools if tool.text("name") == name]
    if not tools:
        raise RequestError("`tool_choice` names no tool of `tools`; send that tool, too.")
    return tools


def _call_schema(tool: Params, number: int) -> Json:
    arguments = tool.nested("parameters").values if tool.has("parameters") else {"type": "object"}
    # Its id makes it the root of its own references: "#/$defs/..." are its definitions, not those of the whole.
    properties = {"name": {"const": tool.text("name")}, "arguments": {"$id": f"urn:tool:{number}", **arguments}}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _message(item: Params) -> Json:
    """A message as templates want it: its content is text, and what tools are called with are objects."""
    role = item.text("role")
    # OpenAI's newer word; templates know the older one.
    message = {**item.values, "role": "system" if role == "developer" else role, "content": content_of(item)}
    if item.has("tool_calls"):
        message["tool_calls"] = [_tool_call(call.values) for call in item.items("tool_calls")]
    return message


def _tool_call(call: Json) -> Json:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
