# On a fresh machine with Python 3.11 or newer and make, `make serve` and `make test` are all the set-up there is.

PYTHON ?= $(firstword $(foreach name,python3.11 python3,$(shell command -v $(name))))
BIN := .venv/bin
UV := .cache/lock/bin/uv

serve: .venv/serve.stamp  ## install what is locked and start the server on 127.0.0.1:8000
	@exec $(BIN)/careplan serve

test: .venv/dev.stamp  ## the whole suite: lint, format, types, tests; every stage runs, and any that fails fails it
	@$(MAKE) --no-print-directory --keep-going lint formatted types tests mongodb postgresql

lint: .venv/dev.stamp
	$(BIN)/ruff check .

formatted: .venv/dev.stamp
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/mypy

tests: .venv/dev.stamp
	$(BIN)/python -m tests.mongodb
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

mongodb: .venv/dev.stamp  ## the tests over HTTP once more, on the MongoDB of the tests
	CAREPLAN_TEST_ENGINE=mongodb $(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/interactions tests/operations

postgresql: .venv/dev.stamp  ## the tests of the store, and some over HTTP, on a MongoDB over PostgreSQL
	CAREPLAN_TEST_FERRETDB=postgresql CAREPLAN_TEST_ENGINE=mongodb $(BIN)/python -m pytest --numprocesses 2 \
		tests/store/test_mongodb.py tests/test_mongodb.py $(OVER_HTTP)

OVER_HTTP := $(foreach name,create update delete transaction history,tests/interactions/test_$(name).py)

requirements: .venv/dev.stamp  ## which rows of docs/requirements.md have a passing test
	@$(BIN)/python scripts/requirements.py

bench: .venv/dev.stamp  ## the workload of docs/benchmarks.md, at a server of its own
	@$(BIN)/python benchmarks/run.py

r4: .venv/dev.stamp  ## make the tables of R4's definitions again from HL7's published package (needs mvn)
	$(BIN)/python scripts/make_r4.py

us-core:  ## fetch US Core 6.1.0 for the tests: npm's registry has to have FHIR packages; or FROM=file.tgz
	@mkdir -p .cache
	@cd .cache && npm pack --loglevel=error $(FROM)
	@echo "$(US_CORE_SHA256)  .cache/hl7.fhir.us.core-6.1.0.tgz" | sha256sum --check --quiet - || \
		{ rm .cache/hl7.fhir.us.core-6.1.0.tgz; exit 1; }

FROM = hl7.fhir.us.core@6.1.0
US_CORE_SHA256 := 4c4e7fbb07ef2fdb35bdfc3f5d09a417ee0d8644ea17cb3692ca6d03c4358b1d

lock: $(UV)  ## resolve the dependencies again into requirements.lock and requirements-dev.lock
	$(UV) pip compile pyproject.toml $(LOCK) --group build --output-file requirements.lock
	$(UV) pip compile pyproject.toml $(LOCK) --group build --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock

LOCK := --quiet --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/dev.stamp: requirements-dev.lock .venv/serve.stamp
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@

.venv/serve.stamp: requirements.lock pyproject.toml | .venv/bin/pip
	@echo "installing what requirements.lock names into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable .
	@touch $@

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and there is no python3 on the PATH"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or \
		sys.exit(f"Python 3.11 or newer is needed, and {sys.executable} is {sys.version.split()[0]}: make PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv

$(UV):
	@$(PYTHON) -m venv .cache/lock
	@.cache/lock/bin/pip install --quiet --disable-pip-version-check uv

.PHONY: serve test lint formatted types tests mongodb postgresql requirements bench r4 us-core lock help
.DELETE_ON_ERROR:
