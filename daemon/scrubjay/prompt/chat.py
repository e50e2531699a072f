"""Chat messages as the prompt that a model's own chat template makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scrubjay.prompt.recipe import RawVocabulary
from scrubjay.prompt.template import render

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
