"""Prompts: from a place in a project, or from a client's own texts, to tokens."""

from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.infill import InfillPrompt
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.recipe import PromptRecipe, PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView

__all__ = [
    "DocumentRecipe",
    "InfillPrompt",
    "Layouts",
    "ProjectView",
    "Prompt",
    "PromptRecipe",
    "PromptTools",
    "RawPrompt",
]
