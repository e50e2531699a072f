"""Scripts use the same daemon as the language server's tests."""

from tests.lsp.conftest import shared_daemon

__all__ = ["shared_daemon"]
