# Needs make and Python 3.11 or later; everything else is installed into $(VENV).
#
#   PYTHON              the Python to use; by default the first one here that is new enough
#   VENV                where its environment lies
#   JOBS                how many tests run at a time; by default one more than there are cores
#   HYPOTHESIS_PROFILE  how long hypothesis searches: a profile of tests/conftest.py

VENV ?= .venv
PYTHON ?=
JOBS ?= auto
HYPOTHESIS_PROFILE ?=

candidates := python3.11 python3.12 python3.13 python3.14 python3 python
usable := import sys, ensurepip, sqlite3, venv; sys.exit(sys.version_info < (3, 11))
identity := import sys; print(sys.base_prefix, sys.version)
pip := $(VENV)/bin/python -m pip --no-input --disable-pip-version-check
profile := $(if $(HYPOTHESIS_PROFILE), --hypothesis-profile=$(HYPOTHESIS_PROFILE))

# What is installed is pinned, the build backend too: for that, newer pip reads the second variable.
export PIP_CONSTRAINT = constraints.txt
export PIP_BUILD_CONSTRAINT = constraints.txt

# Tests start Python hundreds of times: what is imported is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-worker test prove coverage check lint types layers diagrams wheel soak explore mutants docs bench clean FORCE

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1#\2/p' Makefile | awk -F'#' '{ printf "%-20s%s\n", $$1, $$2 }'
	@echo
	@echo "Variables: PYTHON=python3.13  VENV=.venv  JOBS=auto  HYPOTHESIS_PROFILE=…"

demo: $(VENV)/.runtime ## play six chats and show what became of them
	@$(VENV)/bin/python examples/demo.py

demo-worker: $(VENV)/.dev ## read an hour of chats from a RabbitMQ with two workers, and kill one of them
	@$(VENV)/bin/python examples/demo_worker.py

test: $(VENV)/.dev ## run the tests that show what a change broke (eight minutes on two cores)
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal$(profile)

prove: $(VENV)/.dev ## run the tests that search and take longer
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal -m prove$(profile)

coverage: $(VENV)/.dev ## run all tests with coverage; fails if a line or a branch is not covered
	@$(VENV)/bin/python -m coverage erase
	$(VENV)/bin/python -m coverage run -m pytest -n $(JOBS) --dist worksteal -m ''$(profile)
	@$(VENV)/bin/python -m coverage combine --quiet
	@$(VENV)/bin/python -m coverage report

check: lint types layers diagrams wheel ## everything else that must hold

lint: $(VENV)/.dev ## rules and format (ruff)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev ## types (mypy, strict)
	$(VENV)/bin/mypy

layers: $(VENV)/.dev ## who imports whom (import-linter)
	$(VENV)/bin/lint-imports

diagrams: $(VENV)/.dev ## the drawn machine is the machine
	$(VENV)/bin/sermo-fsm diagram --check
	$(VENV)/bin/python tools/docs.py --check

hello := {"direction": "inbound", "event": {"type": "text", "text": "Hej!", "userId": "u-1", "platformId": "web"}}
is_png := import pathlib, sys; sys.exit(not pathlib.Path("machine.png").read_bytes().startswith(b"\x89PNG"))
in_bot := import json, sys; state = json.load(sys.stdin)["state"]; sys.exit(state != "bot" and f"expected bot, got {state}")

wheel: $(VENV)/.dev ## source archive and wheel build, and the wheel works away from here
	@set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; trap 'exit 1' HUP INT TERM; \
	$(VENV)/bin/python -m build --outdir "$$away/dist" . >"$$away/log" 2>&1 \
		|| { cat "$$away/log"; exit 1; }; \
	$(VENV)/bin/python -m venv "$$away/venv"; \
	"$$away/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
		"$$away"/dist/*.whl; \
	cd "$$away"; PATH="$$away/venv/bin:$$PATH"; export SERMO_DB=sqlite:///chat.db; unset PYTHONPATH; \
	printf '%s\n' '$(hello)' | sermo-fsm ingest; \
	sermo-fsm status web u-1 --json | python -c '$(in_bot)'; \
	sermo-fsm diagram -o machine.svg; \
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" \
		python -m pip install --quiet --no-input --disable-pip-version-check \
		"$$(ls ./dist/*.whl)[diagrams]"; \
	sermo-fsm diagram -o machine.png; python -c '$(is_png)'; \
	ls dist; echo "The wheel builds, and works outside of the checkout."

explore: $(VENV)/.dev ## read the examples and all short streams in every order (takes minutes)
	$(VENV)/bin/python -m tools.explore

soak: $(VENV)/.dev ## kill workers, brokers and databases while messages flow (half an hour)
	SERMO_SOAK=1 $(VENV)/bin/python -m pytest -m prove -q -s -o timeout=0 tests/worker/test_soak.py

mutants: $(VENV)/.dev ## change every cell of the tables, and see that somebody notices (likewise)
	$(VENV)/bin/python tools/mutants.py

docs: $(VENV)/.dev ## write the generated parts of README and the diagrams again
	$(VENV)/bin/python tools/docs.py

bench: $(VENV)/.dev ## measure beside the bare driver and other libraries (a quarter of an hour)
	$(VENV)/bin/python -m benchmarks

clean: ## remove the environment and everything made
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf build dist .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find sermo_fsm migrations tests tools examples benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# The environment. It is made anew where the checkout has moved or another PYTHON is asked for,
# and filled again where what is to be installed has changed; else nothing is done.

$(VENV)/.made: FORCE
	@if [ "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" ] && $(VENV)/bin/python -c '$(usable)' 2>/dev/null \
		&& { [ -z "$(PYTHON)" ] \
			|| [ "$$($(VENV)/bin/python -c '$(identity)')" = "$$("$(PYTHON)" -c '$(identity)')" ]; }; \
	then exit 0; fi; \
	for python in $(if $(PYTHON),"$(PYTHON)",$(candidates)) none; do \
		"$$python" -c '$(usable)' >/dev/null 2>&1 && break; \
	done; \
	if [ "$$python" = none ]; then \
		echo "No usable Python: tried $(or $(PYTHON),$(candidates))." >&2; \
		echo "Python 3.11 or later is needed, with its modules venv, ensurepip and sqlite3" >&2; \
		echo "(on Debian and Ubuntu: the package python3-venv). Name one: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if [ -n "$$(ls -A $(VENV) 2>/dev/null)" ] && [ ! -f $(VENV)/pyvenv.cfg ]; then \
		echo "$(VENV) is there and is no virtual environment; it is left alone." >&2; exit 1; \
	fi; \
	other=$$(cat $@ 2>/dev/null); \
	if [ -z "$(filter $(CURDIR)/%,$(abspath $(VENV)))" ] \
		&& [ "$$other" != "$(CURDIR)" ] && [ -f "$$other/Makefile" ]; then \
		echo "$(VENV) belongs to $$other; it is left alone." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) && echo "$(CURDIR)" >$@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing sermo-fsm into $(VENV)"
	@$(pip) install --quiet --editable '.[async]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing sermo-fsm and the tools to work on it into $(VENV)"
	@$(pip) install --quiet --editable '.[dev]'
	@touch $(VENV)/.runtime $@
