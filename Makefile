# Two commands for a newcomer: `make demo` and `make test`. Both need only Python 3.11 or newer and make.
#
# On Linux, PyPI's torch brings several GB of CUDA. For the CPU build set PIP_EXTRA_INDEX_URL to the CPU index that
# pytorch.org names before the first `make`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that test at once.
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format docs clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Danlu needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## from a raw file to a released model, on real data, in minutes
	$(BIN)/danlu run recipes/sentiment-en.yaml

check: $(VENV)/.dev  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check  ## everything that must hold before a change lands
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 20 \
		tests/crash tests/e2e tests/contract tests/unit

test-slow: $(VENV)/.dev  ## the long tests too: every kill -9, every recipe on a slice, real models
	$(BIN)/python -m pytest -m slow tests

format: $(VENV)/.dev  ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev  ## rewrite the generated pages
	$(BIN)/python -m danlu.cli.reference docs

clean:  ## remove what was built (not .danlu, your workspace)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
