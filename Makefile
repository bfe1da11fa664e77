# Two commands do everything on a fresh machine with Python >= 3.11 and make:
#
#     make demo    install into .venv, then label, distil, score, export and transcribe what is built in
#     make test    install into .venv, then run every test
#
# Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Unset, Ray turns token authentication on and leaves a token file that later clusters inherit.
export RAY_AUTH_MODE ?= disabled
# Ray's workers run at nice 15 otherwise, and any other program starves them.
export RAY_worker_niceness ?= 0
export RAY_USAGE_STATS_ENABLED ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: install demo test lint wheel bench-live clean
.DEFAULT_GOAL := install

install: $(VENV)/.installed

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: expected Python 3.11 or newer, and $(PYTHON) is older or missing; try make PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch first and pinned, so that no later requirement chooses another build of it.
$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,serve,dev]'
	touch $@

demo: install
	$(BIN)/python jobs/demo.py

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Starts the service by itself; BENCH="--clients 1,32 --compare" and so on (BENCH=--help lists them).
bench-live: install
	$(BIN)/python -m tests.benchmarks.live $(BENCH)

wheel: install
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
