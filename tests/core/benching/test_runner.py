"""Who shares what, what goes wrong, and what then does not."""

import json
import math
import shutil
import weakref
from collections import Counter
from dataclasses import replace

import pytest
import torch
from support.bench_fixtures import FAST, SMALL, contexts, picked, place
from support.train_fixtures import train

from sgmkit import SeededNoise, registry
from sgmkit.benching import runner as bench
from sgmkit.benching.results import load_results, without_timing
from sgmkit.benching.rows import Row
from sgmkit.benching.store import Store
from sgmkit.cli import app as cli
from sgmkit.models import sampling
from sgmkit.training.recipe import Experiment


@pytest.mark.parametrize("start", ["prior", "exact"])
def test_all_solvers_of_a_seed_start_from_the_same_state(planned, start):
    plan = planned(
        "--solvers euler,heun,rk45 --grid uniform,quadratic --nfe 2 --tol 1 --sde cld --seeds 2 "
        f"--samples 6 --evaluators energy --start {start}"
    )
    states = {0: [], 1: []}
    for row, context in contexts(plan):
        if row.scope == "cell":
            states[row.seed].append(context.u_T)
    assert [len(each) for each in states.values()] == [5, 5]
    for seed, each in states.items():
        model = plan.subjects[0].load().model
        assert torch.equal(each[0], model.start(SeededNoise(seed, range(6)), start))
        assert each[0].shape == (6, 2, 2)
        assert all(torch.equal(state, each[0]) for state in each)
    assert not torch.isclose(states[0][0], states[1][0]).any()
    more = contexts(replace(plan, samples=9))[0][1].u_T
    assert torch.equal(more[:6], states[0][0])


@pytest.mark.parametrize("batch", [4096, 3])
def test_steps_draw_from_the_stream_of_their_seed(planned, parts, monkeypatch, batch):
    monkeypatch.setattr(sampling, "batch_size", lambda model: batch)
    plan = planned("--solvers spy --nfe 1,2 --sde cld --samples 7 --seeds 2")
    for row, context in contexts(plan):
        if row.scope == "cell":
            noise = SeededNoise(row.seed, range(7)).stream("step")
            assert torch.equal(context.u_0, noise(torch.empty(7, 2, 2, dtype=torch.float64)))


@pytest.mark.parametrize("data", ["two-moons", "digits"])
def test_samples_do_not_depend_on_their_batch(planned, monkeypatch, data):
    plan = planned(
        "--solvers euler,ssem,heun:churn=1,rk45 --nfe 4 --tol 1 --grid uniform --sde cld --seeds 1 "
        f"--samples 10 --data {data} --evaluators energy"
    )
    whole = contexts(plan)
    monkeypatch.setattr(sampling, "batch_size", lambda model: 4)
    for (row, one), (_, other) in zip(whole, contexts(plan), strict=True):
        assert torch.allclose(one.samples, other.samples, rtol=1e-9, atol=1e-9)
        if row.scope == "cell":
            assert torch.equal(one.cell.nfe, other.cell.nfe)
            assert torch.equal(one.u_T, other.u_T)


def test_one_reference_for_all_cells_of_a_seed(planned):
    plan = planned(
        "--solvers euler,rk45 --nfe 1,2 --tol 1 --sde vp,cld --seeds 2 --samples 20 "
        "--evaluators energy"
    )
    drawn = {0: [], 1: []}
    for row, context in contexts(plan):
        drawn[row.seed].append(context.reference(20))
        if row.scope == "floor":
            assert row.n == len(context.samples) == 20
            assert not torch.isin(context.samples, context.reference(20)).any()
    assert [len(each) for each in drawn.values()] == [7, 7]
    for each in drawn.values():
        assert all(torch.equal(data, each[0]) for data in each)
    assert not torch.isin(drawn[0][0], drawn[1][0]).any()


