"""Prompts as a builder makes them, wherever it makes them."""

import asyncio

from scrubjay.errors import ScrubjayError
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptRecipe
from scrubjay.prompt.segments import Prompt
from scrubjay.service.prompt_builder import Made, PromptBuilder


def making(builder: PromptBuilder, recipe: PromptRecipe, limits: Limits) -> "asyncio.Future[Prompt]":
    """A future of the prompt; it is done if the prompt was made at once."""
    future: asyncio.Future[Prompt] = asyncio.get_running_loop().create_future()

    def report(made: Made) -> None:
        if isinstance(made, ScrubjayError):
            future.set_exception(made)
        else:
            future.set_result(made)

    if (made := builder.make(recipe, limits, report)) is not None:
        report(made)
    return future
