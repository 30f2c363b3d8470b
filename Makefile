# Two commands for a newcomer: `make quickstart` and `make test`. The rest is for those who work here.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart digits-lsgm toys test lint format benchmarks clean

help:
	@echo "make quickstart   set up, train on digits, bench that and 2-D data, print the report"
	@echo "make test         set up and run the tests"
	@echo "make lint         ruff, pyright and the import contracts"
	@echo "make format       let ruff put the code in order"
	@echo "make benchmarks   the scripts under benchmarks/ (minutes)"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# Whatever is there already is not done again: --resume goes on with a run, a bench with its cells.
quickstart: $(READY)
	@$(MAKE) --no-print-directory -j2 digits-lsgm digits-cld digits-vp toys
	$(BIN)/sgmkit report
	$(BIN)/sgmkit report --out report/error.png
	$(BIN)/sgmkit sample runs/digits-vp --out report/digits-vp.png
	$(BIN)/sgmkit sample runs/digits-cld --out report/digits-cld.png --trajectory
	$(BIN)/sgmkit sample runs/digits-lsgm --out report/digits-lsgm.png

# Side by side on one thread each: what is this small only loses on two.
SOLVERS := euler,ssem,heun,ddim,rk45
digits-%: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/sgmkit train --sde $* --set model.prediction=v --steps 1000 \
	    --set train.lr=2e-3 --set train.warmup=100 --out runs/digits-$* --resume
	OMP_NUM_THREADS=1 $(BIN)/sgmkit bench runs/digits-$* --solvers $(SOLVERS) --nfe 10,20,50 --samples 297

# A latent model: LSGM, whose prior is a diffusion with velocities.
digits-lsgm: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/sgmkit train --recipe recipes/digits-lsgm.toml --out runs/$@ --resume
	OMP_NUM_THREADS=1 $(BIN)/sgmkit bench runs/$@ --solvers ssem,ddim --nfe 10,20,50 --samples 297

toys: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/sgmkit bench --data eight-gaussians --solvers $(SOLVERS)

# One thread in each process: the tensors of the tests are small, and threads would wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(READY)
	for name in orders convergence forms cld digits overhead noise training features matching variance; do \
	    echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
