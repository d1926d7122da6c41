# `make reproduce` and `make test` do their own set-up; nothing is needed but Python 3.11 or later.
PYTHON ?= python3
SCALE ?= demo
EXTRAS ?= study,nvgesture,versions,dev
VENV := .venv
INSTALLED := $(VENV)/installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help reproduce verify redraw findings rebuild docs provenance bench test test-faults test-slurm test-mutations check site format clean setup

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

reproduce: $(INSTALLED)  ## every table and figure, the report, and Table 1 in the terminal (SCALE=demo)
	@# The accuracy of each run, which goes to stdout, is in the tables.
	@trap 'echo "Stopped. The same command goes on from here."; exit 130' INT; \
	  snakemake --cores all --config scale=$(SCALE) --logger equimodal > /dev/null
	@equimodal findings > /dev/null
	@equimodal show --scale $(SCALE)

verify: $(INSTALLED)  ## check data, networks, logits, tables and figures; every file is hashed (SCALE=demo)
	@equimodal verify --scale $(SCALE) --deep

redraw: $(INSTALLED)  ## every table and figure, and the report, from existing logit banks; trains nothing (SCALE=demo)
	@set -e; for verb in collect linear linear-mnist table claims draw summarize; do equimodal $$verb --scale $(SCALE); done
	@equimodal report --scale $(SCALE)

findings: $(INSTALLED)  ## which claims of the paper hold, by the runs in git: results/findings.html, in seconds
	@equimodal findings

rebuild: $(INSTALLED)  ## tables, claims, figures and the page of findings, from the collected tables in git; SCALE=... for one scale
	@set -e; for scale in $(if $(filter file,$(origin SCALE)),$$(git ls-files 'results/*/tables/runs.csv' | cut -d/ -f2),$(SCALE)); do \
	  for verb in table claims 'draw --of-runs' summarize; do equimodal $$verb --scale $$scale; done; \
	  echo "Made anew from the collected tables: results/$$scale/tables and results/$$scale/figures."; \
	done
	@equimodal findings

docs: $(INSTALLED)  ## README.md and the pages of docs that hold numbers, from docs/templates and the tables in git
	@equimodal pages

provenance: $(INSTALLED)  ## which rule made which file, from what, with which settings: results/demo/provenance.html (SCALE=demo)
	@snakemake --config scale=$(SCALE) --report results/$(SCALE)/provenance.html

bench: $(INSTALLED)  ## how long steps, data, products and the workflow take, beside plain code: results/benchmarks, in 8 minutes
	@python -m benchmarks

test: $(INSTALLED)  ## all tests, on all cores; `pytest` runs chosen tests
	@pytest --numprocesses auto --dist loadscope --no-loadscope-reorder

test-faults: $(INSTALLED)  ## 500 seeded faults and 200 alterations in a tiny study: nothing lost, nothing silently wrong, no traceback
	@python -m tests.faults

test-slurm: $(INSTALLED)  ## the tiny study on a Slurm that is started here and disturbed, compared with a local run; as root
	@python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[cluster,kubernetes]' --no-build-isolation
	@pytest -q tests/test_kubernetes.py tests/workflow/storage.py  # the second needs rsync
	@python -m tests.slurm

test-mutations: $(INSTALLED)  ## 60 seeded faults in the code of the method: the tests have to find at least 57
	@python -m tests.mutations

check: $(INSTALLED)  ## format, lint, types, which part imports which, and whether pages are up to date
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile workflow
	mypy
	if command -v hadolint > /dev/null; then hadolint Containerfile; fi  # it has no wheel for every machine
	if command -v actionlint > /dev/null; then actionlint; fi  # nor has this
	lint-imports
	equimodal pages --check

site: $(INSTALLED)  ## the documentation as a site, site/html; a broken link is an error
	@rm -rf site && mkdir -p site/pages
	@git ls-files '*.md' 'results/*.png' 'results/*.csv' | tar -cf - -T - | tar -xf - -C site/pages
	@NO_MKDOCS_2_WARNING=1 mkdocs build

format: $(INSTALLED)  ## put the code into its format
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

.PHONY: bench-gpu
bench-gpu: $(INSTALLED)  ## steps and models an hour on one GPU, beside plain code: results/benchmarks, in 8 minutes
	@python -m benchmarks.gpu

clean:  ## remove the environment and what the demo made; downloads and results of other scales stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis data/prepared/demo results/demo

setup: $(INSTALLED)  ## only the environment, in .venv; with HASHES=1 every package but torch is checked against its hash

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "equimodal needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python could not make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into $(VENV), once: about two minutes."
	@# setuptools: a package of dvc's has no wheel, and a new environment's own is too old to make one, or not there.
	@pip install -q --disable-pip-version-check -c constraints.txt hatchling editables setuptools
	@# HASHES=1: what is fetched has to have the published hashes. Torch's build depends on the machine, so it has none.
	@$(if $(HASHES),pip install -q --disable-pip-version-check --no-deps --require-hashes --no-build-isolation -r constraints.hashes.txt)
	@pip install -q --disable-pip-version-check -c constraints.txt --no-compile --no-build-isolation -e '.[$(EXTRAS)]'
	@python -m compileall -qq -j 0 $(VENV)/lib || true  # what pip would do, on all cores
	@touch $@
