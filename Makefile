# `make demo` and `make test` need Python 3.11 or newer with venv, and nothing installed before.

# A distribution's own Python comes first: it is built with what profiles say, and the tests take a fifth less time.
PYTHON ?= $(shell for each in /usr/bin/python3 python3; do $$each -c "import ensurepip, sys, venv; \
	sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$each && break; done || echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test thorough test-gpu lint types unit fuzz bench pictures format constraints clean

demo: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/demo.sh

# The types are checked beside the tests: mypy computes on one core, and the tests wait now and then.
test: lint
	@$(MAKE) --no-print-directory --jobs=2 types unit

thorough: $(READY)
	SPARKCTL_TEST_THOROUGH=all SPARKCTL_TEST_KILLS=all $(MAKE) test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# What pytest compiles of the tests is kept, also where the environment says otherwise: to compile it takes longer than
# many of the tests.
unit: $(READY)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile

# On a machine with an NVIDIA GPU; tests/gpu/README.md says what it needs. ARGUMENTS are pytest's.
test-gpu: $(READY)
	@$(BIN)/python -m tests.gpu $(ARGUMENTS)

# SECONDS is how long; every fault that is found is minimised and kept in tests/fuzz/corpus.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

bench: $(READY)
	$(BIN)/python benchmarks/run.py

pictures: $(READY)
	$(BIN)/python scripts/pictures.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(READY)
	{ sed -n 1p constraints.txt; $(BIN)/pip freeze --exclude-editable; } > constraints.new && mv constraints.new constraints.txt

# The development tools are a dependency group of pyproject.toml, which older pips cannot read: hence the script.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . \
		$$($(BIN)/python scripts/dev_requirements.py)
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
