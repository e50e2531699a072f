"""Real editors use the same daemon as the language server's tests."""

from tests.lsp.conftest import place, shared_daemon

__all__ = ["place", "shared_daemon"]
