# Everything a newcomer needs: `make demo`, `make test`. Both install into .venv first.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
TRACKEVAL := trackeval==1.3.0

.PHONY: demo test check lint types fast golden street-nano clean

demo: .venv/demo
	$(BIN)/vedette demo

# Two processes: tests that start servers wait most of their time, and the others need it.
test: .venv/test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: lint types test

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

# The default model, made anew: FOOTAGE is a folder with the recordings that models/street-nano.yaml names, TEACHER a
# bundle or ONNX file that labels them, INIT the ONNX file of YOLOX-nano to start from.
STREET := street_data
CLIPS := $(wildcard $(addprefix $(FOOTAGE)/,one-by-one-person-detection.mp4 street_bend_640x352.mp4 \
	retail_1080p_hevc.mp4))

street-nano: .venv/test
	@test $(words $(CLIPS)) = 3 -a -f '$(INIT)' -a -e '$(TEACHER)' || { echo \
	  'make street-nano FOOTAGE=FOLDER TEACHER=MODEL INIT=YOLOX_NANO.onnx: see docs/models.md'; exit 2; }
	mkdir -p $(STREET)
	cp '$(INIT)' $(STREET)/yolox_nano.onnx
	test -f $(STREET)/rendered/labels.json || \
	  $(BIN)/python replay_data/render.py --dataset $(STREET)/rendered --seed 1 --frames 2000
	for clip in $(CLIPS); do name=$$(basename $${clip%.*}); test -d $(STREET)/$$name || $(BIN)/vedette label $$clip \
	  --teacher '$(TEACHER)' --classes person,bicycle,car,motorcycle,bus,truck --every-s 0.25 \
	  --out $(STREET)/$$name || exit; done
	$(BIN)/vedette train models/street-nano.yaml --out models/street-nano --force

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
# PyTorch first and alone: beside the others pip may settle for another build of it.
# PyCUDA has no wheels: it is compiled, which takes a core or two for a minute, while pip downloads the others.
.venv/test: .venv/pip pyproject.toml constraints.txt tests/cuda_driver/build_pycuda.sh
	@echo "installing into .venv (about three minutes) ..."
	tests/cuda_driver/build_pycuda.sh $(BIN)/python .venv/pycuda & pycuda=$$!; set -e; \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch; \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[testbed,reference,evaluate,training,drift,tensorrt-rtx,openvino,dev]'; \
	$(BIN)/python -m pip install --quiet --no-deps '$(TRACKEVAL)'; \
	wait $$pycuda
	test ! -d .venv/pycuda || $(BIN)/python -m pip install --quiet .venv/pycuda/*.whl
	@touch $@
