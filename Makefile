# On a fresh machine with Python >= 3.11 and make:
#
#     make demo    install into .venv, then label, distil, export, score and transcribe the sample clips
#     make test    install into .venv, then run every test
#     make serve   install into .venv, then Ray and the live service on http://127.0.0.1:8000, until Ctrl-C
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

.PHONY: install demo serve test browser lint wheel bench-live clean
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
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,serve,tiny-en,dev]'
	touch $@

demo: install
	$(BIN)/python jobs/demo.py

# SERVE="port=8001 model=FOLDER" and so on changes what serve/local.yaml says.
serve: install
	@exec $(BIN)/python -m voxray.serving.ray.launch serve/local.yaml $(SERVE)

# Those of clusters and of the service start processes of their own: beside other tests they would wait for a core.
test: install browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --ignore tests/cluster --ignore tests/service; \
	  others=$$?; $(BIN)/python -m pytest tests/cluster tests/service && exit $$others

# The page is tested in Debian's Chromium: installed where this user may, else its tests are skipped.
browser:
	@command -v chromium >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { apt-get update && apt-get install -y chromium; } \
	    >/dev/null 2>&1; } || \
	  echo "chromium is not here and cannot be installed by this user: tests of the page are skipped"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Starts the service by itself; BENCH="--clients 1,32 --compare" and so on (BENCH=--help lists them).
bench-live: install
	$(BIN)/python -m tests.benchmarks.live $(BENCH)

# Clips per second of training steps, beside Distil-Whisper's; BENCH="--steps 20" for longer.
bench-train: install
	$(BIN)/python -m tests.benchmarks.training $(BENCH)

wheel: install
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
