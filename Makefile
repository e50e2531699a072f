# `make demo` and `make test` do all the set-up that they need. Python 3.11 or newer, and a C and C++ compiler, must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-for-scrubjay
TESTS := $(VENV)/.installed-for-tests
VULKAN := .venv-vulkan
VULKAN_TESTS ?= tests/llama tests/contexts/test_checkpointed.py tests/worker
# Mesa's Vulkan in software, alone: llama.cpp uses a device that is a CPU only where it is told to. Mesa must be 25 or newer: 22.3
# ends the process. With `make test-vulkan VULKAN_DEVICE=` the machine's GPU is used.
LAVAPIPE := $(firstword $(wildcard /usr/share/vulkan/icd.d/lvp_icd*.json) missing)
VULKAN_DEVICE ?= VK_ICD_FILENAMES=$(LAVAPIPE) GGML_VK_VISIBLE_DEVICES=0
# A file's tests share daemons, so they stay together. More workers than that would only share the memory.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile

.PHONY: install demo check test test-vllm test-vulkan bench bench-peer vsix clean

install: $(TESTS)

# The build of llama.cpp is the long part: tools/install.py shows how far it is.
$(STAMP): pyproject.toml tools/install.py
	@$(PYTHON) tools/install.py $(VENV)
	@touch $@

# What only the tests need.
$(TESTS): $(STAMP)
	@$(PYTHON) tools/install.py $(VENV) test
	@touch $@

demo: $(STAMP)
	@$(BIN)/scrubjay demo

# Style, types, house rules and every test that is not marked slow.
check: $(TESTS)
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test: $(TESTS)
	@$(BIN)/python -m pytest $(PARALLEL)

# Remote models on vLLM, which takes 3.5 GB and is not installed here: VLLM_VENV names a virtual environment that has it, as
# docs/contributing.md says.
test-vllm: $(TESTS)
	@$(BIN)/python -m tests.benchmarks.vllm_traces

# What uses the model, with all layers on a GPU: on one in software, unless VULKAN_DEVICE says otherwise. docs/contributing.md says
# what must be installed.
test-vulkan: $(VULKAN)/.installed-for-tests
	@env $(VULKAN_DEVICE) $(VULKAN)/bin/python -m pytest $(PARALLEL) $(VULKAN_TESTS)

# A cache of its own: pip would take the CPU's build of llama.cpp from the usual one, or leave this one there.
$(VULKAN)/.installed-for-tests: pyproject.toml tools/install.py
	@CMAKE_ARGS="-DGGML_VULKAN=on -DLLAVA_BUILD=off $(CMAKE_ARGS)" PIP_CACHE_DIR=$(CURDIR)/$(VULKAN)/cache $(PYTHON) tools/install.py $(VULKAN) test
	@touch $@

# Long: `make bench BENCH="--minutes 25"` measures the most telling part. Goes on where it was stopped.
bench: $(TESTS)
	@$(BIN)/scrubjay bench $(BENCH)

# llama-server of the llama.cpp in use, to compare with; and what draws plots.
bench-peer: $(TESTS)
	@$(BIN)/python -m pip install --quiet -e ".[bench]"
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python -m tests.benchmarks.peer

# The extension for VS Code as a file; a wheel that is built after this has it in it, so that users need no Node.js.
vsix:
	@cd clients/vscode && npm ci --no-fund --no-audit && npm run package

clean:
	rm -rf $(VENV) $(VULKAN) .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache
