# Needs Python 3.11 or newer, git and make. Everything else is installed into this folder, and
# `make clean` removes it.

PYTHON ?= python3
database ?= sqlite

# Relative, so that the path of the checkout may have spaces.
BIN := .venv/bin
INSTALLED := .venv/installed

# The home folder may be missing or read-only.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
# Variables of another project or an activated environment must not leak in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-fast bench lint format manifest clean

help: ## List all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## Render the default project into build/ and run it (database=postgresql)
	HOME="$(CURDIR)/.cache/home" $(BIN)/python -m cookiecutter . --no-input --default-config \
		--overwrite-if-exists --output-dir build/$(database) database=$(database)
	$(MAKE) --no-print-directory -C build/$(database)/async_app run

test: $(INSTALLED) ## Run all tests; some install rendered projects, which takes minutes
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: $(INSTALLED) ## Test every project on every Python here, and write docs/matrix.md
	cd tests && ../$(BIN)/python -m support.run_all

test-fast: $(INSTALLED) ## Run the tests that only render, in a minute or two
	$(BIN)/python -m pytest -n auto --dist worksteal tests/render

bench: $(INSTALLED) ## Compare with other projects, and write docs/benchmarks.md (of="sqlite api")
	$(BIN)/python benchmarks/run.py $(of)

lint: $(INSTALLED) ## Check format, style and types, and change nothing
	$(BIN)/python -m black --check --quiet .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

format: $(INSTALLED) ## Format with black, and fix what ruff can fix
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m black --quiet .

manifest: $(INSTALLED) ## List the files of every project in tests/support/manifest.txt
	$(BIN)/python -m pytest --quiet tests/render/test_rendering.py -k manifest --write-manifest

clean: ## Remove environments, caches and builds
	rm -rf .venv .cache build .mypy_cache .pytest_cache .ruff_cache
	find hooks tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The last line creates the target, so an interrupted installation starts again.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed, for example: make PYTHON=python3.12' >&2; \
		exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	touch $@
