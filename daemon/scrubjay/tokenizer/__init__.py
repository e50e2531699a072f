"""Tokens of texts, of which only what an edit has changed is tokenised."""

from scrubjay.tokenizer.token_cache import Preparation, TokenCache, TokenizedText

__all__ = ["Preparation", "TokenCache", "TokenizedText"]
