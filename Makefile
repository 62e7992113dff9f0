# What a developer runs. Everything sets itself up: `make demo` and `make test` work on a fresh checkout.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
N      ?= 20000
# Tests wait for servers most of the time. Each worker starts its own.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test unit lint types validate bench simulate faults check lock clean

help:  ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.ready  ## Make the virtual environment with everything in it

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup  ## Run the whole system on this machine with real flights (N=336776 for the whole year)
	@$(BIN)/python -m demo --flights $(N)

test: setup  ## Run every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

unit: setup  ## Run the tests that need no stack
	@$(BIN)/python -m pytest -m "not integration"

lint: setup  ## Check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup  ## Check types, strictly
	@$(BIN)/mypy

validate: setup  ## Check the template as `sam` and cfn-lint see it
	@SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(BIN)/sam validate --lint --template template.yaml
	@$(BIN)/cfn-lint template.yaml

simulate: N = 1000000
simulate: setup  ## Run a long simulation of delivery on all cores (N=20000 for a short one)
	@$(BIN)/python -m tests.simulation campaign $(N)

bench: setup  ## Measure the engine against its floor and its peer
	@$(BIN)/python -m bench

faults: setup  ## Inject every fault into the one-machine stack and write their page in docs (about 25 minutes)
	@$(BIN)/python -m tests.faults

check: lint types validate test  ## What CI runs

lock: setup  ## Resolve the locked requirements anew
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock" --extra dev --extra tracing pyproject.toml -o requirements/dev.txt
	@# boto3 is the Lambda runtime's; the versions are those of dev.txt, so that what is tested is what runs.
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock" --extra tracing --constraint requirements/dev.txt \
	  --no-emit-package boto3 --no-emit-package botocore --no-emit-package s3transfer --no-emit-package urllib3 \
	  --no-emit-package python-dateutil --no-emit-package opensearch-protobufs --no-emit-package grpcio \
	  pyproject.toml -o requirements/function.txt
	@# What the driver asks for and imports only to log in through a browser or an identity provider stays out.
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock" --group pyproject.toml:loader --constraint requirements/dev.txt \
	  --no-emit-package boto3 --no-emit-package botocore --no-emit-package s3transfer --no-emit-package urllib3 \
	  --no-emit-package python-dateutil --no-emit-package beautifulsoup4 \
	  --no-emit-package soupsieve --no-emit-package lxml --no-emit-package pytz --no-emit-package requests \
	  --no-emit-package certifi --no-emit-package charset-normalizer --no-emit-package idna \
	  --no-emit-package setuptools -o requirements/loader.txt
	@$(BIN)/python -m scripts.make_opensearch_lock

clean:  ## Remove what was built; keeps the virtual environment
	@rm -rf .aws-sam .aetherstream build dist .pytest_cache .mypy_cache .ruff_cache
