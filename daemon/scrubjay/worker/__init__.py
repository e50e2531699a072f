"""The engine process: receive, choose the context, sync, generate, answer."""
