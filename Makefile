# `make help` lists the targets. Python 3.11, git and make are all that a machine must have.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Every process but the first finds its modules compiled, whatever the caller's environment says: half of a sink's start.
export PYTHONDONTWRITEBYTECODE :=
# Tests run in so many processes, each with servers of its own; a file's tests stay together, and files by their cluster.
PROCESSES ?= 2
FUZZED := tests/unit/test_decoder_fuzzed.py tests/unit/test_source_files.py tests/unit/test_inputs_fuzzed.py
SPREAD := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo demo-core demo-cdc test unit laws integration faults check fuzz lint types bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: .venv/.ready .venv-flink/.ready ## the main job, end to end, on this machine
	@$(BIN)/olist demo $(ARGS)

demo-core: .venv/.ready ## the same without the stream apps: less to install, less memory
	@$(BIN)/olist demo --core $(ARGS)

demo-cdc: .venv/.ready .venv-flink/.ready ## the same by way of the shop's database and Debezium
	@$(BIN)/olist demo --via postgres $(ARGS)

test: .venv/.ready .venv-flink/.ready ## every test: unit, laws, integration on the real servers, faults
	@$(BIN)/pytest $(SPREAD) $(ARGS)

unit: .venv/.ready ## the tests that need no server (seconds)
	@$(BIN)/pytest $(SPREAD) tests/unit tests/golden $(ARGS)

laws: .venv/.ready ## the laws that every sink obeys, on the real servers
	@$(BIN)/pytest tests/laws $(ARGS)

integration: .venv/.ready .venv-flink/.ready ## the parts together, on the real servers
	@$(BIN)/pytest tests/integration $(ARGS)

faults: .venv/.ready .venv-flink/.ready ## kill -9 and worse, on the real servers
	@$(BIN)/pytest tests/faults $(ARGS)

check: lint types unit ## what every commit passes

fuzz: .venv/.ready ## ten times the cases of what reads bytes and texts of others (minutes): over 100,000
	@$(BIN)/pytest $(SPREAD) --hypothesis-profile=long $(FUZZED) $(ARGS)

lint: .venv/.ready ## ruff: lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.ready ## mypy --strict
	@$(BIN)/mypy

bench: .venv/.ready ## changes per second and core, per sink and stage
	@$(BIN)/python -m benchmarks $(ARGS)

lock: .venv/.ready ## renew the locks of the wheels and of the jars
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --group flink -o requirements-flink.lock
	@$(BIN)/olist stack lock

clean: ## remove the environments and this folder's servers' data (the cache of downloads stays)
	@[ ! -x $(BIN)/olist ] || $(BIN)/olist down
	rm -rf .venv .venv-flink .olist

# uv comes first, by its own small lock, since it installs the rest ten times faster than pip and shares one cache per user.
.venv/.ready: requirements-bootstrap.lock requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed; this is %d.%d. Say PYTHON=/path/to/python3.11." % sys.version_info[:2])'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing the environment from requirements.lock ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install -q --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# PyFlink's own environment: Beam below it wants a pyarrow that pyiceberg cannot use. It is all of Flink, 830 MB.
.venv-flink/.ready: requirements-flink.lock | .venv/.ready
	@[ -x .venv-flink/bin/python ] || $(PYTHON) -m venv .venv-flink
	@echo "Installing PyFlink from requirements-flink.lock ..."
	@$(BIN)/uv pip install -q --python .venv-flink/bin/python --require-hashes -r requirements-flink.lock
	@touch $@
