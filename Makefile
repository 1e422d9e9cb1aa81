# Aurora: make demo, make test, make ui. Each target sets up what it needs.
SHELL := /bin/bash
export DAGSTER_HOME ?= $(CURDIR)/.aurora/dagster
# Dagster, the command and the tests start hundreds of processes; without bytecode files each would compile all modules again.
# So make ignores this variable of the shell. To store the bytecode elsewhere, set PYTHONPYCACHEPREFIX.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
PORT ?= 3000
LOCK ?= --upgrade

.DEFAULT_GOAL := help
.PHONY: help setup demo live test test-fast soak soak-short lanes ui lint lock bench bench-short screenshots schemas clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install the locked packages into .venv, and the system tools
	@deploy/bootstrap.sh
	@case " $(MAKECMDGOALS) " in *" setup "*) echo "ready. Next: make demo (a simulated day, to every product). For your own site see README.md";; esac

demo: setup ## process a simulated camera day with Dagster, to every product
	@$(PY) scripts/demo.py $(DEMO)

test: ## run all tests except the slow lanes (real sshd, rsync, SQLite, MP4; five minutes)
	@deploy/bootstrap.sh --tests
	@$(PY) -m pytest $(TESTS)

test-fast: ## run the unit tests: no host, no Dagster, no server (half a minute)
	@deploy/bootstrap.sh --tests
	@$(PY) -m pytest -m unit -n 2 $(TESTS)

# The same faults as soak, but in three hours and three days instead of a day and a month, and fewer kills. It cannot measure the
# delay of files without faults, because there is always a fault, and it tests only the first minute of the silence.
soak-short: export KILLS ?= 4
soak-short: export SOAK_HOURS ?= 3
soak-short: export SOAK_HISTORY ?= 3
soak-short: export SOAK_SILENCE ?= 2
soak-short: export SOAK_SMALL ?= 5000
soak-short: export SOAK_LARGE ?= 2
soak-short: export LARGE_PRODUCT_GB ?= 1
soak-short: export SOAK_CALLS ?= 40
soak-short: soak ## run the slow lanes with fewer hours, days, files and kills (seven minutes); not recorded

ui: setup ## run the Dagster UI on http://127.0.0.1:3000 (PORT=...) and the daemon; Ctrl-C ends both
	@mkdir -p $(DAGSTER_HOME) && cp -n dagster.yaml $(DAGSTER_HOME)/
	@cmp -s <(grep -v "^ *#" dagster.yaml) <(grep -v "^ *#" $(DAGSTER_HOME)/dagster.yaml) || echo "note: $(DAGSTER_HOME)/dagster.yaml differs from the one of this version and is kept (see docs/operating.md, Updating)"
	@# Background processes of a script ignore SIGINT (Ctrl-C); without env nobody could end it with that.
	@exec env --default-signal=INT,TERM $(PY) -m aurora_cli.main ui --port "$(PORT)"

live: setup ## run the UI, the daemon and a live camera (an hour of sky time per minute); Ctrl-C ends all
	@exec env --default-signal=INT,TERM $(PY) scripts/live.py --port $(PORT) $(LIVE)

soak: ## run the slow lanes: repeated kills, large scale, a day at high speed against a quiet run (half an hour)
	@deploy/bootstrap.sh --tests
	@$(PY) scripts/lanes.py run kill -- $(PY) -m pytest -m kill -n 3 --timeout 900 $(SOAK)
	@$(PY) scripts/lanes.py run soak -- $(PY) -m pytest -m soak -n 0 --timeout 3600 -s $(SOAK)

lanes: setup ## show the last green run of each slow lane: date and commit
	@$(PY) scripts/lanes.py show

lint: setup ## run ruff, mypy, import-linter and the glossary
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports && $(PY) scripts/glossary.py

bench: setup ## compare with the replaced methods and the limits; writes docs/benchmarks (an hour; BENCH="pixels reading", BENCH=--help)
	@$(PY) -m benchmarks $(BENCH)

# The kill lane (tests/benchmarks/kill) checks the answers of the other subjects, without child processes.
bench-short: setup ## check the answers of some subjects at a small size (two minutes; BENCH="pixels" for others)
	@$(PY) -m benchmarks --short $(or $(BENCH),daily_video tick verification start_up platform)

screenshots: setup ## take docs/images of the Dagster UI after the demo (needs Debian's chromium)
	@$(PY) -m scripts.screenshots $(SCREENSHOTS)

schemas: setup ## write docs/schemas: the JSON schemas of the health files
	@$(PY) scripts/schemas.py

lock: ## update requirements.lock from pyproject.toml (needs uv); LOCK= adds new packages and upgrades nothing
	uv pip compile pyproject.toml --all-extras --group locked --python-version 3.12 --generate-hashes $(LOCK) --quiet \
	    --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock

# By name: an older `aurora init` put the data of real sites below .aurora.
SIMULATED = camera raw products state manifests archive dagster demo.log first-start.lock live instruments eight try
clean: ## remove the simulated sites below .aurora (demo, live, instruments, eight, try), keep .venv
	rm -rf $(SIMULATED:%=.aurora/%)
	@rmdir .aurora 2>/dev/null || ! test -e .aurora || echo "kept: $$(ls -d .aurora/*)"
