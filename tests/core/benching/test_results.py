"""Results as a DataFrame."""

import pytest
from support.report_rows import message

from sgmkit.benching.results import load_results, to_frame, without_timing
from sgmkit.benching.rows import TIMING_COLUMNS, Row
from sgmkit.benching.store import Store
from sgmkit.errors import UnknownName

CELL = {"sde": {"name": "cld", "gamma": 0.04}, "steps": 50, "seed": 0}


def row(**changes):
    return Row(
        **{"metric": "energy", "solver": "euler", "value": 0.5, "seed": 0, "hash": "ab12"} | changes
    )


def test_load_results_takes_directories_and_files(tmp_path):
    store = Store(tmp_path / "results")
    for seed in (1, 0):
        hash = f"{seed}" * 4
        store.write(hash, CELL, [row(seed=seed, hash=hash), row(metric="a", seed=seed, hash=hash)])
    by_parent = load_results(tmp_path)
    assert by_parent.equals(load_results(str(store.directory)))
    assert by_parent.equals(load_results(store.path("1111"), store.path("0000")))
    assert by_parent.equals(load_results(tmp_path, store.directory, store.path("0000")))
    assert list(by_parent["seed"]) == [0, 0, 1, 1]
    assert list(by_parent["metric"]) == ["a", "energy"] * 2
    assert len(load_results(store.path("1111"))) == 2


def test_load_results_takes_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName) as error:
        load_results()
    assert message(error) == "no results at '.'; run sgmkit bench first"
    Store("results").write("ab12", CELL, [row()])
    assert len(load_results()) == 1


def test_frame_is_typed_and_its_order_is_fixed():
    rows = [
        row(solver=solver, nfe=nfe, seed=seed, hash=f"{solver}{nfe}{seed}")
        for solver in ("heun", "euler")
        for nfe in (100.0, 20.0)
        for seed in (1, 0)
    ]
    frame = to_frame(rows)
    assert frame.equals(to_frame(rows[::-1]))
    assert list(frame["nfe"]) == [20.0, 20.0, 100.0, 100.0] * 2
    assert {name: str(frame[name].dtype) for name in ("steps", "nfe", "seed", "value")} == {
        "steps": "Int64",
        "nfe": "float64",
        "seed": "Int64",
        "value": "float64",
    }
    assert to_frame([]).dtypes.equals(frame.dtypes)


def test_without_timing_keeps_what_two_runs_share():
    def run(seconds):
        clock = row(metric="time", value=seconds, seconds_per_sample=seconds)
        return to_frame([row(seconds_per_sample=seconds), clock])

    assert not run(0.1).equals(run(0.2))
    assert without_timing(run(0.1)).equals(without_timing(run(0.2)))
    assert list(without_timing(run(0.1))["metric"]) == ["energy"]
    assert set(TIMING_COLUMNS) <= set(run(0.1).columns)
