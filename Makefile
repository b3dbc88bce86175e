# `make demo` shows it, `make test` checks it; both install what they need, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?=
ROUNDS ?= 100
SEED ?= 0

.PHONY: demo test test-all chaos lint bench clean

demo: $(INSTALLED)
	$(BIN)/python -m jobs.demo $(if $(DATA),--data "$(DATA)")

# Two files at a time, since many tests wait: for Ray to start, or for a limit to pass.
test: lint
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-all: lint
	$(BIN)/pytest

chaos: $(INSTALLED)
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED) --json build/chaos.json

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache benchmarks/out

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "latentmill needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@
