"""What a cell is, what it costs, and who shares what."""

import json
import math
from dataclasses import replace

import pytest
import torch
from support.bench_fixtures import FAST, SMALL, columns_of, hashes, picked

from sgmkit import registry
from sgmkit.benching import cells


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "--solvers heun,ssem --sde vp,cld --nfe 4,6",
            "--nfe 6,4 --sde cld,vp --solvers ssem,heun",
        ),
        ("--solvers ssem", "--solvers sscs"),
        ("--solvers ssem", "--solvers solvers/ssem"),
        ("--solvers heun", "--solvers heun:churn=0"),
        ("--solvers heun:churn=0.5:s_noise=1.1", "--solvers heun:s_noise=1.10:churn=5e-1"),
        ("--solvers heun --nfe 10", "--solvers heun --steps 5"),
        ("--solvers heun --nfe 11", "--solvers heun --steps 5"),
        ("--solvers heun --last mean --nfe 11", "--solvers heun --last mean --steps 5"),
        ("--solvers rk45 --tol 1e-4", "--solvers rk45:rtol=1e-4:atol=1e-4 --tol 1e-2"),
        ("--solvers rk45 --grid edm", "--solvers rk45 --grid uniform --nfe 7"),
        ("--solvers heun --sde vp", "--solvers heun --sde sdes/vp:beta_min=0.1"),
        ("--solvers heun --data 8gaussians", "--solvers heun --data eight-gaussians:std=.1"),
        ("--solvers heun --grid logsnr", "--solvers heun --grid solvers/logsnr"),
        ("--solvers heun", "--solvers heun --t-min 0.001"),
        ("--solvers heun --evaluators mmd", "--solvers heun --evaluators energy,mmd,nll"),
        ("--solvers heun --tol 1e-2", "--solvers heun --tol 1e-4"),
    ],
)
def test_a_cell_has_one_hash_however_it_is_spelt(planned, one, other):
    first, second = (hashes(planned(text)) for text in (one, other))
    assert sorted(first) == sorted(second)
    assert len(set(first)) == len(first)


def test_every_axis_makes_another_cell(planned):
    base = "--solvers heun --sde vp --steps 5 --seeds 1 --samples 8"
    others = (
        "--solvers ddim|--solvers heun:churn=0.5|--sde cld|--sde vp:beta_max=10|--steps 6|"
        "--samples 9|--grid uniform|--grid edm|--grid edm:rho=5|--t-min 0.01|--last mean|"
        "--start exact|--data two-moons|--data eight-gaussians:std=0.2|"
        "--model exact:bandwidth=0.1|--model exact:dtype=float32|--solvers rk45|"
        "--solvers rk45 --tol 1e-4|--solvers rk45:rtol=1e-4|--solvers rk45 --last mean"
    )
    hashes_of_all = hashes(planned(base))
    for other in others.split("|"):
        hashes_of_all += hashes(planned(f"{base} {other}"))
    seeds = hashes(planned(f"{base} --seeds 2"))
    assert seeds[0] == hashes_of_all[0]
    hashes_of_all += seeds[1:]
    assert len(hashes_of_all) == 22
    assert len(set(hashes_of_all)) == 22


def test_machine_and_versions_are_no_part_of_a_cell(planned, monkeypatch):
    plan = planned(f"--solvers heun,rk45 {SMALL}")
    jobs = list(cells.jobs_of(plan))
    before = [job.hash for job in jobs]
    description = next(job.description for job in jobs if job.description["scope"] == "cell")
    assert set(description) == {
        *("scope", "model", "run", "dtype", "solver", "grid"),
        *("t_min", "last", "start", "seed", "steps", "n"),
    }
    assert description["dtype"] == "float64"
    churn = {"churn": 0.0, "s_min": 0.0, "s_max": "Infinity", "s_noise": 1.0, "alpha": 1.0}
    assert description["solver"] == {"name": "solvers/heun", **churn}
    assert description["grid"] == {"name": "solvers/logsnr"}
    assert description["model"]["sde"]["name"] == "sdes/vp"
    assert description["model"]["data"]["std"] == 0.1
    assert jobs[1].columns["device"] == "cpu"
    assert torch.__version__ in jobs[1].columns["versions"]
    descriptions = json.dumps([job.description for job in jobs])
    assert "cpu" not in descriptions
    assert torch.__version__ not in descriptions
    newer = [replace(solver, version="99") for solver in plan.solvers]
    monkeypatch.setattr(torch, "__version__", "99")
    jobs = list(cells.jobs_of(replace(plan, solvers=newer)))
    assert "99" in jobs[1].columns["versions"]
    assert [job.hash for job in jobs] == before


