# `make demo` and `make test` do all the set-up that they need. Python 3.11 or newer, and a C and C++ compiler, must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-for-scrubjay

.PHONY: install demo test bench clean

install: $(STAMP)

# The build of llama.cpp is the long part: tools/install.py shows how far it is.
$(STAMP): pyproject.toml tools/install.py
	@$(PYTHON) tools/install.py $(VENV)
	@touch $@

demo: $(STAMP)
	@$(BIN)/scrubjay demo

test: $(STAMP)
	@$(BIN)/python -m pytest

# The demonstration's comparison of warm and cold prompts, over more edits.
bench: $(STAMP)
	@$(BIN)/scrubjay demo --edits 40

clean:
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache
