# `make demo` and `make test` do all the set-up that they need. Python 3.11 or newer, and a C and C++ compiler, must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-for-scrubjay
# A file's tests share daemons, so they stay together. More workers than that would only share the memory.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile

.PHONY: install demo check test bench bench-peer clean

install: $(STAMP)

# The build of llama.cpp is the long part: tools/install.py shows how far it is.
$(STAMP): pyproject.toml tools/install.py
	@$(PYTHON) tools/install.py $(VENV)
	@touch $@

demo: $(STAMP)
	@$(BIN)/scrubjay demo

# Style, types, house rules and every test that is not marked slow.
check: $(STAMP)
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test: $(STAMP)
	@$(BIN)/python -m pytest $(PARALLEL)

# Long: `make bench BENCH="--minutes 25"` measures the most telling part. Goes on where it was stopped.
bench: $(STAMP)
	@$(BIN)/scrubjay bench $(BENCH)

# llama-server of the llama.cpp in use, to compare with; and what draws plots.
bench-peer: $(STAMP)
	@$(BIN)/python -m pip install --quiet -e ".[bench]"
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python -m tests.benchmarks.peer

clean:
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache
