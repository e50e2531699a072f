"""Filling in the middle by chatting, for models that have a chat template and no fill-in-the-middle tokens. Pure.

    [user: the task, files, current path, prefix up to the anchor, HERE, suffix, the question] [model: ``` and what was typed]

So the layouts stay as they are: what is typed after the anchor is the beginning of the model's answer, and only adds tokens.
"""

from scrubjay.errors import RequestError
from scrubjay.prompt.client_prompts import raw_tokens
from scrubjay.prompt.fim import ChatFim, FimTemplate
from scrubjay.prompt.recipe import RawVocabulary
from scrubjay.prompt.template import render

HERE = "<MISSING>"
TASK = f"Below are files of a project. In the last one a part is missing, where it says {HERE}.\n\n"
QUESTION = f"\n\nWrite the missing part: only what stands in the place of {HERE}, and nothing of what comes after it."
FENCE = "```"
_FILES = "\x1f"


def chat_fim_template(vocabulary: RawVocabulary) -> FimTemplate | None:
    """How to ask a model that chats; None if it does not, or if its template makes something else of a question."""
    if not vocabulary.chat_template:
        return None
    begin, end = vocabulary.names
    message = {"role": "user", "content": TASK + _FILES + QUESTION}
    turns = {"messages": [message], "tools": None, "add_generation_prompt": True, "enable_thinking": False}
    try:
        text = render(vocabulary.chat_template, {**turns, "bos_token": begin, "eos_token": end})
    except RequestError:
        return None
    before, files, after = text.partition(_FILES)
    if not files:
        return None
    question = raw_tokens((f"{after}{FENCE}\n",), vocabulary, add_special=False)
    cursor = vocabulary.tokenize(f"{HERE}\n")
    start = raw_tokens((before,), vocabulary)
    chat = ChatFim(tuple(start.tolist()), tuple(cursor.tolist()), tuple(question.tolist()), (FENCE,))
    return FimTemplate("psm", chat=chat)
