# Each target does its own set-up: Python >= 3.11 with pip and venv, and make, are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS_VENV := .venv-plugins
MIN_VENV := .venv-min
RELEASE_VENV := .venv-release
# The oldest Python that pyproject.toml allows.
PYTHON_MIN ?= python3.11
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What the tests need. Where pip would fetch a CUDA build of torch, EXTRAS=dev,recipes,fast leaves it out; its tests then skip.
EXTRAS ?= dev,recipes,torch,fast
PYTEST_ARGS ?= --numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help run test test-min coverage test-plugins audit lint bench docs release-check clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: $(VENV)/.ready-run  ## run recipes/quickstart.py: from base models on a real data set to a table and a picture
	$(BIN)/python recipes/quickstart.py

test: $(VENV)/.ready-dev  ## run the tests and doctests (PYTEST_ARGS="-k als" for some)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-min: $(MIN_VENV)/.ready  ## run the tests on python3.11 and constraints-min.txt (PYTHON_MIN=... for another Python)
	$(MIN_VENV)/bin/python -m pytest $(PYTEST_ARGS)

test-plugins: $(PLUGINS_VENV)/.ready  ## install the toolkits of the extra "plugins" beside .venv and run tests/plugins
	$(PLUGINS_VENV)/bin/python -m pytest -ra tests/plugins

coverage: $(VENV)/.ready-dev  ## run the tests under coverage.py; fails below 95 % of lines and branches
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

audit: $(VENV)/.ready-dev  ## known vulnerabilities of what is installed in .venv, by pip-audit; needs a network
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --strict --skip-editable \
		--path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

lint: $(VENV)/.ready-dev  ## ruff (lint and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready-dev  ## time a fit against what one would use instead; writes docs/speed.md
	$(BIN)/python bench/speed.py

docs: $(VENV)/.ready-docs  ## build the site into docs/_build/html, warnings as errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html
	$(BIN)/python docs/check_width.py docs/_build/html

release-check: $(RELEASE_VENV)/bin/twine  ## build wheel and source archive into dist/; install the wheel into an empty environment and run docs/start.md there
	rm -rf dist $(RELEASE_VENV)/empty
	$(RELEASE_VENV)/bin/python -m build --outdir dist
	$(RELEASE_VENV)/bin/twine check --strict dist/*
	$(PYTHON) -m venv $(RELEASE_VENV)/empty
	$(RELEASE_VENV)/empty/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[plot]"
	cd $(RELEASE_VENV)/empty && PYTHONPATH=../../tests MPLBACKEND=agg bin/python -W error -c \
		"import documents; documents.run_page('docs/start.md')"

clean:  ## remove caches and build output; .venv and its likes stay (rm -r removes them)
	rm -rf build dist docs/_build docs/recipes *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

# The stamps make the second call quick; a change of the dependencies or the constraints installs again.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[recipes]'
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.ready-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[docs,recipes]'
	@touch $@

$(MIN_VENV)/.ready: pyproject.toml constraints-min.txt
	@$(PYTHON_MIN) -c '' || { echo "make test-min needs $(PYTHON_MIN); PYTHON_MIN=... names another Python" >&2; exit 1; }
	$(PYTHON_MIN) -m venv $(MIN_VENV)
	$(MIN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-min.txt \
		--editable '.[dev]'
	@touch $@

$(RELEASE_VENV)/bin/twine:
	$(PYTHON) -m venv $(RELEASE_VENV)
	$(RELEASE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check build twine

$(PLUGINS_VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PLUGINS_VENV)
	$(PLUGINS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[dev,torch,plugins]'
	@touch $@
