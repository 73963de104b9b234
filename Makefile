# make demo | demo-detect | experiments | experiments-smoke | test | lint | bench | lock | clean
# Each sets itself up: .venv, from requirements.lock, once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo demo-detect experiments experiments-smoke test lint bench lock clean

BIN := .venv/bin
UV := $(shell uv --version > /dev/null 2>&1 && command -v uv || echo .venv/tools/bin/uv)
ARGS ?=  # more arguments, as in: make test ARGS="-m slow", make lock ARGS=--upgrade

demo: .venv/.stamp
	@echo "demo: train, file the gallery, answer the queries"
	@$(BIN)/python train.py experiment=demo $(ARGS)

demo-detect: .venv/.stamp
	@echo "demo-detect: the same, with a detector that finds the garments first"
	@$(BIN)/python train.py experiment=demo_detect $(ARGS)

experiments: .venv/.stamp
	@echo "experiments: what is missing of experiments/ (hours; stop it at any time, the same command goes on)"
	@$(BIN)/python -m fashion_lsh reproduce $(ARGS)

experiments-smoke: .venv/.stamp
	@echo "experiments-smoke: one job of each of their commands, on few pictures, two at a time"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m smoke tests/test_experiments.py $(ARGS)

test: .venv/.stamp
	@echo "test: pytest, two processes"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 $(ARGS)

lint: .venv/.stamp
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check --quiet
	@echo "lint: mypy"
	@$(BIN)/mypy
	@echo "lint: who may import whom"
	@$(BIN)/lint-imports --no-logo

bench: .venv/.stamp
	@echo "bench: beside FAISS flat, numpy and bare torch"
	@$(BIN)/python -m benchmarks.bench $(ARGS)

lock: | $(UV)
	@echo "lock: requirements.lock from pyproject.toml"
	@$(UV) pip compile pyproject.toml --extra dev --extra lite --universal --python-version 3.11 --fork-strategy fewest \
		--no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock $(ARGS) > /dev/null

clean:
	@echo "clean: .venv and caches (runs stay)"
	@rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: requirements.lock pyproject.toml | $(UV)
	@echo "set-up: packages of requirements.lock into .venv (a few GB the first time)"
	@$(UV) venv --quiet --allow-existing .venv; \
	$(UV) pip sync --quiet --python $(BIN)/python requirements.lock; \
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	touch $@; \
	echo "set-up: done in $$SECONDS s"

.venv/tools/bin/uv:
	@echo "set-up: uv into .venv/tools"
	@PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_USER=0 \
		python3 -m pip install --quiet --target .venv/tools uv \
		|| { echo "set-up: neither uv nor pip works here: install uv, then try again" >&2; exit 1; }
