"""What `bench --convergence` measures: known slopes, and reasons where there is none."""

import math

import pytest
import torch

from sgmkit import StepSolver, create
from sgmkit.convergence import ProblemSet, flattened, measure, records, render
from sgmkit.convergence.reference_processes import Both, Decay, Pair, Spread, Triple
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

MIXTURE = flattened(create("dataset", "eight-gaussians:std=0.3").mixture())


TOLERANCES = [1e-2, 1e-4]


def measured(sde, solver, budgets=(16, 32, 64), law=MIXTURE, tolerances=TOLERANCES):
    return measure(ProblemSet(sde, law), "sde", "solver", solver, budgets, tolerances)


@pytest.mark.parametrize(
    ("sde", "solver", "order", "method"),
    [
        (Decay(), Euler(), 1, "quadrature"),
        (Pair(), SSEM(), 1, "quadrature"),  # which draws neighbouring half steps at once
        (Both(), SSEM(kick="midpoint"), 2, "quadrature"),
        (Triple(), SSEM(kick="midpoint"), 2, "Gaussian"),
        (Decay(), Heun(), 2, "flow"),
    ],
)
def test_slopes_are_the_declared_orders(sde, solver, order, method):
    curve = measured(sde, solver)
    value, stderr = curve.slope()
    assert (curve.status, curve.method) == ("ok", method)
    assert abs(value - order) < 0.35
    assert 0 < stderr < 0.3
    assert [point.nfe for point in curve.points] == [16, 32, 64]
    assert all((point.half > 0) == (method != "Gaussian") for point in curve.points)
    assert all((point.floor > 0) == (method == "quadrature") for point in curve.points)
    assert bool(curve.notes) == (method == "Gaussian")
    assert bool(curve.gaussian) == (method in ("quadrature", "Gaussian"))
    if method == "Gaussian":
        assert curve.notes == ["no quadrature: none for 6 numbers drawn in a step"]


def test_a_declaration_that_is_wrong_is_seen():
    class Boast(Euler):
        order = 2

    curve = measured(Decay(), Boast())
    assert curve.order == 2
    assert abs(curve.slope()[0] - 1) < 0.1


def test_gaussian_data_flatter_a_splitting_method():
    curve = measured(Spread(), SSEM(), (32, 64, 128))
    assert curve.slope()[0] < 1.2
    assert curve.gaussian_slope()[0] > 1.9


def test_steps_that_know_their_grid_are_measured_on_gaussian_data():
    curve = measured(Decay(), Heun(churn=2.0))
    assert (curve.status, curve.method) == ("ok", "Gaussian")
    assert curve.notes == ["no quadrature: a step depends on the steps around it"]
    assert [p.error for p in curve.points] == [p.error for p in curve.gaussian]


class Sometimes(StepSolver):
    """Euler-Maruyama, with the noise of late steps drawn in two parts."""

    stochastic = True

    def step(self, rev, u, t, s):
        middle = (t + s) / 2 if t < 0.5 else s
        noise = rev.brownian(u, t, middle)
        if t < 0.5:
            noise = noise + rev.brownian(u, t, middle)
        return u + (t - s) * rev.drift(u, t) + noise


def test_steps_that_draw_unlike_numbers_are_measured_on_gaussian_data():
    curve = measured(Decay(), Sometimes())
    assert (curve.status, curve.method) == ("ok", "Gaussian")
    assert curve.notes == ["no quadrature: not every step draws as many numbers as the first"]


class Uniform(StepSolver):
    """Draws numbers that are not normal: neither quadrature nor an affine map."""

    stochastic = True

    def step(self, rev, u, t, s):
        z = math.sqrt(12) * (rev.noise.uniform(u[:, -1:]) - 0.5)
        push = torch.cat([torch.zeros_like(u[:, :-1]), z], 1)
        noise = rev.sde.diffusion(t)[-1, -1].sqrt() * (t - s).sqrt() * push
        return u + (t - s) * rev.drift(u, t) + noise


def test_what_can_only_be_left_to_chance_has_its_floor():
    curve = measured(Decay(), Uniform())
    assert curve.method == "Monte Carlo"
    assert curve.notes == [
        "no quadrature: it draws uniform numbers",
        "not free of chance on Gaussian data: "
        "it draws uniform numbers: its law cannot be propagated",
    ]
    assert all(0.003 < point.floor < 0.1 for point in curve.points)


class Together(Euler):
    """Says that its samples depend on each other."""

    coupled = True


def test_rows_of_a_coupled_batch_stand_for_paths_only():
    curve = measured(Decay(), Together())
    assert (curve.method, curve.gaussian) == ("Monte Carlo", [])
    assert all("a sample depends on its batch" in note for note in curve.notes)
    assert len(curve.notes) == 2


class Lucky(RK45):
    """Adaptive, and calls itself stochastic."""

    stochastic = True


def test_adaptive_solvers_are_placed_at_the_calls_they_took():
    tolerances = [1e-2, 1e-4]
    curve = measured(Decay(), RK45(), tolerances=tolerances)
    assert [point.budget for point in curve.points] == tolerances
    assert curve.points[0].nfe < curve.points[1].nfe
    assert curve.points[1].error < 0.02 * curve.points[0].error
    assert curve.power() > 0.9
    assert measured(Decay(), Lucky()).method == "Monte Carlo"


def test_what_cannot_be_measured_has_a_reason():
    class Dear(Heun):
        cost = 65

    class Shy(Euler):
        def supports(self, sde):
            return "it would rather not"

    class Noisy(StepSolver):
        def step(self, rev, u, t, s):
            return u + rev.brownian(u, t, s)

    class Crash(StepSolver):
        def step(self, rev, u, t, s):
            raise RuntimeError("no luck today")

    class Blown(StepSolver):
        def step(self, rev, u, t, s):
            return u + math.nan * rev.velocity(u, t)

    expected = {
        Dear: ("n/a", "a step takes 65 network calls, more than any budget"),
        Shy: ("n/a", "it would rather not"),
        Noisy: ("failed", "it draws noise, but declares stochastic = False"),
        Crash: ("failed", "RuntimeError: no luck today"),
        Blown: ("failed", "the error is not finite at any budget"),
    }
    for solver, (status, reason) in expected.items():
        curve = measured(Decay(), solver())
        assert (curve.status, curve.reason, curve.points) == (status, reason, [])
        (row,) = records([curve], "data")
        assert (row["status"], row["reason"]) == (status, reason)
        assert reason in render([curve], "data")