def test_floor_of_finite_data_is_train_against_test(planned):
    plan = planned(
        "--solvers euler --nfe 1 --sde vp --seeds 2 --data digits --samples 300 --evaluators mmd"
    )
    floors = [context for row, context in contexts(plan) if row.scope == "floor"]
    data = registry.create("dataset", "digits")
    train, test = (data.items(split).x.flatten(1) for split in ("train", "test"))
    for context in floors:
        fresh, reference = context.samples.flatten(1), context.reference(300).flatten(1)
        assert len(fresh) == len(reference) == 297
        assert (torch.cdist(fresh, train) == 0).any(1).all()
        assert (torch.cdist(reference, test) == 0).any(1).all()
    assert not torch.equal(floors[0].samples, floors[1].samples)
    assert [context.samples.unique(dim=0).shape[0] for context in floors] == [297, 297]


def test_rows_of_finite_data_say_their_n(run):
    done = run(
        f"--solvers euler --nfe 1 --data digits {SMALL} --samples 300 --evaluators energy,nfe"
    )
    assert picked(done.frame, solver="floor").n == 297
    assert picked(done.frame, solver="euler", metric="energy-distance").n == 297
    assert picked(done.frame, solver="euler", metric="nfe").n == 300


def test_floor_measures_nothing(run):
    frame = run(f"--solvers euler --nfe 1 {FAST} --seeds 4 --samples 400").frame
    floor = frame[frame.scope == "floor"]
    assert len(floor) == 4
    assert ((floor.ci_low < 0) & (floor.ci_high > 0)).sum() >= 3
    assert floor.value.abs().max() < 0.2 * frame[frame.scope == "cell"].value.min()


def test_incompatible_cells_are_rows_with_a_reason(run):
    done = run(f"--solvers euler,ssem --nfe 3 {FAST} --sde subvp")
    row = picked(done.frame, solver="ssem")
    assert (row.status, row.metric) == ("n/a", "energy-distance")
    assert row.reason == "ssem needs constant matrices on a clock, which SubVP has not"
    assert math.isnan(row.value)
    assert picked(done.frame, solver="euler").status == "ok"
    assert done.counts == {"all": 3, "computed": 2, "found": 0, "not": 1, "failed": 0}
    assert done.err == ""
    assert run(f"--solvers ssem --nfe 3 {FAST} --sde subvp").counts["found"] == 2


def test_what_breaks_breaks_alone_and_is_tried_again(run, parts, tmp_path):
    command = f"--solvers vandal,boom,nan,odd,euler --nfe 3 {FAST}"
    done = run(command)
    reasons = {
        row.solver: (row.status, row.reason)
        for row in done.frame.itertuples()
        if row.status != "ok"
    }
    assert reasons == {
        "boom": ("failed", f"RuntimeError: second line {place('raise RuntimeError')}"),
        "nan": ("failed", "2 of 8 samples are not finite"),
        "odd": ("failed", f"KeyError: 'weather' {place('raise KeyError')}"),
        "vandal": ("failed", f"ZeroDivisionError: by hand {place('raise ZeroDiv')}"),
    }
    assert done.counts == {"all": 6, "computed": 2, "found": 0, "not": 0, "failed": 4}
    assert done.err.splitlines()[1] == (
        f"failed: RuntimeError: second line {place('raise RuntimeError')} "
        "(eight-gaussians vp boom logsnr nfe=3 seed 0)"
    )
    assert len(done.err.splitlines()) == 4
    alone = run(f"--solvers euler --nfe 3 {FAST} --out {tmp_path / 'alone'}")
    assert alone.counts["computed"] == 2
    lone = load_results(tmp_path / "alone")
    assert picked(lone, solver="euler").value == picked(done.frame, solver="euler").value
    again = run(command)
    assert again.counts == {"all": 6, "computed": 0, "found": 2, "not": 0, "failed": 4}
    parts.BROKEN = False
    mended = run(command)
    assert mended.counts == {"all": 6, "computed": 3, "found": 2, "not": 0, "failed": 1}
    assert picked(mended.frame, solver="boom").status == "ok"
    assert len(mended.frame) == 6


