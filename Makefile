# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
NODE_STAMP := sdk/node_modules/.package-lock.json
SDK := sdk/web/dist/sendora.js
PAGE_SDK := inapp/demo/page/sendora.js

.DELETE_ON_ERROR:

.PHONY: help setup sdk examples demo test test-nightly bench bench-check lint format lock clean

help: ## Say what each command does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the locked set into .venv (a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

$(NODE_STAMP): sdk/package-lock.json $(STAMP)
	@echo "Installing what the SDK is built with"
	@sdk/npm ci --silent
	@touch $(NODE_STAMP)

setup: $(STAMP) ## Make .venv from requirements.lock

# With the folders, so that a removed source counts too.
$(SDK): $(shell find sdk/core/src sdk/web/src) $(wildcard sdk/*.ts sdk/*/package.json) $(NODE_STAMP)
	@echo "Building the SDK"
	@sdk/npm run --silent build

$(PAGE_SDK): $(SDK)
	@cp $(SDK) $(PAGE_SDK)

sdk: $(PAGE_SDK) ## Build the SDK into sdk/*/dist, and give it to the demo's page

examples: $(SDK) ## Install, check and bundle the example that has something to build
	@sdk/npm --prefix ../examples/react ci --silent
	@sdk/npm --prefix ../examples/react run --silent check
	@sdk/npm --prefix ../examples/react run --silent build -- --log-level=warning

demo: $(PAGE_SDK) ## Run everything on this machine with a seeded org and a page that shows messages
	@$(BIN)/inapp demo

test: sdk ## Pass every test, on a real Postgres and a real Redis that the tests start themselves
	@sdk/npm test --silent
	@$(BIN)/python -m pytest

test-nightly: $(STAMP) ## Compare the compilers of the rule language on 20,000 random cases, which takes long
	@INAPP_TEST_PROFILE=nightly $(BIN)/python -m pytest tests/integration/test_rule_agreement.py

bench: $(STAMP) ## Measure what is promised about speed; PART=fetch is some of it, SIZE=tiny only shows that it runs
	@$(BIN)/python -m bench $(PART) --size $(or $(SIZE),full) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PROFILE),--profile)

bench-check: $(STAMP) ## Fail when the latest full run of the bench has a figure past its budget
	@$(BIN)/python -m bench.check

lint: $(NODE_STAMP) ## ruff, mypy --strict, import-linter; biome and tsc --strict for the SDK
	sdk/npm run --silent lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(NODE_STAMP) ## Let ruff and biome put the code in order
	sdk/npm run --silent format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean: ## Remove .venv, caches and the demo's data
	@test ! -x $(BIN)/inapp || $(BIN)/inapp remove --yes
	rm -rf sdk/node_modules sdk/*/dist $(PAGE_SDK) examples/*/node_modules examples/react/public/dist examples/plain/sendora.js
	rm -rf .venv .inapp .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
