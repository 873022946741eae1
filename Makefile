# What there is to do with this repository. "make" alone lists the targets.
#
# In:   PORT    where "make demo" serves its page (8080)
#       PYTHON  the interpreter that .venv is made with (python3; 3.11 or later)
#       ARGS    further options for pytest ("make test ARGS='-k rollout'")

PORT ?= 8080
PYTHON ?= python3
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The targets use one engine and one .venv: one after the other, even with -j.
.NOTPARALLEL:
.PHONY: help venv bench chaos demo demo-down test test-unit lint types lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/.stamp ## make .venv with the locked dependencies and lb itself

# The lock holds the hash of every package; lb is installed last and links to the
# sources, and what builds it is in the lock too, so nothing else is fetched.
.venv/.stamp: pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Python 3.11 or later is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	PYTHONWARNINGS=ignore .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: venv ## run the quickstart on a Docker Engine and fetch its page (PORT=8080)
	PORT=$(PORT) scripts/demo up

demo-down: venv ## remove what "make demo" made
	PORT=$(PORT) scripts/demo down

test: venv ## lint, types and all tests; needs a Docker Engine, or root on Debian to get one
	scripts/engine up
	scripts/registry >/dev/null
	scripts/signing
	@$(MAKE) --no-print-directory lint types
	@LB_TEST_IMAGES=$$(scripts/images provide lb.local/); export LB_TEST_IMAGES; \
	set -x; .venv/bin/pytest --numprocesses=2 --dist=loadgroup $(ARGS)

test-unit: lint types ## lint, types and the tests that need no engine
	scripts/signing
	.venv/bin/pytest -m "not engine" --ignore=tests/e2e $(ARGS)
	@echo "left out: the tests against an engine in tests/contract, tests/chaos and tests/e2e; \"make test\" runs all"

bench: venv ## how quick the daemon is, and how many calls at once are best; needs a Docker Engine
	scripts/engine up
	@LB_TEST_IMAGES=$$(scripts/images provide --only busybox lb.local/); export LB_TEST_IMAGES; \
	set -x; .venv/bin/python bench/latency.py; .venv/bin/python bench/parallel.py $(ARGS)

chaos: venv ## every fault at every point, for up to an hour; writes docs/fault-matrix.md; needs a Docker Engine
	scripts/engine up
	@LB_TEST_IMAGES=$$(scripts/images provide --only busybox lb.local/); export LB_TEST_IMAGES; \
	export LB_CHAOS=full LB_CHAOS_REPORT=docs/fault-matrix.md; \
	set -x; .venv/bin/pytest -v --tb=short tests/chaos $(ARGS)

lint: venv ## check style and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: venv ## check the types
	.venv/bin/mypy --strict reconciler

lock: venv ## write the lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	.venv/bin/pip-compile $(LOCK) $(ARGS) --output-file=requirements.lock pyproject.toml
	.venv/bin/pip-compile $(LOCK) $(ARGS) --extra=dev --output-file=requirements-dev.lock pyproject.toml

# No address of this machine's package index belongs into the lock.
LOCK := --quiet --allow-unsafe --generate-hashes --strip-extras \
	--no-emit-find-links --no-emit-index-url --no-emit-trusted-host

clean: ## remove .venv, caches and build output
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
