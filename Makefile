# Everything sets itself up: the first use of a target installs what it needs, later ones don't.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROMETHEUS := .cache/prometheus/.ready
PGBOUNCER := .cache/pgbouncer/.ready
NETWORKS := .cache/networks.ready
PG_UPGRADE := .cache/pg_upgrade/.ready
POSTGRES ?=
UPGRADE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test unit lint types format generate check-generated incidents pictures test-matrix bench soak lock clean

help: ## tell what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## run a PostgreSQL, an application that leaks connections, and the exporter
	@$(BIN)/pgconn-exporter demo

test: $(READY) $(PROMETHEUS) $(PGBOUNCER) $(NETWORKS) $(PG_UPGRADE) ## run the unit and integration tests, with the floor of coverage
	@$(BIN)/python -m tools.once_more --cov --cov-report=term --numprocesses 3 --dist loadfile

unit: $(READY) ## run the unit tests: no server, seconds
	@$(BIN)/pytest exporter grafana tests/unit

# All are run, so that one look shows all that is wrong.
lint: $(READY) ## check style, types, Dockerfile, locks and generated files
	@failed=0; \
	for check in "ruff check ." "ruff format --check ." mypy "hadolint Dockerfile" "pip check" \
		"python -m tools.generated --check"; \
	do echo "$$check"; $(BIN)/$$check || failed=1; done; exit $$failed

types: $(READY) ## check the types
	@$(BIN)/mypy

format: $(READY) ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: $(READY) ## write the files that the product generates
	@$(BIN)/python -m tools.generated

check-generated: $(READY) ## fail where a generated file is stale
	@$(BIN)/python -m tools.generated --check

incidents: $(READY) $(PROMETHEUS) $(PGBOUNCER) $(PG_UPGRADE) ## replay the incidents, from the fault to the page to the cure
	@$(BIN)/python -m tools.once_more tests/incidents --numprocesses 4 --dist loadfile

pictures: $(READY) $(PROMETHEUS) $(PGBOUNCER) $(PG_UPGRADE) ## replay them, and save what the dashboards show (installs Chromium)
	@$(BIN)/python -m tools.pictures.page
	@PGCONN_PICTURES=docs/images $(BIN)/pytest tests/incidents --numprocesses 2 --dist loadfile
	@$(BIN)/python -m tools.generated

test-matrix: $(READY) $(PROMETHEUS) $(PGBOUNCER) $(NETWORKS) ## run the integration tests on each PostgreSQL (POSTGRES="13 18": on these)
	@$(BIN)/python -m tools.matrix $(POSTGRES)

bench: $(READY) ## measure what the exporter costs (BENCH=--quick: within a minute)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

soak: $(READY) $(PGBOUNCER) ## run a day of polls and faults in half an hour; nothing may grow (SOAK=--quick)
	@$(BIN)/python -m tests.soak $(SOAK)

# Each lock keeps the versions it has unless asked (UPGRADE=--upgrade); one for every platform.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(UPGRADE)
lock: $(READY) ## write the locks from pyproject.toml (UPGRADE=--upgrade: with new versions)
	@$(PIN) pyproject.toml -o requirements.lock
	@$(PIN) --group build -o requirements-build.lock
	@$(PIN) pyproject.toml --all-extras --group dev -o requirements-dev.lock \
		--constraints requirements.lock --constraints requirements-build.lock

clean: ## remove everything that was made or fetched
	rm -rf $(VENV) .cache dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements-dev.lock tools/venv.py
	@$(PYTHON) -m tools.venv
	@touch $@

$(PROMETHEUS): tools/prometheus.py tools/debian.py | $(READY)
	@$(BIN)/python -m tools.prometheus
	@touch $@

$(PGBOUNCER): tools/pgbouncer.py tools/debian.py | $(READY)
	@$(BIN)/python -m tools.pgbouncer
	@touch $@

$(PG_UPGRADE): tools/pg_upgrade.py tools/debian.py | $(READY)
	@$(BIN)/python -m tools.pg_upgrade
	@touch $@

$(NETWORKS): tools/iproute2.py tools/debian.py | $(READY)
	@$(BIN)/python -m tools.iproute2
	@mkdir -p $(@D)
	@touch $@