def test_an_evaluator_that_breaks_spares_the_others(run, parts):
    command = f"--solvers euler --nfe 3 {SMALL} --evaluators"
    done = run(f"{command} bad,energy,undeclared,sum,picky")
    rows = {row.metric: row for row in done.frame.itertuples() if row.scope != "floor"}
    assert {name: row.status for name, row in rows.items()} == {
        **{"bad": "failed", "worse": "failed", "radius": "failed"},
        **{"energy-distance": "ok", "sum": "ok", "picky": "n/a"},
    }
    assert rows["worse"].reason == f"ValueError: no luck {place('raise ValueError')}"
    assert (rows["worse"].better, rows["worse"].unit) == ("higher", "x")
    assert rows["picky"].reason == "not for the likes of you"
    assert rows["sum"].n == 3
    assert (rows["worse"].nfe, rows["worse"].steps) == (3.0, 3)
    parts.BROKEN = False
    # One more evaluator: what failed before and is not asked for again stays as it is.
    more = run(f"{command} mmd,undeclared").frame
    assert picked(more, metric="bad").reason == rows["worse"].reason
    assert picked(more, metric="radius").reason == "undeclared declares radius and gave worse, bad"
    mended = run(f"{command} bad,energy,sum,picky")
    assert mended.counts == {"all": 3, "computed": 1, "found": 2, "not": 0, "failed": 0}
    assert picked(mended.frame, metric="worse").value == 2.0
    assert picked(mended.frame, metric="bad").value == 1.0


def test_one_line_for_what_fails_in_one_way(run, parts):
    done = run(f"--solvers boom --nfe 3,4 {SMALL} --seeds 3 --evaluators nfe")
    assert done.err == (
        f"failed: RuntimeError: second line {place('raise RuntimeError')} "
        "(eight-gaussians vp boom logsnr nfe=3 seed 0 and 5 more)\n"
    )


def test_fresh_computes_again_and_drops_what_is_old(run, parts):
    """After a change of code, which no hash covers: another metric's row is of the old code too."""
    command = f"--solvers euler,boom --nfe 3 {SMALL} --evaluators"
    parts.BROKEN = False
    run(f"{command} energy,nfe,seconds")
    parts.BROKEN = True
    done = run(f"{command} nfe,seconds")
    assert done.counts == {"all": 2, "computed": 0, "found": 2, "not": 0, "failed": 0}
    done = run(f"{command} nfe,seconds --fresh")
    assert done.counts == {"all": 2, "computed": 1, "found": 0, "not": 0, "failed": 1}
    cells_ = done.frame[done.frame.scope == "cell"]
    assert sorted(zip(cells_.solver, cells_.metric, cells_.status, strict=True)) == [
        ("boom", "nfe", "failed"),
        ("boom", "seconds", "failed"),
        ("euler", "nfe", "ok"),
        ("euler", "seconds", "ok"),
    ]


def test_two_evaluators_of_one_name_are_refused(run, parts, capsys, tmp_path):
    command = f"bench --solvers euler --nfe 3 {SMALL} --evaluators energy,bench_parts/twin"
    assert cli.main(command.split()) == 2
    assert capsys.readouterr().err == (
        "sgmkit: evaluators 'energy-distance' and 'twin' both measure 'energy-distance'; "
        "choose one\n"
    )
    assert not (tmp_path / "results").exists()
    done = run(
        f"--solvers euler --nfe 3 {SMALL} --evaluators sum,energy,mmd,bench_parts/sum,energy"
    )
    files = (tmp_path / "results").glob("*.json")
    rows = [row["metric"] for path in files for row in json.loads(path.read_text())["rows"]]
    assert sorted(rows) == ["energy-distance", "energy-distance", "mmd2", "mmd2", "sum"]
    versions = {row.metric: row.versions for row in done.frame.itertuples()}
    assert versions["sum"] == f"bench_parts 1.0, {versions['mmd2']}"
    assert f"torch {torch.__version__}" in versions["sum"]


def test_evaluators_are_added_to_what_is_there(run):
    command = f"--solvers rk45,euler --nfe 3 {SMALL} --evaluators"
    first = run(f"{command} energy,seconds")
    second = run(f"{command} mmd")
    assert second.counts["computed"] == 3
    old = second.frame[second.frame.metric != "mmd2"].reset_index(drop=True)
    assert old.equals(first.frame)  # the measured seconds too: nothing was computed again
    assert (second.frame.metric == "mmd2").sum() == 3
    third = run(f"{command} seconds,mmd,energy")
    assert third.counts == {"all": 3, "computed": 0, "found": 3, "not": 0, "failed": 0}
    assert third.frame.equals(second.frame)


