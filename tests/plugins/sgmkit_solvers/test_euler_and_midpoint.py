"""Euler's method and the midpoint rule: their formulas, and the options that stored cells name."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

import sgmkit
from sgmkit import SeededNoise
from sgmkit.errors import BadValue
from sgmkit.registry import resolve
from sgmkit_exact.exact import Exact
from sgmkit_solvers.euler_and_midpoint import EulerFlow, Midpoint
from sgmkit_solvers.predictor_corrector import PredictorCorrector
from sgmkit_solvers.runge_kutta import RungeKutta


@pytest.mark.parametrize("name", ["vp", "cld"])
def test_they_are_the_tableaux_of_that_name(name):
    """What was stored under these names came from `RungeKutta`: rounding alone differs."""
    sde = SDES[name]
    grid = times(sde, 0.9, 0.6, 0.4, 0.1)
    rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(5)))
    u = numbers(5, sde.phases, 2)
    for solver, method in ((EulerFlow(), "euler"), (Midpoint(), "midpoint")):
        tableau = RungeKutta(method)
        assert (solver.order, solver.cost) == (tableau.order, tableau.cost)
        assert close(solver.solve(rev, u, grid), tableau.solve(rev, u, grid), 1e-13)


def test_descriptions_are_those_of_stored_cells():
    assert resolve("solver", "euler-flow").describe() == {
        "name": "solvers/euler-flow",
        "method": "euler",
        "form": "plain",
        "variable": "t",
    }
    assert resolve("solver", "midpoint").describe() == {
        "name": "solvers/midpoint",
        "method": "midpoint",
        "form": "plain",
        "variable": "t",
    }


@pytest.mark.parametrize(
    ("spec", "instead"),
    [
        ("euler-flow:method=heun", "rk4:method=heun"),
        ("euler-flow:form=data", "rk4:method=euler:form=data"),
        ("midpoint:form=noise:variable=sigma", "rk4:method=midpoint:form=noise:variable=sigma"),
    ],
)
def test_another_option_leads_to_the_solver_that_has_it(spec, instead):
    with pytest.raises(BadValue) as caught:
        sgmkit.create("solver", spec)
    name = spec.partition(":")[0]
    assert (
        str(caught.value) == f"solver {name!r}: this solver takes no other options; use {instead}"
    )
    assert isinstance(sgmkit.create("solver", instead), RungeKutta)


def test_they_are_predictors_too():
    """Corrections of size zero leave the predictor's steps."""
    sde = SDES["vp"]
    grid, u = times(sde, 0.9, 0.6, 0.4), numbers(3, 1, 2)
    rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(3)))
    for predictor in (EulerFlow(), Midpoint()):
        solver = PredictorCorrector(predictor, snr=1e-12)
        assert close(solver.solve(rev, u, grid), predictor.solve(rev, u, grid), 1e-9)
        assert solver.cost == predictor.cost + 1
    assert "earlier steps" in sgmkit.create("solver", "pc:predictor=dpmpp").supports(sde)
    torch.testing.assert_close(u, numbers(3, 1, 2))
