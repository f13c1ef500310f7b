.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
FUZZ_S ?= 150
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test test-faults fuzz check bench gallery format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv with everything pinned by constraints.txt

$(READY): pyproject.toml instrumentation/pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about 2 GB and a few minutes on a first run"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --progress-bar on -c constraints.txt \
		-e '.[embedded,export]' -e instrumentation --group dev
	@touch $@

demo: $(READY)  ## watch real OpenTelemetry traffic being counted, then read its reports
	$(BIN)/headgate demo

test: $(READY)  ## run every test
	$(BIN)/python -m pytest -n logical

test-faults: $(READY)  ## kill, starve and cut off the collector, fifty times over
	HEADGATE_FAULTS=long $(BIN)/python -m pytest tests/faults

fuzz: $(READY)  ## look for bytes that break what reads them, ten minutes long
	for target in protobuf json gzip zstd; do \
		$(BIN)/python tests/fuzz/fuzz_receive.py $$target -max_total_time=$(FUZZ_S) || exit 1; done

check: $(READY)  ## lint, formatting, types, import rules, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure, as ratios within one run
	$(BIN)/headgate bench ingest
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/overload.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/reducers_sequences.py
	$(BIN)/python benchmarks/instrumentation.py
	$(BIN)/python benchmarks/reducers.py
	$(BIN)/python benchmarks/export.py --rows 1000000
	$(BIN)/python benchmarks/reports_under_load.py --days 2 --per-day 500000 --seconds 15

gallery: $(READY)  ## make the pictures of docs/gallery anew
	$(BIN)/python docs/gallery/make.py

format: $(READY)  ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
