# `make reproduce` and `make test` do their own set-up; nothing is needed but Python 3.11 or later.
PYTHON ?= python3
SCALE ?= demo
PIPELINE = $(if $(filter demo,$(SCALE)),dvc.yaml,dvc/$(SCALE)/dvc.yaml)
VENV := .venv
INSTALLED := $(VENV)/installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help reproduce test check format clean setup

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

reproduce: $(INSTALLED)  ## every table and figure, the report, and Table 1 in the terminal (SCALE=demo)
	@snakemake --cores all --config scale=$(SCALE)
	@equimodal show --scale $(SCALE)

restore: $(INSTALLED)  ## after `dvc pull` or `dvc checkout`: tell Snakemake that what is there is made (SCALE=demo)
	@dvc status --quiet $(PIPELINE) || { \
	  echo "What is there is not what dvc.lock says; dvc status $(PIPELINE) lists it. Set your changes aside"; \
	  echo "(git stash), dvc pull $(PIPELINE), make restore, and only then change settings."; exit 1; }
	@snakemake --cores all --config scale=$(SCALE) --quiet all --forceall --touch

redraw: $(INSTALLED)  ## every table and figure, and the report, from pulled logit banks; trains nothing (SCALE=demo)
	@snakemake --cores all --config scale=$(SCALE) --forceall \
	  --allowed-rules collect tables linear linear_mnist draw claims summarize report products -- \
	  products results/$(SCALE)/report.html

test: $(INSTALLED)  ## all tests
	@pytest

check: $(INSTALLED)  ## format, lint and types
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile workflow
	mypy

format: $(INSTALLED)  ## put the code into its format
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

clean:  ## remove the environment and what the demo made; downloads and paper-scale results stay
	rm -rf $(VENV) .snakemake .mypy_cache .ruff_cache .pytest_cache .hypothesis data/prepared/demo
	find results/demo -mindepth 1 -maxdepth 1 ! -name noisy_mnist ! -name tables ! -name figures ! -name curves ! -name metrics.json -exec rm -rf {} +

setup: $(INSTALLED)  ## only the environment, in .venv

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "equimodal needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python could not make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into $(VENV), once: about two minutes."
	@pip install -q --disable-pip-version-check -c constraints.txt hatchling editables
	@pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[workflow,versions,dev]'
	@touch $@
