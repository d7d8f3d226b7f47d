# `make run` is all a new checkout needs: it makes .venv and .env by itself.
PYTHON ?= python3
BIN = .venv/bin
NODE = node_modules/.bin
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make requirements"

.DEFAULT_GOAL = help
.PHONY: help run stop check lint audit types contracts migrations test quick matrix chaos fuzz bench deployable browser pooler screenshots schema client reader docs messages requirements format clean

help: ## Say what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

run: .venv/run | .env ## Run the database, the web and the worker until Ctrl-C
	@$(BIN)/python -m armo.run

stop: ## Stop the embedded database, which a killed run leaves running
	@test ! -x $(BIN)/python || $(BIN)/python -m armo.common.postgres stop

check: lint audit types contracts migrations test ## All of lint, audit, types, contracts, migrations and test, as CI does

lint: .venv/dev ## Style and common mistakes
	@$(BIN)/ruff check && $(BIN)/ruff format --check

audit: .venv/dev ## Weaknesses: of this code by bandit, of what is installed by pip-audit, if it reaches its source
	@$(BIN)/python -m tools.audit

types: .venv/dev | .env ## Types
	@$(BIN)/mypy

contracts: .venv/dev ## Which module may import which; how many arrows there are between them
	@$(BIN)/lint-imports --no-cache && $(BIN)/python -m tools.arrows

migrations: .venv/dev | .env ## Whether a model has changed without its migration
	@$(BIN)/python manage.py makemigrations --check --dry-run

test: .venv/dev | .env ## Every test, on a real database
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

quick: .venv/dev | .env ## The tests to run while writing: no processes, browser, state machine or slow ones
	@$(BIN)/pytest -n 2 --dist loadfile -m "not slow" --durations=0 --durations-min=1 $(addprefix --ignore=tests/,process browser scheduling/state_machine)

matrix: .venv/dev | .env ## The quick tests on each Python, the newest Django and django-q2, and Debian's PostgreSQL: ONLY (one of them)
	@$(BIN)/python -m tools.matrix $(if $(ONLY),--only $(ONLY))

chaos: .venv/dev | .env ## Faults in real workers: ROUNDS, SEED, FAULT (part of a name), ONLY (one round), POOLER (1: behind PgBouncer), GRID (1: a public grid's scenarios), JSON
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),24) --seed $(or $(SEED),1) $(if $(FAULT),--fault "$(FAULT)") $(if $(ONLY),--only $(ONLY)) $(if $(POOLER),--pooler) $(if $(GRID),--grid) $(if $(JSON),--json $(JSON))

fuzz: .venv/dev | .env ## Made-up requests to the API as each role: EXAMPLES, SEED, ROLE (only one), QUICK (few)
	@$(BIN)/python -m tests.fuzz $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(SEED),--seed $(SEED)) $(if $(ROLE),--role $(ROLE)) $(if $(QUICK),--quick)

bench: .venv/dev | .env ## Measure: ONLY (some workloads), QUICK (all small), JSON
	@$(BIN)/python -m bench $(ONLY) $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

schema: .venv/dev node_modules/installed | .env ## Write docs/openapi.yaml anew, and of it the types of clients/typescript
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	@test ! -x $(NODE)/openapi-typescript || $(NODE)/openapi-typescript docs/openapi.yaml --output clients/typescript/src/schema.ts

client: node_modules/installed ## Build clients/typescript into its dist/
	@$(NODE)/tsc --project clients/typescript/tsconfig.build.json
	@$(NODE)/esbuild clients/typescript/src/index.ts --bundle --minify --format=esm --outfile=clients/typescript/dist/armo.min.js

deployable: .venv/dev ## Check the files for deploying: by linters, and by running their commands with requirements.txt alone
	@$(BIN)/python -m tools.deployable

browser: .venv/dev node_modules/installed ## Install what tests need beside Python: Chromium (Debian, as root), axe-core, TypeScript, esbuild
	@command -v chromium >/dev/null || { apt-get update --quiet && apt-get install --quiet --yes chromium fonts-noto-cjk; }

pooler: ## Install PgBouncer (Debian, as root), for tests and `make chaos POOLER=1`
	@command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || { apt-get update --quiet && apt-get install --quiet --yes pgbouncer; }

screenshots: .venv/dev | .env ## Make the pictures in docs/screenshots anew
	@$(BIN)/pytest --quiet tests/browser/screenshots.py

reader: client ## Serve examples/reader on http://127.0.0.1:8001; the site must name that in CORS_ALLOWED_ORIGINS
	@cp clients/typescript/dist/armo.min.js examples/reader/
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory examples/reader 8001

docs: .venv/dev node_modules/installed ## Build the documentation into site/: python3 -m http.server --directory site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

messages: .venv/dev | .env ## Collect and compile the texts to translate (needs GNU gettext)
	@$(BIN)/python manage.py makemessages --locale=ko --extension=py,html,txt --no-location --no-wrap
	@$(BIN)/pybabel compile --domain=django --directory=armo/locale --statistics

requirements: ## Write each requirements*.txt, and deploy/linters.txt, anew from its .in
	@for it in requirements requirements-run requirements-dev deploy/linters; do $(COMPILE) $$it.in --output-file $$it.txt || exit; done

format: .venv/dev ## Lay out the code, and fix what ruff can fix safely
	@$(BIN)/ruff check --fix && $(BIN)/ruff format

clean: stop ## Remove .venv and caches; the data in .postgres/ and .env stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .matrix

.env: | .env.example
	cp .env.example .env

.venv/run: requirements.txt requirements-run.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Armo needs Python 3.11, this is %d.%d. Try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-run.txt
	@touch $@

node_modules/installed: package.json
	@if command -v npm >/dev/null; then npm install --no-package-lock --no-audit --no-fund --silent && touch $@; else echo "No npm here: what needs Node is skipped."; fi

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
