"""Completions: what is asked for and answered, where texts end, what of them is shown, and what is remembered."""

from scrubjay.completion.finish import AsWritten, ClientLimits, Finish
from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import Completion, CompletionRequest, Item, RawRequest
from scrubjay.completion.rules import CompletionRules

__all__ = [
    "AsWritten",
    "ClientLimits",
    "Completion",
    "CompletionHistory",
    "CompletionRequest",
    "CompletionRules",
    "Finish",
    "Item",
    "RawRequest",
]
