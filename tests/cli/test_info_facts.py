"""`sgmkit info`: what a solver declares, beside what is measured; options where the name is."""

import re

import pytest
from support.throwaway import hook, run_python, write_distribution

from sgmkit import registry
from sgmkit.cli.app import main

PARTS = '''
from dataclasses import dataclass
from sgmkit import Solver, StepSolver

@dataclass(frozen=True)
class Boast(StepSolver):
    """Euler, and much ado."""
    size: float = 1.0
    order = 2
    cost = 3
    citation = "Baron 1785"
    def supports(self, sde):
        return "three are a crowd" if sde.phases == 3 else None
    def step(self, rev, u, t, s):
        return u + (s - t) * rev.velocity(u, t)

@dataclass(frozen=True)
class Picky(StepSolver):
    """Never content."""
    size: float = 1.0
    def __post_init__(self):
        raise ValueError("no size is right")
    def step(self, rev, u, t, s): ...
'''


@pytest.fixture
def parts(tmp_path, monkeypatch):
    names = (
        '"solver", "boast", "tw_info.parts:Boast", ""',
        '"solver", "picky", "tw_info.parts:Picky", ""',
    )
    write_distribution(tmp_path, "tw_info", {"tw_info": hook(*names), "tw_info.parts": PARTS})
    monkeypatch.syspath_prepend(tmp_path)
    registry.reset()
    yield
    monkeypatch.undo()
    registry.reset()


def facts(text):
    """The rows of the table of facts; lines that wrap are joined."""
    rows, last = {}, ""
    _, _, table = text.partition(" fact ")
    for line in table.partition("citation:")[0].splitlines()[2:]:
        name, *cells = re.split("  +", line.strip())
        if line.startswith("  "):
            rows[last][-1] += f" {name}"
        elif name:
            last, rows[name] = name, cells
    return rows


def test_declared_and_measured_facts(capsys):
    assert main(["info", "solver", "ssem:kick=midpoint"]) == 0
    out = capsys.readouterr().out
    (option,) = (line.split() for line in out.splitlines() if line.startswith(" kick "))
    assert option[:6] == ["kick", "euler", "|", "midpoint", "euler", "midpoint"]
    measured = facts(out)
    declared, measured_order = measured["order (weak)"]
    assert declared == "2"
    orders = re.findall(r"([\d.]+) k=(\d)", measured_order)
    assert [int(k) for _, k in orders] == [1, 1, 2, 2, 3]
    assert all(float(order) > 1.7 for order, _ in orders)
    assert measured["calls a step"] == ["2", "2 calls a step, as counted by the network"]
    assert measured["stochastic"] == ["yes", "draws noise"]
    assert measured["adaptive"] == ["no"]
    assert measured["coupled batch"][0] == "no"
    assert "\ncitation: " in out
    assert (
        "\nrefuses k=1 (Bend): ssem needs constant matrices on a clock, which Bend has not\n" in out
    )


def test_options_change_what_is_measured(capsys):
    assert main(["info", "solver", "ssem"]) == 0
    measured = facts(capsys.readouterr().out)
    assert measured["order (weak)"][0] == "1"
    assert measured["calls a step"] == ["1", "1 calls a step, as counted by the network"]


def test_an_adaptive_solver(capsys):
    assert main(["info", "solver", "rk45"]) == 0
    measured = facts(capsys.readouterr().out)
    assert measured["order (strong)"][0] == "5"
    assert "(error against calls)" in measured["order (strong)"][1]
    assert measured["adaptive"] == ["yes", "only the ends matter"]


def test_a_declaration_that_is_wrong_stands_beside_what_is_measured(parts, capsys):
    assert main(["info", "solver", "boast"]) == 0
    out = capsys.readouterr().out
    measured = facts(out)
    assert measured["order (strong)"][1].startswith("fail: declared 2, measured 1.0")
    assert measured["calls a step"][1].startswith("fail: declared 3 x 1 steps, counted [1")
    assert "\ncitation: Baron 1785\nrefuses k=3 (Triple): three are a crowd\n" in out


def test_a_solver_that_cannot_be_built_is_shown_all_the_same(parts, capsys):
    assert main(["info", "solver", "picky:size=2"]) == 0
    out = capsys.readouterr().out
    assert "Never content." in out
    assert out.endswith("not measured: solver 'picky': no size is right\n")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "solver heun:chrn=1",
            "unknown option 'chrn' for solver 'heun'; did you mean 'churn'? "
            "(options: churn, s_min, s_max, s_noise, alpha)",
        ),
        (
            "solver heun:churn=x",
            "option 'churn' of solver 'heun': input should be a valid number, not 'x'",
        ),
        ("model exact:sde=vpp", "no sde named 'vpp'; did you mean 'vp'? {shown}"),
    ],
)
def test_a_wrong_option_is_one_line(capsys, spec, message):
    assert main(["info", *spec.split()]) == 2
    shown = f"(sgmkit list sde shows all {len(registry.offers('sde'))})"
    assert capsys.readouterr() == ("", f"sgmkit: {message.replace('{shown}', shown)}\n")


def test_other_kinds_are_not_measured(tmp_path):
    code = (
        "import sys; from sgmkit.cli.app import main;"
        "main(['info', 'evaluator', 'energy-distance']);"
        "main(['info', 'sde', 'vp:beta_min=1']); sys.exit('sgmkit.testing' in sys.modules)"
    )
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
