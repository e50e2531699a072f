"""The routes of llama.cpp's server, OpenAI and Tabby, a dialect a file: `compat_routes`."""

from scrubjay.http.compat.routes import compat_routes

__all__ = ["compat_routes"]
