"""Chat messages as prompts, by templates of strangers."""

from dataclasses import dataclass
from typing import Any

import pytest

from scrubjay.errors import RequestError
from scrubjay.prompt.chat import ChatPrompt
from scrubjay.prompt.template import render
from tests.support.vocabularies import open_vocabulary

HELLO = ({"role": "user", "content": "Hello"},)


@dataclass(frozen=True, slots=True)
class Named:
    """All that a chat prompt wants to know of a vocabulary."""

    chat_template: str
    names: tuple[str, str] = ("<s>", "</s>")


def text(template: str, **more: Any) -> str:
    return ChatPrompt(HELLO, **more).text(Named(template))  # type: ignore[arg-type]


def test_the_models_own_template_is_used() -> None:
    prompt = ChatPrompt(HELLO, prefill="Well").text(open_vocabulary("qwen2"))
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nWell"


def test_without_a_template_the_usual_one_is_used() -> None:
    assert text("", add_generation_prompt=False) == "<|im_start|>user\nHello<|im_end|>\n"


def test_tools_options_and_names_of_tokens_reach_the_template() -> None:
    tools = ({"type": "function", "function": {"name": "weather", "description": "ä"}},)
    template = "{{ bos_token }}{{ tools | tojson }}{% if not enable_thinking %} quick{% endif %}{{ eos_token }}"
    shown = text(template, tools=tools, options={"enable_thinking": False})
    assert shown == '<s>[{"type": "function", "function": {"name": "weather", "description": "ä"}}] quick</s>'


def test_what_clients_send_does_not_replace_the_messages() -> None:
    assert text("{{ messages | length }}", options={"messages": []}) == "1"


def test_templates_of_real_models_use_more_than_jinja() -> None:
    template = (
        "{%- for message in messages -%}{%- if loop.index0 > 0 -%}{%- break -%}{%- endif -%}"
        "{% generation %}{{ message.content }}{% endgeneration %}{%- endfor -%}{{ strftime_now('%Y') | length }}"
    )
    assert text(template) == "Hello4"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no system role') }}",
        "{% for %}",
        "{{ messages[9].content.x }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
    ],
)
def test_broken_and_malicious_templates_are_errors_of_the_request(template: str) -> None:
    with pytest.raises(RequestError, match="template"):
        text(template)


def test_messages_are_not_changed() -> None:
    messages = [{"role": "user", "content": "a"}]
    with pytest.raises(RequestError):
        render("{{ messages[0].update({'role': 'x'}) }}", {"messages": messages})
    assert messages == [{"role": "user", "content": "a"}]
