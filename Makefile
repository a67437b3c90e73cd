# The same few commands for people and CI.  They use .venv if there is one.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

.PHONY: help check format test slow browser agree bench docs ci

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

check:  ## lint, layout and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format:  ## mend what ruff can mend
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:  ## the tests that CI runs
	$(PYTHON) -m pytest -n 2

slow:  ## the tests that take minutes
	$(PYTHON) -m pytest -m slow

browser:  ## the pages, in a Chromium
	$(PYTHON) -m pytest -m browser

agree:  ## agreement with published code and numbers
	$(PYTHON) -m pytest tests/agreement

bench:  ## a table of benchmarks/: SCRIPT is speed, quality, memory, ...; BENCH holds its arguments
	$(PYTHON) benchmarks/$(or $(SCRIPT),speed).py $(BENCH)

docs:  ## the documentation as HTML, in docs/_build
	$(PYTHON) docs/generate_cli.py
	$(PYTHON) -m sphinx -W --keep-going -b html docs docs/_build

ci:  ## what CI runs, on the last commit
	.ci/run
