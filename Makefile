# Two commands for a fresh machine: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := sqlite:///demo.db
SITE := site
WORKERS ?= auto

.PHONY: demo test lint docs clean

demo: $(VENV)/installed
	$(BIN)/autoaug run quickstart --storage $(DEMO) --artifacts $(VENV)/artifacts

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The variable keeps a notice of the theme about another program's next version out of the log.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(SITE)

# Compiled on all cores, where pip has one. It is done at once: tests turn warnings into errors, and to compile a
# library may warn, or fail for files that nobody imports.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[test,docs]'
	-$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib
	touch $@

clean:
	rm -rf $(VENV) $(SITE) demo.db demo.db-shm demo.db-wal
