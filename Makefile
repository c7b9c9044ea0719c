# Every target works from a fresh clone: it makes .venv and installs what it needs, once.
# Another interpreter: make test PYTHON=python3.12

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# One line for each package, so that a long download does not look like a standstill.
SHOW := awk '/^Collecting/ { print "  " $$2 } /^Installing collected/ { print "  unpacking" } { fflush() }'

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-worker: pyproject.toml | $(BIN)/pip
	@echo "Installing the service and its worker (minutes the first time, PyTorch is large)"
	@$(PIP) install --editable '.[worker]' | $(SHOW)
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/pip
	@echo "Installing the service, its worker and the checks (minutes the first time, PyTorch is large)"
	@$(PIP) install --editable '.[postgres,worker,dev]' | $(SHOW)
	@touch $@ $(VENV)/installed-worker

.PHONY: demo
demo: $(VENV)/installed-worker ## one deletion request from HTTP to a published version; ARGS="--subject writer"
	@$(BIN)/lotus demo $(ARGS)

.PHONY: serve
serve: $(VENV)/installed-worker ## run the service on this machine; ARGS="--port 9000"
	@$(BIN)/lotus serve $(ARGS)

ENV_FILE := .env
.PHONY: env
env: ## write .env with fresh secrets, which docker-compose.yml needs
	@test ! -e $(ENV_FILE) || { echo "$(ENV_FILE) is there already, and other secrets would not fit its data"; exit 1; }
	@umask 077; set -o noclobber; \
	bytes() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }; \
	digits() { od -A n -N 24 -t x1 /dev/urandom | tr -d ' \n'; }; \
	while IFS= read -r line; do \
		case $$line in \
			POSTGRES_PASSWORD=|LOTUS_SERVICE_PASSWORD=|REDIS_PASSWORD=) echo "$$line$$(digits)" ;; \
			LOTUS_SECRET_KEY=|LOTUS_SUPPRESSION_KEY=) echo "$$line$$(bytes)" ;; \
			LOTUS_PSEUDONYM_KEY=) echo "$${line}k1:$$(bytes)" ;; \
			*) echo "$$line" ;; \
		esac; \
	done < .env.example > $(ENV_FILE)
	@echo "Secrets are in $(ENV_FILE): keep a copy of it apart from your backups"

.PHONY: compose
compose: $(VENV)/installed-dev ## the stack of docker-compose.yml for real, with one request through it
	@$(BIN)/python -m tests.compose $(ARGS)

# Files of tests run beside each other. One more than two processors, since many of them wait for
# processes of their own; with many more the databases hold them up.
TESTERS ?= 3

.PHONY: test
test: $(VENV)/installed-dev ## ruff, mypy, import-linter and all tests; ARGS="-k erasure"
	@$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder $(ARGS)

$(VENV)/installed-e2e: pyproject.toml | $(BIN)/pip
	@echo "Installing the service, its checks and Playwright (minutes the first time, PyTorch is large)"
	@$(PIP) install --editable '.[postgres,worker,dev,e2e]' | $(SHOW)
	@touch $@ $(VENV)/installed-dev $(VENV)/installed-worker

.PHONY: e2e
e2e: $(VENV)/installed-e2e ## the dashboard in a browser, pictures in build/e2e; needs Chromium; ARGS="-k story"
	@$(BIN)/python -m tests.e2e $(ARGS)

$(VENV)/installed-fuzz: pyproject.toml | $(BIN)/pip
	@echo "Installing the service, its checks and Schemathesis (minutes the first time, PyTorch is large)"
	@$(PIP) install --editable '.[postgres,worker,dev,fuzz]' | $(SHOW)
	@touch $@ $(VENV)/installed-dev $(VENV)/installed-worker

.PHONY: fuzz
fuzz: $(VENV)/installed-fuzz ## 20,000 generated calls of the API, checked against openapi.json; ARGS="--seed 2 --database postgresql"
	@$(BIN)/python -m tests.fuzz $(ARGS)

$(VENV)/installed-bench: pyproject.toml | $(BIN)/pip
	@echo "Installing the worker and the benchmarks' data (minutes the first time, PyTorch is large)"
	@$(PIP) install --editable '.[worker,bench]' | $(SHOW)
	@touch $@

.PHONY: chaos
chaos: $(VENV)/installed-dev ## 300 requests while processes are killed and servers restarted; ARGS="--minutes 8 --seed 1"
	@$(BIN)/python -m tests.fleet.chaos $(ARGS)

.PHONY: bench
bench: $(VENV)/installed-bench ## all benchmarks, quick forms, some minutes; the full ones: docs/benchmarks.md
	@for program in methods guided verification rechecks speed; do \
		echo; echo "== python -m benchmarks.$$program --quick"; \
		$(BIN)/python -m benchmarks.$$program --quick $(ARGS); \
	done

.PHONY: lint
lint: $(VENV)/installed-dev ## only the checks that read the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/installed-dev ## lay the code out as the checks expect it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: openapi
openapi: $(VENV)/installed-dev ## write openapi.json from the code
	@$(BIN)/python -m tests.architecture.openapi > openapi.json.new
	@mv openapi.json.new openapi.json

.PHONY: clean
clean: ## remove everything that the targets made, except data
	@rm -rf $(VENV) build ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
