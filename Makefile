# Needs make and Python 3.11 or newer; everything else goes into .venv. Another Python beside it:
# make PYTHON=python3.13 VENV=.venv-3.13 test
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
TABLE ?= tests/benchmarks/tabulated
RUN ?= $(shell ls -td runs/*/ 2>/dev/null | head -n 1)

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
TWO_FILES := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install search test test-fast lint format options docs bench bench-tabulate bench-search audit matrix report clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED)  ## make .venv and install the project with its test extras
ifneq ($(origin PYTHON),file)
	@here=$$("$(BIN)/python" $(VERSION)) asked=$$("$(PYTHON)" $(VERSION)); test "$$here" = "$$asked" || \
		{ echo "$(VENV) has Python $$here, not $$asked: make clean, or make VENV=.venv-$$asked ..." >&2; exit 2; }
endif

$(INSTALLED): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || \
		{ echo "$(PYTHON) is not here: install Python 3.11 or newer, or give its path: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older or does not run: make PYTHON=python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv "$(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(INSTALLED)

search: install  ## run the main search: mnist5k, LeNet-5 (more options: make search ARGS="--trials 20")
	$(BIN)/python -m search.run $(ARGS)

test: lint  ## lint, types, import contracts and all tests, with coverage
	$(BIN)/python -m pytest $(TWO_FILES) --cov --cov-report=term --durations=20 $(ARGS)

test-fast: install  ## the tests that need no Ray, no browser and no real training
	$(BIN)/python -m pytest $(TWO_FILES) -m "not slow" $(ARGS)

lint: install  ## format, lint, types and import contracts, checked only
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: install  ## rewrite the code in the house's format
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

options: install  ## write docs/options.md again, from the fields that declare the options
	$(BIN)/python -c 'from pathlib import Path; from search.machine_options import all_options; \
		from search.option_fields import in_document; page = Path("docs/options.md"); \
		page.write_text(in_document(page.read_text(), all_options()))'

docs: install  ## build the documents into site/; a broken link is an error
	$(BIN)/mkdocs build --strict --quiet

bench: install  ## measure speed, with nothing else running, and write docs/bench.md
	$(BIN)/python -m tests.benchmarks.bench $(ARGS)

bench-tabulate: install  ## measure vectors for bench-search, 30 s of a core each; stop it and go on at will
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.tabulate "$(TABLE)" $(ARGS)

bench-search: install  ## simulate searches on the tabulated vectors and write docs/bench-search.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_search data/bench-search --table "$(TABLE)" $(ARGS)

audit: install  ## known weaknesses of the tested dependencies, asked of PyPI; needs the network
	@test -x $(VENV)/audit/bin/pip-audit || \
		{ "$(PYTHON)" -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet pip-audit; }
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

matrix:  ## the quick tests on every Python from 3.11 to 3.14 that is here, each in its own environment
	@test -x $(VENV)/nox/bin/nox || \
		{ "$(PYTHON)" -m venv $(VENV)/nox && $(VENV)/nox/bin/python -m pip install --quiet nox; }
	$(VENV)/nox/bin/nox --envdir "$(VENV)/nox/sessions" $(ARGS)

report: install  ## write the report of the newest run again (another run: make report RUN=runs/NAME)
	@test -n "$(RUN)" || { echo "there is no run in runs/: make search, or make report RUN=FOLDER" >&2; exit 2; }
	$(BIN)/python -m analysis.report "$(RUN)"

clean:  ## remove .venv and the caches; runs/ stays
	rm -rf $(VENV) .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist prune_privacy.egg-info
	find analysis search tests trainables -name __pycache__ -type d -prune -exec rm -rf {} +
