"""Chat messages as the prompt that a model's own chat template makes of them. Pure.

Templates come with models from strangers, so they run in a sandbox.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scrubjay.errors import RequestError
from scrubjay.prompt.recipe import RawVocabulary

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models that bring no template: the one that most were trained with."""
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """Messages, and what else a template may ask for.

    Args:
        options: more variables for the template, such as `enable_thinking`.
        prefill: the beginning of the answer.
    """

    messages: tuple[Json, ...]
    tools: tuple[Json, ...] | None = None
    options: Json = field(default_factory=dict)
    add_generation_prompt: bool = True
    prefill: str = ""

    @property
    def n_characters(self) -> int:
        return sum(len(str(message.get("content"))) for message in self.messages)

    def text(self, vocabulary: RawVocabulary) -> str:
        """The prompt as text, in which special tokens stand by name.

        Raises:
            RequestError: the template does not take these messages.
        """
        variables = {
            **self.options,
            "messages": [dict(message) for message in self.messages],
            "tools": [dict(tool) for tool in self.tools] if self.tools else None,
            "add_generation_prompt": self.add_generation_prompt,
            "bos_token": vocabulary.names[0],
            "eos_token": vocabulary.names[1],
        }
        return render(vocabulary.chat_template or CHATML, variables) + self.prefill


def render(source: str, variables: Json) -> str:
    """What the template `source` makes of `variables`.

    Raises:
        RequestError: the template is broken, or refuses them.
    """
    try:
        return _compiled(source).render(variables)
    except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError, AttributeError, IndexError) as error:
        # Templates are programs: what they make of messages that they do not expect may be anything.
        raise RequestError(f"The model's chat template does not take these messages: {error}.") from error
    except RecursionError as error:
        raise RequestError("The messages are nested too deeply for the model's chat template.") from error


@lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_refuse, strftime_now=_strftime_now)
    return environment.from_string(source)


class _Generation(Extension):
    """The tag `generation`, with which some templates mark what the model has written; it means nothing here."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it so

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: object, indent: int | None = None, ensure_ascii: bool = False, **_: object) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def _refuse(message: str) -> str:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
