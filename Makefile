# Aurora: make demo, make test, make ui. Each does all the set-up it needs.
SHELL := /bin/bash
export DAGSTER_HOME ?= $(CURDIR)/.aurora/dagster
# Ticks run in the threads of the code server, of which Dagster would start four more than there are cores.
export DAGSTER_GRPC_MAX_WORKERS ?= 32
# s between looks for runs to be tried again, and at Dagster's own freshness, whose limits are hours: 5 and 30 by default.
export DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS ?= 45
export FRESHNESS_DAEMON_INTERVAL_SECONDS ?= 300
# Dagster, the command and the tests start hundreds of processes, each of which would compile the same modules again. This is for
# what make starts, whatever the shell says; PYTHONPYCACHEPREFIX puts the bytecode elsewhere.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
PORT ?= 3000
LOCK ?= --upgrade

.DEFAULT_GOAL := help
.PHONY: help setup demo live test test-fast soak soak-short lanes ui lint lock bench bench-short screenshots schemas clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## .venv with the locked packages, and the system tools
	@deploy/bootstrap.sh
	@case " $(MAKECMDGOALS) " in *" setup "*) echo "ready. Next: make demo (a simulated day, to every product); a site of your own: README.md";; esac

demo: setup ## a simulated camera day, through Dagster, to every product
	@$(PY) scripts/demo.py $(DEMO)

test: ## all tests but the slow lanes (real sshd, rsync, SQLite, MP4; five minutes)
	@deploy/bootstrap.sh --tests
	@$(PY) -m pytest $(TESTS)

test-fast: ## the tests that need no host, no Dagster and no server (half a minute)
	@deploy/bootstrap.sh --tests
	@$(PY) -m pytest -m unit -n 2 $(TESTS)

# The same faults in three hours and three days in place of a day and a month, and fewer kills. It does not show how late a file
# comes where nothing is broken, for something always is, and of the silence only the minute in which all comes to rest.
soak-short: export KILLS ?= 4
soak-short: export SOAK_HOURS ?= 3
soak-short: export SOAK_HISTORY ?= 3
soak-short: export SOAK_SILENCE ?= 2
soak-short: export SOAK_SMALL ?= 5000
soak-short: export SOAK_LARGE ?= 2
soak-short: soak ## the same with some hours, days, files and kills (seven minutes); it is not recorded

ui: setup ## the Dagster UI on http://127.0.0.1:3000 (PORT=...), with the daemon; Ctrl-C ends both
	@$(PY) -m aurora_platform.config.site check > /dev/null
	@mkdir -p $(DAGSTER_HOME) && cp -n dagster.yaml $(DAGSTER_HOME)/
	@cmp -s <(grep -v "^ *#" dagster.yaml) <(grep -v "^ *#" $(DAGSTER_HOME)/dagster.yaml) || echo "note: $(DAGSTER_HOME)/dagster.yaml is not that of this version; yours is kept (docs/operating.md, Updating)"
	@[[ "$(PORT)" =~ ^[0-9]+$$ ]] || { echo "PORT=$(PORT) is no number"; exit 1; }
	@! (exec 3<> /dev/tcp/127.0.0.1/$(PORT)) 2> /dev/null || { echo "port $(PORT) is taken; choose another: make ui PORT=3001"; exit 1; }
	@echo "http://127.0.0.1:$(PORT), in some seconds; Ctrl-C ends it"
	@# A script has what it starts in the background ignore Ctrl-C's signal, and Dagster then could not be ended.
	@exec env --default-signal=INT,TERM $(PY) -m dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

live: setup ## the UI, the daemon and a camera that writes in real time (an hour a minute); Ctrl-C ends all
	@exec env --default-signal=INT,TERM $(PY) scripts/live.py --port $(PORT) $(LIVE)

soak: ## the slow lanes: killed again and again, and at scale; then a day at speed, against a quiet run (half an hour)
	@deploy/bootstrap.sh --tests
	@$(PY) scripts/lanes.py run kill -- $(PY) -m pytest -m kill -n 3 --timeout 900 $(SOAK)
	@$(PY) scripts/lanes.py run soak -- $(PY) -m pytest -m soak -n 0 --timeout 3600 -s $(SOAK)

lanes: setup ## when each slow lane was last green, and at which commit
	@$(PY) scripts/lanes.py show

lint: setup ## ruff, mypy and import-linter
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports

bench: setup ## side by side with the method it replaces, and with the limits, into docs/benchmarks (an hour; BENCH="pixels reading", BENCH=--help)
	@$(PY) -m benchmarks $(BENCH)

# The other subjects prove their answers in the kill lane (tests/benchmarks/kill), there without processes of their own.
bench-short: setup ## subjects once at a small size: only whether their answers are right (two minutes; BENCH="pixels" for others)
	@$(PY) -m benchmarks --short $(or $(BENCH),daily_video tick verification start_up platform)

screenshots: setup ## docs/images: the Dagster UI on what the demo made (needs Debian's chromium)
	@$(PY) scripts/screenshots.py $(SCREENSHOTS)

schemas: setup ## docs/schemas: what the health files hold, from the models
	@$(PY) scripts/schemas.py

lock: ## requirements.lock anew from pyproject.toml (needs uv); LOCK= adds what is new and upgrades nothing
	uv pip compile pyproject.toml --all-extras --group locked --python-version 3.12 --generate-hashes $(LOCK) --quiet \
	    --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock

clean: ## remove what the demo made (.aurora), keep .venv
	rm -rf .aurora
