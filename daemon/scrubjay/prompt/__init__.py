"""From a place in a project, or a client's own texts, to a prompt."""
