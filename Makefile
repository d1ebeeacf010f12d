# make run: the terminal UI; make test: the tests. Everything else is below.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-all gpu-check selftest lint format dashboards rules metrics keys install system-packages clean

run: .venv/.run
	@exec $(BIN)/wan-tui

selftest: .venv/.run
	@exec $(BIN)/wan-tui selftest

test: .venv/.test system-packages
	$(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu"

test-all: .venv/.test system-packages
	$(BIN)/pytest -n auto --dist loadfile -m "not gpu"

# What a real GPU does, into a report that the next run goes on from; without one everything is skipped.
gpu-check: .venv/.test
	$(BIN)/pytest -m gpu tests/worker/test_cuda_options.py
	$(BIN)/python -m tests.gpu.check --report tests/gpu/report.jsonl --page tests/gpu/REPORT.md

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboards: .venv/.test
	cd grafana && ../$(BIN)/python -m wan_dashboards

keys: .venv/.test
	$(BIN)/python -c 'from wan_tui.ui.app import WanTuiApp; from wan_tui.ui.keys import page; print(page(WanTuiApp), end="")' > wan_tui/ui/KEYS.md

rules: .venv/.test
	$(BIN)/wan-tui rules --markdown > wan_tui/core/validation/rulebook/README.md

# Golden scrapes, the page of all metrics, and the manifests with the alert rules: after a change of families or rules.
metrics: .venv/.test
	$(BIN)/python -m tests.exporter.goldens
	$(BIN)/wan-exporter --print-metrics > exporter/METRICS.md
	$(BIN)/python -m tests.exporter.manifests

install: .venv/.run

# Installed once, and again when the dependencies change.
.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wan-tui needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Use: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: pyproject.toml constraints.txt | .venv/.python
	@echo "installing wan-tui with torch and diffusers into .venv (once; this takes minutes)"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[inference]'
	@touch $@

.venv/.test: .venv/.run
	@echo "installing what the tests need into .venv"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[inference,test]'
	@touch $@

system-packages:
	@tests/system-packages.sh

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
