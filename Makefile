# The only entry. `make` shows what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
STATE := .rapport
VENV := $(STATE)/venv
PYTHON := $(VENV)/bin/python
PACKAGES := $(wildcard libs/*/pyproject.toml) $(wildcard services/*/pyproject.toml)
PROTOS := $(shell find protos -name '*.proto')
ROOMS := libs services charts e2e requirements
# Hundreds of processes start in tests: compiling everything anew would take most of their time.
unexport PYTHONDONTWRITEBYTECODE

##@ Use it

demo: setup ## Play the story on a fresh platform, print the report, stop everything (DATA=orders.csv MAP=customer=..,date=..,amount=..)
	@$(PYTHON) -m localrun run -- $(PYTHON) -m e2e.demo $(if $(DATA),--data $(DATA)) $(if $(MAP),--map $(MAP))

up: setup ## Start the platform in the background
	@$(PYTHON) -m localrun up

down: ## Stop it
	@$(PYTHON) -m localrun down

status: ## Show its processes
	@$(PYTHON) -m localrun status

logs: ## Show the log of one service, S=identity
	@$(PYTHON) -m localrun logs $(S)

##@ Change it

setup: $(VENV)/.ready ## Install everything into .rapport/ (the other targets do it by themselves)

protos: $(STATE)/protos.built ## Build the Python stubs and the descriptor set

new-service: setup ## Write a service in the shape of the others and connect it (N=loyalty R=program)
	@$(PYTHON) -m scaffold $(N) $(R)
	@$(MAKE) --no-print-directory setup

test: setup ## Run all tests (T="libs/docstore services/identity" for some)
	@$(PYTHON) -m testkit $(T)

faults: setup ## Kill every process of a fresh platform under load, one after another, and count what was acknowledged
	@$(PYTHON) -m localrun run -- $(PYTHON) -m e2e.faults

prove: setup ## Take away one guarantee after another and see its test fail (G="page token" for some)
	@$(PYTHON) -m e2e.prove $(if $(G),"$(G)")

bench: setup ## Measure a fresh platform beside its raw parts; one JSON object a line
	@$(PYTHON) -m e2e.bench

bench-models: setup ## Measure the scoring models beside papers and peers (DATA_DIR=folder of data sets, TASK="clv churn" for some, CHECK=1 to fail where a mark is missed)
	@$(PYTHON) -m scoring.benchmarks --data $(or $(DATA_DIR),../shared/data) $(if $(CHECK),--check) $(TASK)

bench-scale: setup ## Measure time and memory of generated shops, and how both grow (CUSTOMERS=1000000, CHECK=1)
	@$(PYTHON) -m scoring.benchmarks.scale $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(CHECK),--check)

lint: setup ## Check style, types, import rules and contracts
	@$(VENV)/bin/ruff check $(ROOMS)
	@$(VENV)/bin/ruff format --check $(ROOMS)
	@$(VENV)/bin/mypy $(foreach package,$(PACKAGES:/pyproject.toml=),$(package)/$(notdir $(package))) e2e
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/buf lint
	@$(VENV)/bin/buf format -d --exit-code protos
	@$(PYTHON) -m eventing.topology render | diff -u charts/rapport/files/topology.json - || { echo "charts/rapport/files/topology.json is stale: make topology"; exit 1; }

format: setup ## Format the code
	@$(VENV)/bin/ruff check --fix $(ROOMS)
	@$(VENV)/bin/ruff format $(ROOMS)
	@$(VENV)/bin/buf format -w protos

topology: setup ## Write the chart's manifest of queues from the subscriptions in the code
	@$(PYTHON) -m eventing.topology render > $(STATE)/topology.json && mv $(STATE)/topology.json charts/rapport/files/topology.json

lock: setup ## Resolve requirements/lock.txt anew after a dependency changed (UPGRADE=1 takes the newest versions)
	@PATH=$(abspath $(VENV))/bin:$$PATH $(PYTHON) requirements/compile.py $(if $(UPGRADE),--upgrade)

clean: ## Remove all state, downloads and logs
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m localrun down; fi
	@rm -rf $(STATE)

help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/uv: requirements/lock.txt
	@mkdir -p $(STATE)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rapport needs Python 3.11 or newer; python3 is $$(python3 -V 2>&1)"; exit 1; }
	@[ -x $(PYTHON) ] || python3 -m venv $(VENV) || { rm -rf $(VENV); echo "python3 cannot make virtual environments; on Debian: sudo apt-get install python3-venv"; exit 1; }
	@echo "installing uv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint requirements/lock.txt uv
	@touch $@

$(VENV)/.ready: $(VENV)/bin/uv requirements/lock.txt $(PACKAGES) $(STATE)/protos.built
	@echo "installing the workspace"
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation $(foreach package,$(PACKAGES),-e $(dir $(package)))
	@touch $@

$(STATE)/protos.built: $(STATE)/packages.installed $(PROTOS) libs/contracts/contracts/build.py
	@PYTHONPATH=libs/contracts $(PYTHON) -m contracts.build
	@touch $@

$(STATE)/packages.installed: $(VENV)/bin/uv requirements/lock.txt
	@echo "installing $$(wc -l < requirements/lock.txt) packages"
	@$(VENV)/bin/uv pip install --python $(PYTHON) --requirements requirements/lock.txt
	@touch $@

.PHONY: demo up down status logs setup protos new-service test faults prove bench bench-models bench-scale lint format topology lock clean help
