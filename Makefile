# `make run` and `make test` do all their own set-up; a second call reuses the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONHASHSEED ?= 0

.PHONY: run compare test check quick docs reference screenshots dist clean

run: $(STAMP)
	$(BIN)/batfs run -p platforms/taurus_storage.xml -w workloads/io.json --policy random -e out/random

compare: $(STAMP)
	$(BIN)/batfs compare -p platforms/taurus_storage.xml -w workloads/io.json --queue easy \
	  --policy random --policy round_robin --policy first_fit --policy worst_fit --policy least_loaded \
	  --seeds 30 --resample blocks -o out/compare --title "Five allocation policies"

test: check
	$(BIN)/python -m pytest -n 2

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

$(STAMP): pyproject.toml setup.py $(wildcard batfs/_core/*.py batfs/_core/*.h)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,report,dask,darshan,live]"
	@touch $@

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build

reference: $(STAMP)
	$(BIN)/python docs/generate.py

screenshots: $(STAMP)
	$(BIN)/python docs/screenshots.py

# the files of a release, from a commit, tried in bare environments: see docs/reference/releases.md
COMMIT ?= HEAD
dist:
	@test -x $(VENV)-dist/bin/python || $(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install --quiet --disable-pip-version-check -r release/requirements.txt
	$(VENV)-dist/bin/python release/make.py $(COMMIT) $(if $(ARM_PYTHON),--arm-python "$(ARM_PYTHON)")

clean:
	rm -rf $(VENV) $(VENV)-dist dist build out *.egg-info
