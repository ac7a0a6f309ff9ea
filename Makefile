# `make demo` and `make test` do everything on a fresh machine. PYTHON chooses the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := outputs/demo
QUALITY ?= outputs/quality
# What quality.py, churn.py and intervals.py measure takes real logs and a folder to work in.
MEASURED := decay decay_coverage length prepare speed
MODELS := exp_decay,popularity,transitions,lstm,transformer,lstm_transformer,hybrid

.DEFAULT_GOAL := help
.PHONY: help install demo lint format type pytest test bench quality build clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make a virtual environment and install ltsi into it, editable, at the pinned versions

# torch first: it is by far the largest, and a failure to fetch it should come at once.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: $(INSTALLED) ## Run the main job on the embedded synthetic shop: prepare, decay-fit, train, eval, compare
	rm -rf $(DEMO)
	$(BIN)/ltsi prepare source=shop
	$(BIN)/ltsi decay-fit data=shop
	$(BIN)/ltsi train -m experiment=demo data=shop model=$(MODELS) hydra.sweep.dir=$(DEMO)
	$(BIN)/ltsi eval run=$(DEMO)
	$(BIN)/ltsi compare $(DEMO)

lint: $(INSTALLED) ## Check style, docstrings, complexity and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(INSTALLED) ## Put the code into the form that lint expects
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

type: $(INSTALLED) ## Check types
	$(BIN)/mypy

# Work is taken from whoever is behind: a file keeps to one process, and with it what its tests share, until the end.
pytest: $(INSTALLED) ## Run the tests alone, a process for each core up to four
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test: lint type pytest ## Run every check: lint, types and tests

bench: $(INSTALLED) ## Measure speed, memory and estimates (benchmarks/), with peers and real logs where they are set
	@for name in $(MEASURED); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

quality: $(INSTALLED) ## Measure every model on the real logs in LTSI_REALDATA, for hours; stores and runs go to QUALITY
	$(BIN)/python benchmarks/quality.py --work $(QUALITY)

build: $(INSTALLED) ## Build the source archive and the wheel into dist/
	$(BIN)/python -m build

clean: ## Remove the virtual environment, builds and caches; data and runs stay
	rm -rf $(VENV) build dist ltsi.egg-info .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
