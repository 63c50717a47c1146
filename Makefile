# birdflow: `make demo` shows it at work, `make test` checks it. Needs Python 3.11+ and make.
PYTHON ?= python3
STORE ?= demo/store
WORK ?= ladder
BIN = .venv/bin

# Where bytecode is not to be kept, each of the tests' hundreds of processes would compile our modules
# anew, and pytest rewrite every file of tests: eight seconds of each worker alone.
test drills: export PYTHONDONTWRITEBYTECODE =

.PHONY: install demo test drills lint bench ladder ui clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "birdflow needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	$(BIN)/birdflow demo

test: install
	$(BIN)/pytest -n 3 --dist loadgroup --no-loadscope-reorder --ignore=tests/drills

drills: install
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder tests/drills

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks.speech
	$(BIN)/python -m benchmarks.mel
	$(BIN)/python -m benchmarks.auc
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.losses

ladder: install
	@test -n "$(DATA)" || { echo "say which recordings: make ladder DATA=DIR"; exit 1; }
	$(BIN)/python -m benchmarks.ladder --data $(DATA) --work $(WORK) $(if $(ARCHIVE),--archive $(ARCHIVE))

ui: install
	$(BIN)/birdflow ui --store '$(STORE)'

clean:
	rm -rf .venv demo build *.egg-info
