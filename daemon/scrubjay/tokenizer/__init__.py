"""Tokenising only what is new."""
