# One command for the main job (`make demo`), one for the tests (`make test`). Both set everything up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.PHONY: setup demo test test-standards test-online simulate fuzz check bench bench-online lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@bash .ci/setup "$(PYTHON)" "$(VENV)"
	@touch $@

demo: setup
	@$(BIN)/tarifa demo

test: setup
	@$(BIN)/pytest -n 2 -m "not standards and not slow and not online"

# The official texts and samples; they are not ours to ship.
test-standards: setup
	@test -d "$${TARIFA_STANDARDS:-}" || { echo "set TARIFA_STANDARDS to the folder with the official texts and samples"; exit 2; }
	@$(BIN)/pytest -m standards

# The node with time and disk in the hands of a seed: SEED=7 replays one, SEEDS=1000:2000 goes through many.
simulate: setup
	@SEED=$(SEED) SEEDS=$(SEEDS) JOBS=$(JOBS) LIMIT_S=$(LIMIT_S) $(BIN)/python -m tests.simulate

# Damaged messages for a node that serves, half Diameter, half JSON: MESSAGES=10000000, SEED=7.
fuzz: setup
	@MESSAGES=$(MESSAGES) SEED=$(SEED) LIMIT_S=$(LIMIT_S) $(BIN)/python -m tests.fuzz

# Against programs that other people wrote, from Debian.
test-online: setup
	@bash .ci/online
	@$(BIN)/pytest -m online

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

bench: setup
	@$(BIN)/python -m benchmarks

bench-online: setup
	@$(BIN)/python -m benchmarks.online
	@$(BIN)/python -m benchmarks.nchf

lock:
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) var build dist *.egg-info