def test_a_model_does_not_change_with_the_samples(planned):
    few, many = (planned(f"--solvers euler --evaluators nll --samples {n}") for n in (2, 2000))
    assert hashes(few, "model") == hashes(many, "model")
    assert not hashes(few)


def test_items_of_a_model_are_not_those_of_the_cells(run):
    done = run("--solvers euler --sde vp --samples 2 --evaluators nll:num=9:tol=1e-2")
    assert picked(done.frame, metric="nll-ode[num=9:tol=0.01]").n == 9
    assert done.counts["all"] == 1


def test_options_of_a_model_show_in_its_name(planned):
    plan = planned(f"--solvers heun {SMALL} --model exact:bandwidth=0.2")
    models = {getattr(columns, "model", "") for columns in columns_of(plan)}
    assert models == {"exact:bandwidth=0.2", ""}
    plan = planned("--solvers heun --sde vp:beta_max=9 --data two-moons:std=0.2")
    row = columns_of(plan)[0]
    assert (row.model, row.sde, row.data) == ("exact", "vp:beta_max=9", "two-moons:std=0.2")


def test_a_cell_in_a_plan_twice_is_one(run):
    done = run(f"--solvers euler,em,heun --nfe 4,5,5 {FAST}")
    assert done.counts["all"] == 2 + 1 + 1  # euler at 4 and 5, heun at 4, the floor


def test_tolerances_are_the_budget_and_other_options_are_shown(planned, parts):
    solvers = "rk45:rtol=1e-4:atol=1e-4,rk45,rk45:atol=1e-2,supple:safety=0.5,loose"
    plan = planned(f"--solvers {solvers} --tol 1e-2,1e-3 {FAST}")
    rows = [columns for columns in columns_of(plan) if columns.scope == "cell"]
    assert [(row.solver, row.options, row.budget, row.grid, row.steps) for row in rows] == [
        ("rk45", "", "tol=0.0001", "", None),
        ("rk45", "", "tol=0.01", "", None),
        ("rk45", "", "tol=0.001", "", None),
        ("rk45", "atol=0.01", "tol=0.001", "", None),
        ("supple", "safety=0.5", "tol=0.01", "", None),
        ("supple", "safety=0.5", "tol=0.001", "", None),
        ("loose", "", "", "", None),
    ]


def test_budgets_are_kept_and_counted(run, monkeypatch):
    counted = []
    target = registry.load("model", "exact")
    eps = target.eps
    monkeypatch.setattr(target, "eps", lambda self, u, t: counted.append(len(u)) or eps(self, u, t))
    solvers = "euler,heun,ssem:kick=midpoint,rk45"
    done = run(f"--solvers {solvers} --nfe 1,2,3,6 --last mean {SMALL} --evaluators nfe")
    cells_of = {"euler": {}, "heun": {}, "ssem": {}, "rk45": {}}
    for row in done.frame.itertuples():
        spent = row.nfe if row.status == "ok" else row.status
        cells_of[row.solver][row.budget] = (spent, row.steps)
    (tolerance,) = cells_of.pop("rk45")
    assert tolerance == "tol=0.001"
    poor, one, two = ("n/a", 0), (3.0, 1), (5.0, 2)
    assert cells_of == {
        "euler": {"nfe=1": poor, "nfe=2": (2.0, 1), "nfe=3": (3.0, 2), "nfe=6": (6.0, 5)},
        "heun": {"nfe=1": poor, "nfe=2": poor, "nfe=3": one, "nfe=5": two},
        "ssem": {"nfe=1": poor, "nfe=2": poor, "nfe=3": one, "nfe=5": two},
    }
    ok = done.frame[done.frame.status == "ok"]
    assert (ok.value == ok.nfe).all()
    assert sum(counted) == pytest.approx(8 * ok.nfe.sum())
    poor = picked(done.frame, solver="heun", budget="nfe=2")
    assert poor.reason == "nfe=2 does not pay for one step of heun"
    assert math.isnan(poor.nfe)
    assert done.counts == {"all": 13, "computed": 8, "found": 0, "not": 5, "failed": 0}
