# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
FAMILIES := mujoco,atari,minigrid
EXTRAS := box2d,$(FAMILIES),sbx,tensorboard,bench
.DEFAULT_GOAL := help
.PHONY: help install demo run test test-exact test-soak check bench lock

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt .
	touch $@

$(BIN)/.installed-tools: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '.[test,dev,tensorboard,$(FAMILIES)]'
	touch $@

install: $(BIN)/.installed ## set up .venv from constraints.txt

demo: install ## train, evaluate and film a CartPole agent, then serve the dashboard (SERVE=0: stop after the film)
	$(BIN)/python manage.py up --demo $(if $(filter 0,$(SERVE)),--no-serve)

run: install ## serve the dashboard with its worker
	$(BIN)/python manage.py up

test: $(BIN)/.installed-tools ## run the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-exact: $(BIN)/.installed-tools ## kill every algorithm three times in every environment it fits, and compare
	$(BIN)/python -m pytest -n 2 -m exact tests/exact/test_exact.py $(ARGS)

test-soak: $(BIN)/.installed-tools ## fifty kills of each process, two workers and a thousand real runs: more than an hour
	$(BIN)/python -m pytest -m soak $(ARGS)

check: $(BIN)/.installed-tools ## lint, types, import contracts, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

bench: $(BIN)/.installed-tools ## measure, for example make bench NAME=overhead
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

lock: ## write constraints.txt from the newest versions that pyproject.toml admits
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '.[test,dev,$(EXTRAS)]'
	.venv-lock/bin/python -m pip freeze --exclude rlgym | sed 's/^\(torch==[0-9.]*\)+.*/\1/' > constraints.txt
	rm -rf .venv-lock
