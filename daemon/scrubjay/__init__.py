"""Scrubjay keeps the model context of a project warm, so that code completion is instant while you edit."""

__version__ = "0.1.0"
