# Everything a newcomer needs: `make demo`, `make test`. Both install into .venv first.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
TRACKEVAL := trackeval==1.3.0

.PHONY: demo test check lint types fast golden clean

demo: .venv/demo
	$(BIN)/vedette demo

test: .venv/test
	$(BIN)/python -m pytest

check: .venv/test lint types
	$(BIN)/python -m pytest

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/test
	$(BIN)/mypy -p engine -p operators -p deployments -p training -p tests
	$(BIN)/mypy replay_data

# What takes seconds: no server, no cluster, no footage from outside.
fast: .venv/test
	$(BIN)/python -m pytest -m "not slow and not rtsp and not kafka and not ray and not data"

golden: .venv/test
	$(BIN)/vedette replay replay_data/site.yaml --golden replay_data/golden/site.jsonl --update-golden

clean:
	rm -rf .venv demo_output

.venv/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

.venv/demo: .venv/pip pyproject.toml
	@echo "installing into .venv (about a minute) ..."
	$(BIN)/python -m pip install --quiet -e '.[testbed]'
	@touch $@

# TrackEval asks for the desktop build of OpenCV, which overwrites the headless one: it comes without its wishes.
.venv/test: .venv/pip pyproject.toml
	@echo "installing into .venv (about two minutes) ..."
	$(BIN)/python -m pip install --quiet -e '.[testbed,reference,evaluate,dev]'
	$(BIN)/python -m pip install --quiet --no-deps '$(TRACKEVAL)'
	@touch $@
