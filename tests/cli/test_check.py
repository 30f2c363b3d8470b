"""`sgmkit check`: what it prints, and its status; the measured facts of a solver."""

import pytest
from support.throwaway import hook, write_distribution

from sgmkit import registry
from sgmkit.cli.app import main


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


def test_check_prints_what_it_measured(capsys):
    assert main(["check", "uniform"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "skip") for line in lines[:-1])
    assert any("grid uniform" in line and len(line.split()) > 4 for line in lines[:-1])
    assert lines[-1].startswith(f"{len(lines) - 1} checks: ")
    assert lines[-1].endswith(", 0 failed")


def test_check_of_a_broken_component_fails(broken, capsys):
    assert main(["check", "bad"]) == 2
    out, err = capsys.readouterr()
    assert any(line.startswith("fail ") and "no luck today" in line for line in out.splitlines())
    assert err.startswith("sgmkit: bad: ")
    assert err.endswith(" checks failed\n")
