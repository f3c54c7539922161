# `make demo` and `make test` start from nothing but Python (3.11 or newer) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MAGIKA := experiments/magika/results
DIGITS := experiments/digits
STUDY  ?= $(MAGIKA)/study/study.yaml
READY  := $(VENV)/.ready
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo demo-full digits test lint test-slow bench docs ui clean

# The README's example: Magika's model on the files of this installation; then the fastest file that
# loses at most half a point, and what it gained. Five minutes on two cores.
demo: $(READY)
	$(BIN)/python experiments/magika/data.py
	$(BIN)/paretune search --onnx $(MAGIKA)/model.onnx --data $(MAGIKA)/samples.npz --labels label \
		--batch-size 1 --hours 0.075 --out $(MAGIKA)/study
	$(BIN)/paretune pick $(STUDY) --max-accuracy-drop 0.005 --out $(MAGIKA)/picked
	@echo
	@$(BIN)/python experiments/before_and_after.py $(MAGIKA)/picked

# Everything: a PyTorch model with students, pruning and training, then a check of the frontier by
# MLflow's data alone; `make bench` follows it.
demo-full: $(READY)
	$(BIN)/paretune search $(DIGITS)/study.yaml
	$(BIN)/paretune pick $(DIGITS)/study.yaml --max-latency-ms 0.1 --out $(DIGITS)/results/picked
	$(BIN)/python experiments/check_frontier.py $(DIGITS)/study.yaml
	@echo
	@$(BIN)/python experiments/before_and_after.py $(DIGITS)/results/picked

digits: demo-full

# Two processes, one file of tests at a time each; then the few tests that need a quiet machine. If a
# process dies, the run ends there: with a new one pytest-xdist waits forever for the dead one's file.
test: $(READY)
	studies=$$(mktemp -d) && trap 'rm -rf "$$studies"' EXIT && export PARETUNE_TEST_STUDIES=$$studies && \
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 \
		-m "not slow and not quiet" && \
	$(BIN)/python -m pytest -q -m quiet

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python experiments/benchmarks/picked_latency.py $(DIGITS)/results/picked

# The documentation as a site in build/site, to be opened as files: no server, no network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

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