def test_rows_that_another_process_adds_meanwhile_are_kept(planned, tmp_path, monkeypatch):
    plan = planned(f"--solvers euler --nfe 3 {FAST}")
    store, compute = Store(tmp_path / "results"), bench.compute

    def slow(job, evaluators):
        store.write(job.hash, job.description, [Row(metric="other", value=1.0, hash=job.hash)])
        return compute(job, evaluators)

    monkeypatch.setattr(bench, "compute", slow)
    bench.run(plan, store, lambda *_: None, bench.Tally())
    frame = load_results(tmp_path)
    assert sorted(frame.metric) == ["energy-distance", "energy-distance", "other", "other"]


def test_a_file_cut_short_is_computed_again(run, tmp_path):
    command = f"--solvers euler --nfe 3 {FAST}"
    frame = run(command).frame
    path = tmp_path / "results" / f"{picked(frame, solver='euler').hash}.json"
    path.write_text(path.read_text()[:100])
    done = run(command)
    assert done.counts == {"all": 2, "computed": 1, "found": 1, "not": 0, "failed": 0}
    assert picked(done.frame, solver="euler").value == picked(frame, solver="euler").value


@pytest.fixture
def loaded(monkeypatch):
    """The models of runs that are in memory, and how often each run's experiment was built."""
    living, loads, build = weakref.WeakSet(), Counter(), Experiment.build

    def counted(self, *args, **options):
        assert len(living) == 0, "the model before is still held"
        model = build(self, *args, **options)
        living.add(model)
        loads[self.seed] += 1
        return model

    def start():
        monkeypatch.setattr(Experiment, "build", counted)
        return living, loads

    return start


def test_one_model_at_a_time_and_each_loaded_once(tiny, loaded):
    """Cells and floors alone, then with likelihoods of the models too."""
    for seed in range(3):
        train("--seed", str(seed), out=f"runs/{seed}")
    living, loads = loaded()
    command = "bench --solvers euler --nfe 2 --samples 4 --seeds 2 --evaluators"
    for evaluators in ("energy-distance", "energy-distance,nll:num=2:tol=1"):
        loads.clear()
        assert cli.main([*command.split(), evaluators]) == 0
        assert loads == {0: 1, 1: 1, 2: 1}
        assert len(living) == 0
    frame = load_results("results")
    assert frame.groupby("scope").hash.nunique().to_dict() == {"cell": 6, "floor": 2, "model": 3}


def test_a_model_that_broke_is_not_held_either(tiny, parts, loaded):
    for seed in range(2):
        train("--seed", str(seed), out=f"runs/{seed}")
    living, loads = loaded()
    command = "bench --solvers boom,euler --nfe 2 --samples 4 --seeds 1 --evaluators bad,energy"
    assert cli.main(command.split()) == 1
    assert (len(living), loads) == (0, {0: 1, 1: 1})


def test_a_copy_of_a_run_is_the_same_cells(tiny, capsys):
    run = train(out="runs/one")
    shutil.copytree(run.path, "runs/two")
    capsys.readouterr()
    command = "bench --solvers euler --nfe 2 --samples 4 --seeds 2 --evaluators energy-distance"
    assert cli.main(command.split()) == 0
    assert capsys.readouterr().out.startswith("4 cells: 4 computed, 0 found")


def test_the_order_of_subjects_and_solvers_changes_no_number(run, tmp_path):
    command = "--nfe 3 --samples 8 --seeds 2 --evaluators energy,nll:num=4:tol=1e-2 --data"
    one = run(f"--solvers euler,rk45 --sde vp,cld {command} eight-gaussians,two-moons")
    other = run(
        f"--solvers rk45,euler --sde cld,vp {command} two-moons,eight-gaussians --out again"
    )
    again = load_results(tmp_path / "again")
    assert other.counts == one.counts
    assert without_timing(again).equals(without_timing(one.frame))
