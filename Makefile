# Two commands for a newcomer: `make quickstart` and `make test`. The rest is for those who work here.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart test lint format benchmarks clean

help:
	@echo "make quickstart   set up, run the main job on 2-D data and digits, print the report"
	@echo "make test         set up and run the tests"
	@echo "make lint         ruff, pyright and the import contracts"
	@echo "make format       let ruff put the code in order"
	@echo "make benchmarks   the scripts under benchmarks/ (minutes)"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

quickstart: $(READY)
	$(BIN)/sgmkit bench --solvers euler,ssem,heun,ddim,rk45 --seeds 5
	$(BIN)/sgmkit bench --solvers euler,ssem,ddim --data digits --samples 297 --seeds 5 --nfe 20,50 \
	    --evaluators sliced-wasserstein,energy-distance
	$(BIN)/sgmkit report
	$(BIN)/sgmkit report --out report/error.png
	$(BIN)/python benchmarks/digits.py --out report/digits.png

# One thread: the tensors of the tests are small, and threads would wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(READY)
	for name in convergence cld digits overhead noise; do \
	    echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
