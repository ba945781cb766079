# Everything a developer or a first-time user types. All targets set up .venv by themselves.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
CORPUSCLE_DATA ?= ../shared/data
export CORPUSCLE_DATA

.PHONY: help demo test lint types imports docs evidence bench clean
help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Two stamps: the base install (small, no PyTorch) is all that the demo needs.
$(VENV)/base.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt -e '.[sct,models,text,distributed,tdigest,interpret,remote,sheets,louvain,bulk,dev]'
	@touch $@

demo: $(VENV)/base.stamp      ## the main job on bundled real data, with a report
	$(BIN)/corpuscle demo -o demo-report

test: $(VENV)/dev.stamp       ## the test suite
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/dev.stamp       ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/dev.stamp       ## the documentation site, into docs/_build/html
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

evidence: $(VENV)/dev.stamp   ## rebuild every number in docs/evidence from the data in CORPUSCLE_DATA
	$(BIN)/python -m benches.evidence_coregulation
	$(BIN)/python -m benches.evidence_clustering
	$(BIN)/python -m benches.evidence_sce2tm
	$(BIN)/python -m benches.evidence_annotation
	$(BIN)/python -m benches.evidence_cell_text
	$(BIN)/python -m benches.evidence_missingness
	$(BIN)/python -m benches.evidence_archs4

bench: $(VENV)/dev.stamp      ## speed and memory against named peers, into docs/evidence
	$(BIN)/python -m benches.performance
	$(BIN)/python -m benches.corpus
	$(BIN)/python -m benches.ecr
	$(BIN)/python -m benches.annotate --write
	$(BIN)/python -m benches.pairs --write
	$(BIN)/python -m benches.cell_text --write
	$(BIN)/python -m benches.reduce --write
	$(BIN)/python -m benches.archs4_speed --write

clean:           ## everything that was built
	rm -rf $(VENV) demo-report docs/_build build dist
