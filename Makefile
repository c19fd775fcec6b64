PYTHON ?= python3
# Another Python has an environment of its own: make test PYTHON=python3.13
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
RUN := python
READY := $(VENV)/.ready
CLUSTERS := $(VENV)/.clusters
RELEASE := $(VENV)/.release
DOCS := $(VENV)/.docs
AZURITE := build/azurite/node_modules/azurite

help:  ## this list
	@grep -E '^[a-z_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 22

run: $(READY)  ## the example: killed part-way, resumed, run again
	$(BIN)/python examples/retrieval/kill_and_resume.py

examples: $(CLUSTERS)  ## the other examples, killed and run again
	$(BIN)/python examples/kill_and_resume.py

test: $(READY)  ## all but the slow tests, under 5 minutes
	$(BIN)/$(RUN) -m pytest -m "not slow" -n auto --dist loadfile

test_slow: $(CLUSTERS)  ## the slow tests, on real clusters among others
	$(BIN)/$(RUN) -m pytest -m slow

coverage: $(CLUSTERS)  ## both, and which lines and branches of the package they leave out
	rm -rf build/coverage
	mkdir -p build/coverage
	$(MAKE) test test_slow RUN="coverage run"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

azurite: $(AZURITE)  ## an Azure-compatible server for the tests, which leave out what needs it; needs npm

torture: $(READY)  ## hundreds of kills, crashes and damaged files, beside peers, with figures
	$(BIN)/python -m pip install --quiet -r benchmarks/requirements.txt
	$(BIN)/python tools/torture.py

lint: $(READY)  ## format, rules, types, direction of imports, length of modules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	PYTHONPATH=src $(BIN)/pyright --verifytypes skipstone --ignoreexternal
	$(BIN)/lint-imports
	@long=$$(find src -name '*.py' | xargs wc -l | awk '$$2 != "total" && $$1 > 400'); \
	if [ -n "$$long" ]; then echo "modules over 400 lines:"; echo "$$long"; exit 1; fi

docs: $(DOCS)  ## the documentation as pages for a browser, into build/docs/
	$(BIN)/python tools/build_pages.py

bench: $(READY)  ## side by side with peers, into docs/benchmarks/: about half an hour
	$(BIN)/python -m pip install --quiet -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/run.py

dist: $(RELEASE)  ## the wheel and the source archive, checked, installed and used in clean environments
	$(BIN)/python tools/distribution.py
	$(BIN)/python tools/environments.py

dist_clusters: dist  ## the same with Ray, Dask and submitit: large downloads
	$(BIN)/python tools/environments.py --extras ray dask slurm

clear_checkpoints: $(READY)  ## delete the checkpoint data in artifacts/, and nothing else
	$(BIN)/python -m skipstone clear_checkpoints artifacts

clean:  ## delete what this Makefile made, but no checkpoints
	rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .cache

$(AZURITE):
	npm install --prefix build/azurite --no-save --no-package-lock --no-audit --no-fund --loglevel=error azurite@3.37.0

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[cli,web,zstd,objects,postgres,redis,examples]" --group test --group lint
	@touch $@

$(CLUSTERS): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group clusters
	@touch $@

$(RELEASE): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group release
	@touch $@

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

.PHONY: help run examples test test_slow coverage azurite torture lint docs bench dist dist_clusters clear_checkpoints clean
