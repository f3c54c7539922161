# `make demo` and `make test` start from nothing but Python (3.11 or newer) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STUDY  ?= experiments/digits/study.yaml
READY  := $(VENV)/.ready
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo test lint test-slow bench ui clean

demo: $(READY)
	$(BIN)/paretune search $(STUDY)
	$(BIN)/paretune pick $(STUDY) --max-latency-ms 0.1 --out experiments/digits/results/picked
	$(BIN)/python experiments/digits/check_frontier.py $(STUDY)

# Two processes, one file of tests at a time each; then the few tests that need a quiet machine.
test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not quiet"
	$(BIN)/python -m pytest -q -m quiet

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python experiments/benchmarks/picked_latency.py experiments/digits/results/picked

ui: $(READY)
	$(BIN)/paretune ui $(STUDY)

# Build tools are held to the same versions (PIP_CONSTRAINT reaches pip's build environments); torch
# goes first, by its exact version, so that nothing else chooses one.
$(READY): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,digits]'
	touch $(READY)

clean:
	rm -rf $(VENV) experiments/*/results build *.egg-info .mypy_cache .pytest_cache .ruff_cache
