# One environment serves all targets. VENV=PATH uses another one, which may exist already; a torch in it is kept.
PYTHON3 ?= python3
VENV ?= .venv
PYTHON ?= $(VENV)/bin/python
DEMO_ARGS ?=
PYTEST_ARGS ?=
# Processes that share the tests: auto is one for each core. 0 is none, quicker for a single test.
PYTEST_JOBS ?= auto

SETUP = $(PYTHON3) dev/setup_env.py --venv '$(VENV)'

.DEFAULT_GOAL := help
.PHONY: help demo test check audit format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  VENV=PATH (default .venv)  PYTHON3=COMMAND  DEMO_ARGS=...  PYTEST_ARGS=...  PYTEST_JOBS=auto'

demo:  ## pre-train a tiny model on a few pictures and show what it reconstructs
	@$(SETUP) demo
	$(PYTHON) tools/demo.py $(DEMO_ARGS)

test:  ## run the tests (the first time compiles the operators of mmcv: minutes)
	@$(SETUP) test
	$(PYTHON) -m pytest -n $(PYTEST_JOBS) --dist worksteal $(PYTEST_ARGS)

check:  ## lint, formatting, types, spelling, shell syntax
	@$(SETUP) check
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m codespell_lib
	@for script in .ci/run tools/*.sh; do echo "bash -n $$script"; bash -n "$$script" || exit 1; done

audit:  ## look the pinned versions up among known vulnerabilities (needs a network)
	$(PYTHON3) dev/audit.py --venv '$(VENV)'

format:  ## format the code and apply the safe fixes of the linter
	@$(SETUP) check
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:  ## remove caches and what builds leave; keeps the environment
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
