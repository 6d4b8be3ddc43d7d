# Set-up, demo and tests; every target makes the environment it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENV := $(VENV)/.complete
DEMO := demo-output
DEMO_MODEL := --model drawn-faces --steps 10 --appearance-guidance-scale 1 --motion-guidance-scale 1
# The full-size set is 8 GB in float32, read and written once each, beside an environment of 2 GB for the wheel.
FULL_DISK_GB := 20
export PYTHONUNBUFFERED := 1

.PHONY: env demo strip test test-full lint clean

env: $(ENV)

# torch first and by version: what else is installed then takes it as it is.
$(ENV): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(ENV)
	$(BIN)/python examples/make_drawn_demo.py $(DEMO)
	$(BIN)/hunyuan-portrait animate $(DEMO)/portrait.png $(DEMO)/driving.mp4 \
		--output $(DEMO)/animated.mp4 --seed 0 $(DEMO_MODEL)
	$(BIN)/python examples/compare_videos.py $(DEMO) $(DEMO)/comparison.mp4
	@echo "The video is at $(CURDIR)/$(DEMO)/comparison.mp4"

# The README's picture of it.
strip: demo
	mkdir -p docs
	$(BIN)/python examples/compare_videos.py $(DEMO) docs/drawn-faces.png

# The page in a process of its own: driven from one that has run hundreds of other tests, the browser's driver took
# minutes for what takes a second.
test: $(ENV)
	$(BIN)/python -m pytest -m "not full" --ignore tests/demo
	$(BIN)/python -m pytest -m "not full" tests/demo

test-full: $(ENV)
	$(BIN)/python .ci/check_disk.py $(FULL_DISK_GB)
	$(BIN)/python -m pytest -m full

lint: $(ENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(DEMO) build dist .pytest_cache .ruff_cache .mypy_cache
