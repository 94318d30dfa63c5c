PORT ?= 7860
PYTHON ?= python3
VENV ?= .venv
# Where `make grid` and `make families` compute: local, ray or ray://HOST:PORT.
ENGINE ?= local
WHEELS ?= dist
BIN := $(VENV)/bin

# What installs differs from Debian's: torch first and pinned, so that nothing else chooses it.
TORCH := torch==2.13.0

.PHONY: app test test-real attack load simulate checks fast fast-first fast-rest browser browser-first browser-rest process bench grid families mutations gpu wheel docs examples lint types imports clean
.DEFAULT_GOAL := app

app: $(VENV)/.installed
	$(BIN)/python app.py --port $(PORT)

# Two jobs at a time for two cores, the longest first; what each prints stays together. CI names
# more of them in ALSO.
test: $(VENV)/.installed-test
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going $(ALSO) checks

checks: fast-first fast-rest browser-first browser-rest types lint imports

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	mkdir -p .mypy_cache/src && ln -sfn ../.. .mypy_cache/src/tokenarium
	$(BIN)/mypy

imports: $(VENV)/.installed-test
	$(BIN)/lint-imports

# In halves of about the same length, a process each: the folders named here, and all the others.
# One thread each. The browser's tests apart, too, as what they leave behind in a process slows every
# test after them. Each collects its own only.
FAST := $(addprefix tests/,attribution benchmark cache contracts cost decoding frozen hostile models runs)
BROWSER := $(patsubst %,tests/browser/test_%.py,cache figures lessons linked_views pages runs save speculate)
DEFAULT := "not process and not gpu and not external and not slow and not real"
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest

fast: $(VENV)/.installed-test
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going fast-first fast-rest

fast-first: $(VENV)/.installed-test
	$(PYTEST) $(FAST) -m $(DEFAULT)

fast-rest: $(VENV)/.installed-test
	$(PYTEST) $(addprefix --ignore=,tests/browser $(FAST)) -m $(DEFAULT)

browser: $(VENV)/.installed-test
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going browser-first browser-rest

browser-first: $(VENV)/.installed-test
	$(PYTEST) $(BROWSER)

browser-rest: $(VENV)/.installed-test
	$(PYTEST) tests/browser $(addprefix --ignore=,$(BROWSER))

# What starts processes: builds, installs, starts the program, compiles: CI runs it beside `make test`.
process: $(VENV)/.installed-test
	$(PYTEST) -m process

# On the default model, which is fetched into the user's cache folder: three tries, then it fails.
test-real: $(VENV)/.installed-test
	$(BIN)/python -P -m pytest tests/real -m real

# What was made to do harm: folders, tokenizers, templates, texts, requests; then a flood over HTTP.
# At most ten minutes.
attack: $(VENV)/.installed-test
	$(BIN)/python -m tests.hostile.attack --seconds 400
	$(BIN)/python -m tests.hostile.flood --seconds 100
	$(BIN)/python -m tests.hostile.classroom --model bundled/target

# Simulated visitors at two replicas on PostgreSQL, with Ray where it is installed; of each something
# is killed. At most ten minutes, on this machine alone.
load: $(VENV)/.installed-test
	$(BIN)/python -m tests.load --visitors 200 --seconds 300

# What each request takes, measured, and how many visitors go together, simulated.
simulate: $(VENV)/.installed-test
	mkdir -p build
	$(BIN)/python -m tests.load.service build/service.json
	$(BIN)/python -m tests.load.simulation build/service.json --visitors 200

bench: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.caches
	$(BIN)/python -m tests.benchmarks.reading
	$(BIN)/python -m tests.benchmarks.speculation

# Every policy at every budget on every task, with the default model; goes on where it was interrupted.
grid: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.grid --engine $(ENGINE)

# Every causal type of the installed transformers; goes on where it was interrupted.
families: $(VENV)/.installed-test
	$(BIN)/python -m tests.families --engine $(ENGINE)

# Faults put into a copy one after another, each of which tests must see; writes docs/tests.md.
mutations: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutations

# From nothing: what an older build left would enter the wheel.
wheel:
	rm -rf build
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps $(HOW) --wheel-dir $(WHEELS) .
	rm -rf build

# The links keep the reader of docstrings to the sources.
docs: $(VENV)/docs/.installed
	rm -rf build/sources && mkdir -p build/sources/tokenarium
	cd build/sources/tokenarium && for each in __init__.py backend kernels storage ui; do ln -s ../../../$$each; done
	$(VENV)/docs/bin/mkdocs build

$(VENV)/docs/.installed: requirements-docs.txt
	$(PYTHON) -m venv $(VENV)/docs
	$(VENV)/docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

# Needs no environment of its own, only what a machine with a GPU has.
gpu:
	$(PYTHON) tests/benchmarks/gpu.py

examples: $(VENV)/.installed
	$(BIN)/python -P -m tokenarium.backend.runs.make_examples

$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

$(VENV)/.installed: $(VENV)/.torch requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
