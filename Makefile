# make demo | demo-detect | test | test-fast | test-gpu | lint | docs | notebooks | experiments | experiments-smoke | bench | wheel-check | lock | clean
# The first target that needs .venv creates it: demo and experiments install requirements.lock, test and lint also
# requirements-dev.lock, docs also requirements-docs.lock.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo demo-detect test test-fast test-gpu lint docs notebooks experiments experiments-smoke bench wheel-check lock clean

BIN := .venv/bin
UV := $(shell uv --version > /dev/null 2>&1 && command -v uv || echo .venv/tools/bin/uv)
ARGS ?=  # extra arguments, for example: make test ARGS="-m slow", make lock ARGS=--upgrade

demo: .venv/.stamp
	@echo "demo: train one classifier, then the codes of two methods on it: the thesis's, and codes of items"
	@$(BIN)/fashion-lsh train -m experiment=demo,demo_items data.samples_per_epoch=7200 $(ARGS)

demo-detect: .venv/.stamp
	@echo "demo-detect: train a detector, then run the demo with detected garments"
	@$(BIN)/fashion-lsh train experiment=demo_detect $(ARGS)

experiments: .venv/.stamp
	@echo "experiments: run the unfinished experiments (takes hours; interrupt at any time, run again to resume)"
	@$(BIN)/fashion-lsh reproduce $(ARGS)

experiments-smoke: .venv/dev.stamp
	@echo "experiments-smoke: run one job of each experiment command, and the commands of README and docs, on a few images"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m smoke $(ARGS)

test: .venv/dev.stamp
	@echo "test: run pytest in two processes"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 $(ARGS)

test-fast: .venv/dev.stamp
	@echo "test-fast: run the tests without training"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not train and not slow and not smoke and not notebook and not site and not gpu" $(ARGS)

test-gpu: .venv/dev.stamp
	@echo "test-gpu: run the tests that need a CUDA device"
	@$(BIN)/python -m pytest -q -s -m gpu tests/training/test_gpu.py $(ARGS)

notebooks: .venv/dev.stamp
	@echo "notebooks: run all notebooks"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m notebook $(ARGS)

docs: .venv/docs.stamp .venv/dev.stamp
	@echo "docs: build docs/_build/html; warnings are errors"
	@rm -rf docs/_build
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d docs/_build/doctrees -b html docs docs/_build/html
	@$(BIN)/python -m pytest -q -m site tests/test_site.py $(ARGS)

lint: .venv/dev.stamp
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check --quiet
	@echo "lint: mypy"
	@$(BIN)/mypy
	@echo "lint: import-linter"
	@$(BIN)/lint-imports --no-logo

bench: .venv/dev.stamp
	@echo "bench: compare with flat FAISS indexes, numpy and plain torch"
	@$(BIN)/python -m benchmarks.bench $(ARGS)

wheel-check: | $(UV)
	@echo "wheel-check: build the wheel, install it with its dependencies, and use it in an empty folder"
	@rm -rf .venv/wheel; mkdir -p .venv/wheel/empty; \
	$(UV) build --quiet --wheel --out-dir .venv/wheel .; rm -rf build; \
	$(UV) venv --quiet .venv/wheel/venv; \
	$(UV) pip install --quiet --python .venv/wheel/venv/bin/python "$$(ls .venv/wheel/*.whl)[lite]"; \
	export PATH=$(CURDIR)/.venv/wheel/venv/bin:$$PATH; cd .venv/wheel/empty; mkdir -p photos/coat photos/dress new; \
	python -c "$$NOISE_IMAGES"; \
	fashion-lsh train experiment=own_images data.root=photos trainer=smoke classifier.epochs=1 hash.epochs=1 logger=csv; \
	fashion-lsh search runs/latest new/0.png --k 3; \
	fashion-lsh gallery add runs/latest new; \
	fashion-lsh evaluate run=runs/latest search=hamming search.nprobe=all; \
	echo "wheel-check: done in $$SECONDS s"

define NOISE_IMAGES
import numpy, PIL.Image
rng = numpy.random.default_rng(0)
for number in range(36):
    image = PIL.Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=numpy.uint8))
    image.save(f"{['new', 'photos/coat', 'photos/dress'][number % 3]}/{number}.png")
endef
export NOISE_IMAGES

COMPILE := pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --no-header --no-annotate \
	--no-emit-index-url --quiet

lock: | $(UV)
	@echo "lock: write requirements.lock, requirements-dev.lock and requirements-docs.lock from pyproject.toml"
	@$(UV) $(COMPILE) --extra lite --output-file requirements.lock $(ARGS) > /dev/null
	@$(UV) $(COMPILE) --extra lite --extra dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS) > /dev/null
	@$(UV) $(COMPILE) --extra docs --constraint requirements-dev.lock --output-file requirements-docs.lock $(ARGS) > /dev/null

clean:
	@echo "clean: remove .venv and caches (runs are kept)"
	@rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: requirements.lock pyproject.toml | $(UV)
	@echo "setup: install requirements.lock into .venv (first time: downloads a few GB, compiles bytecode)"
	@$(UV) venv --quiet --allow-existing .venv; \
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock; \
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	$(BIN)/python -m compileall -q fashion_lsh; \
	touch $@; \
	echo "setup: done in $$SECONDS s"

.venv/dev.stamp .venv/docs.stamp: .venv/%.stamp: requirements-%.lock .venv/.stamp | $(UV)
	@echo "setup: install $< into .venv"
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --requirement $<; touch $@

.venv/tools/bin/uv:
	@echo "setup: install uv into .venv/tools"
	@PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_USER=0 \
		python3 -m pip install --quiet --target .venv/tools uv \
		|| { echo "setup: uv and pip are missing; install uv and run make again" >&2; exit 1; }
