"""`sgmkit bench`: what it prints; --fresh; failures of components."""

import json
from pathlib import Path

import pytest
from support.throwaway import hook, write_distribution

from sgmkit import registry
from sgmkit.cli.app import main

BENCH = ["bench", "--sde", "vp", "--nfe", "4", "--samples", "16", "--seeds", "1"]
BENCH += ["--evaluators", "energy-distance"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cells():
    return {path.name: path.read_text() for path in Path("results").glob("*.json")}


def test_fresh_computes_stored_cells_again(capsys):
    assert main([*BENCH, "--solvers", "ddim"]) == 0
    before = cells()
    name, text = next((n, t) for n, t in before.items() if '"scope": "cell"' in t)
    payload = json.loads(text)
    payload["rows"][0]["value"] = 1e6  # as if the solver had been another one
    Path("results", name).write_text(json.dumps(payload))
    assert main([*BENCH, "--solvers", "ddim"]) == 0
    assert json.loads(cells()[name])["rows"][0]["value"] == 1e6
    assert main([*BENCH, "--solvers", "ddim", "--fresh"]) == 0
    assert json.loads(cells()[name])["rows"][0]["value"] == json.loads(text)["rows"][0]["value"]
    assert capsys.readouterr().out.splitlines() == [
        "2 cells: 2 computed, 0 found, 0 not applicable, 0 failed (sgmkit report shows them)",
        "2 cells: 0 computed, 2 found, 0 not applicable, 0 failed (sgmkit report shows them)",
        "2 cells: 2 computed, 0 found, 0 not applicable, 0 failed (sgmkit report shows them)",
    ]


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A solver that always fails, and an evaluator that states no metrics."""
    site = tmp_path / "site"
    parts = (
        "from sgmkit import Evaluator, Solver\n"
        "class Bad(Solver):\n"
        "    def solve(self, rev, u, grid): raise RuntimeError('no luck today')\n"
        "class Mute(Evaluator):\n"
        "    def evaluate(self, ctx): return []\n"
    )
    plugin = hook(
        '"solver", "bad", "tw_bad.parts:Bad", ""', '"evaluator", "mute", "tw_bad.parts:Mute", ""'
    )
    write_distribution(site, "tw_bad", {"tw_bad": plugin, "tw_bad.parts": parts})
    monkeypatch.syspath_prepend(site)
    registry.reset()
    yield
    monkeypatch.undo()
    registry.reset()


def test_failures_are_reported_once_and_end_in_status_one(broken, capsys):
    assert main([*BENCH, "--solvers", "bad,ddim", "--nfe", "4,8"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "failed: RuntimeError: no luck today (tw_bad/parts.py:3) "
        "(eight-gaussians vp bad logsnr nfe=4 seed 0 and 1 more)"
    ]
    assert out.splitlines() == [
        "5 cells: 3 computed, 0 found, 0 not applicable, 2 failed (sgmkit report shows them)"
    ]


def test_the_traceback_of_a_failure_is_printed_on_request(broken, capsys):
    assert main([*BENCH, "--solvers", "bad,ddim", "--nfe", "4,8", "--traceback"]) == 1
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("failed: RuntimeError: no luck today (tw_bad/parts.py:3) (")
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: no luck today"
    assert any("tw_bad/parts.py" in line and "line 3, in solve" in line for line in lines)
    assert lines.count(lines[0]) == 1  # one reason, two cells
    # A failure is tried again: its traceback is there whenever somebody wants to see it.
    assert main([*BENCH, "--solvers", "bad", "--traceback"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_evaluator_without_metrics_is_refused(broken, capsys):
    assert main([*BENCH, "--solvers", "ddim", "--evaluators", "mute"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: evaluator 'mute' states no metrics: "
        'metrics = (Metric("radius", better="lower"),)\n'
    )
    assert not Path("results").exists()
