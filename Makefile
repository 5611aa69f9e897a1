# `make help` lists the targets. Everything runs in .venv, which is made from nothing when it is missing or out of date.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
# Further arguments: `make test ARGS="-k adding"`, `make quickstart ARGS=--help`, `make lock ARGS=--upgrade`.
ARGS ?=

BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
SPARK := $(VENV)/.spark
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help environment quickstart test test-slow sanitize lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

environment: $(READY) ## make or update .venv (about 6 GB)

quickstart: $(READY) ## environment, then small TCN and baseline runs and their table
	$(BIN)/python -m benchmarks quick $(ARGS)

# Each test process computes with one thread: two processes with two threads each are slower on two cores.
# The order is a new one each time; the seed that is printed repeats it: ARGS=--random-order-seed=123.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --random-order --durations 10
test test-slow: export OMP_NUM_THREADS ?= 1
test: lint ## environment, then lint, types and the tests
	$(PYTEST) $(ARGS)

test-slow: $(READY) $(SPARK) ## environment and Spark, then the tests that take minutes
	$(PYTEST) -m slow $(ARGS)

sanitize: $(READY) ## the kernels under address and undefined-behavior sanitizers: their tests, and a fuzz (minutes)
	$(BIN)/python tests/native/sanitize.py

lint: $(READY) ## ruff check, ruff format --check, mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(READY) ## apply ruff's fixes and its formatting
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

lock: ## write the locks anew; keeps the present pins unless ARGS=--upgrade
	@tool=$$(mktemp -d) && trap 'rm -rf "$$tool"' EXIT && \
	$(PYTHON) -m venv "$$tool" && \
	"$$tool/bin/python" -m pip --disable-pip-version-check install --quiet uv && \
	"$$tool/bin/uv" pip compile --no-config --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" --extra dev --output-file requirements.lock $(ARGS) pyproject.toml && \
	echo "pyspark>=4.0" | "$$tool/bin/uv" pip compile --no-config --quiet --universal --generate-hashes \
	    --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	    --output-file requirements-spark.lock $(ARGS) -

clean: ## remove .venv and what the tools cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist tcn.egg-info

# The stamps are written last, so an environment that failed midway is made again from nothing.
# A new lock starts over (a package that left the lock must not linger); a new pyproject.toml or kernel only reinstalls tcn.
$(LOCKED): requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml setup.py $(wildcard tcn/native/source/*)
	@rm -f $@
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

# Half a gigabyte for a handful of tests, so only where those are run.
$(SPARK): $(LOCKED) requirements-spark.lock
	$(PIP) install --quiet --no-deps --require-hashes --requirement requirements-spark.lock
	@touch $@
