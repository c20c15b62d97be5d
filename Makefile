# Needs Python 3.11 or newer, git and make; all else goes into this folder, and `make clean`
# removes it again.

PYTHON ?= python3
database ?= sqlite

# Relative, so that the path of the checkout may have spaces.
BIN := .venv/bin
INSTALLED := .venv/installed

# Nothing is written to the home folder, which may be missing or read-only.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
# What another project or an activated environment has set must not leak in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-fast bench lint fix tree clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## Render the default project into build/ and run it (database=postgresql)
	HOME="$(CURDIR)/.cache/home" $(BIN)/python -m cookiecutter . --no-input --default-config \
		--overwrite-if-exists --output-dir build/$(database) database=$(database)
	$(MAKE) --no-print-directory -C build/$(database)/async_app run

test: $(INSTALLED) ## Run all tests; some install rendered projects, which takes minutes
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: $(INSTALLED) ## Run every combination on every Python here, and write docs/matrix.md
	$(BIN)/python tests/matrix.py

test-fast: $(INSTALLED) ## Run the tests that only render, in a minute or two
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

bench: $(INSTALLED) ## Measure against others, and write docs/benchmarks.md (of="sqlite api")
	$(BIN)/python benchmarks/run.py $(of)

lint: $(INSTALLED) ## Check style and types, and change nothing
	$(BIN)/python -m black --check --quiet .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

fix: $(INSTALLED) ## Mend what black and ruff can mend
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m black --quiet .

tree: $(INSTALLED) ## Write down which files each project has, for the tests to compare
	$(BIN)/python -m pytest --quiet tests/test_rendering.py -k written_down --write-tree

clean: ## Remove everything that was made here
	rm -rf .venv .cache build .mypy_cache .pytest_cache .ruff_cache
	find hooks tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The last line writes the target: an install that was interrupted starts afresh.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed: name one, as in "make PYTHON=python3.12".' >&2; \
		exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	touch $@
