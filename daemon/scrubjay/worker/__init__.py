"""The engine process, `python -m scrubjay.worker`: receive, choose the context, bring the prompt in, generate, answer.

Nothing imports it: the daemon talks to it through `scrubjay.engine`, in the messages of `scrubjay.protocol`.
"""
