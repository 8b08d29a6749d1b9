# Two commands are all a newcomer needs: make demo, make test. Each makes its own virtual environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench clean lock
.DELETE_ON_ERROR:

demo: .make/run
	@$(BIN)/amparo demo --out demo

test: .make/dev
	@$(BIN)/python -m pytest -n auto --dist loadgroup

lint: .make/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .make/dev
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/known.py

lock:
	sh scripts/lock.sh

.make/run: requirements.txt pyproject.toml setup.py amparo/_digests.c $(wildcard amparo/known/native/*) scripts/system_packages.sh
	@sh scripts/system_packages.sh run
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Amparo needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Python packages (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@mkdir -p .make && touch $@

.make/dev: .make/run requirements-dev.txt
	@sh scripts/system_packages.sh test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv .make build *.egg-info amparo/*.so amparo/known/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
