"""What `bench --convergence` measures: held against exact moments, and against known slopes."""

import math

import numpy as np
import pytest
import torch

from sgmkit import StepSolver, create
from sgmkit.convergence import Curve, Point, ProblemSet, draw, flattened, measure, records, render
from sgmkit.convergence.affine import affine_map
from sgmkit.convergence.curve import jackknife, point_of_shares
from sgmkit.convergence.orders import fit
from sgmkit.convergence.problems import gaussian
from sgmkit.convergence.reference_processes import Both, Decay, Pair, Spread, Triple
from sgmkit.convergence.weak import BLOCKS, monte_carlo, quadrature
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

MIXTURE = flattened(create("dataset", "eight-gaussians:std=0.3").mixture())
TOLERANCES = [1e-2, 1e-4]


def measured(sde, solver, budgets=(16, 32, 64), law=MIXTURE, tolerances=TOLERANCES):
    return measure(ProblemSet(sde, law), "sde", "solver", solver, budgets, tolerances)


@pytest.mark.parametrize("sde", [Decay(), Pair(), Both()])
@pytest.mark.parametrize("solver", [Euler(), SSEM()])
@pytest.mark.parametrize("method", [quadrature, monte_carlo])
def test_weak_errors_are_those_of_exact_moments(sde, solver, method):
    """On one Gaussian the solver is affine: what the half square is off by is known exactly."""
    problems = ProblemSet(sde, gaussian())
    problem = problems.normal
    grid = problem.grid(8)
    start_mean, start_cov = (part[0] for part in problem.moments(grid[0]))
    mean, cov = affine_map(solver, problem, grid).moments(start_mean, start_cov)
    exact_mean, exact_cov = (part[0] for part in problem.moments(grid[-1]))
    error = (mean[0] ** 2 + cov[0, 0] - exact_mean[0] ** 2 - exact_cov[0, 0]) / 2
    arguments = (1,) if method is quadrature else ()
    nfe, shares = method(problems, solver, grid, *arguments)
    stderr = float(shares[:, 0].std()) / math.sqrt(BLOCKS)
    assert nfe == 8
    assert abs(float(shares[:, 0].mean() - error)) < 4 * stderr


@pytest.mark.parametrize(("method", "falls"), [(quadrature, True), (monte_carlo, False)])
def test_with_the_error_of_a_quadrature_its_chance_falls(method, falls):
    problems = ProblemSet(Decay(), MIXTURE)
    floors = []
    for steps in (8, 64):
        arguments = (1,) if method is quadrature else ()
        _, shares = method(problems, Euler(), problems.line.grid(steps), *arguments)
        floors.append(point_of_shares(steps, steps, steps, shares).floor)
    assert (floors[1] < 0.25 * floors[0]) == falls


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
    value, doubt = curve.slope()
    assert (curve.status, curve.method) == ("ok", method)
    assert abs(value - order) < 0.35
    assert 0 < doubt < 0.3
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
    tolerances = [1e-3, 1e-5]  # of 1e-2 two steps would do, too few for the power to show
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

    told = {
        Dear: ("n/a", "a step takes 65 network calls, more than any budget"),
        Shy: ("n/a", "it would rather not"),
        Noisy: ("failed", "it draws noise, but declares stochastic = False"),
        Crash: ("failed", "RuntimeError: no luck today"),
        Blown: ("failed", "the error is not finite at any budget"),
    }
    for solver, (status, reason) in told.items():
        curve = measured(Decay(), solver())
        assert (curve.status, curve.reason, curve.points) == (status, reason, [])
        (row,) = records([curve], "data")
        assert (row["status"], row["reason"]) == (status, reason)
        assert reason in render([curve], "data")


def points(errors, **more):
    return [Point(n, n, n, error, **more) for n, error in zip((8, 16, 32, 64), errors, strict=True)]


def curve_of(found, **more):
    return Curve("a", "b", "weak", 2, 1, more.pop("adaptive", False), points=found, **more)


def test_a_slope_rests_on_the_last_points_that_tell_something():
    exact = [3.0 * n**-2.0 for n in (8, 16, 32, 64)]
    assert curve_of(points(exact)).slope() == (pytest.approx(2), pytest.approx(0, abs=1e-6))
    # The first of four is not used; it is of an adaptive solver, whose steps are its own choice.
    bent = [1.0, *exact[1:]]
    assert curve_of(points(bent)).slope()[0] == pytest.approx(2)
    assert curve_of(points(bent), adaptive=True).slope()[0] > 2.3
    # Chance and rounding tell nothing.
    floored = points([*exact[:3], 1.1e-3], floor=6e-4)
    assert curve_of(floored).slope()[0] == pytest.approx(2)
    assert curve_of(points([*exact[:3], 5e-9])).slope()[0] == pytest.approx(2)
    assert math.isnan(curve_of(points([1e-9] * 4)).slope()[0])
    assert math.isnan(curve_of(points(exact)[:1]).slope()[0])
    two = curve_of(points(exact)[:2]).slope()
    assert two[0] == pytest.approx(2)
    assert math.isnan(two[1])


def test_the_fit_is_the_usual_one():
    x, y = [1.0, 2.0, 5.0, 9.0], [4.0, 1.0, 0.3, 0.2]
    (minus, _), cov = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    value, doubt = fit(x, y)
    assert value == pytest.approx(-minus)
    assert doubt == pytest.approx(math.sqrt(cov[0, 0]))


def test_intervals_cover_what_is_true():
    """Of the mean of normal shares around 1 the error is 1, whatever the draw, in 95 % of draws."""
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(400):
        shares = 1 + torch.empty(BLOCKS, 5, dtype=torch.float64).normal_(generator=generator)
        point = point_of_shares(8, 8, 8.0, shares)
        inside += abs(point.error - 1.0) < point.half
        assert point.floor == pytest.approx(1 / math.sqrt(BLOCKS), rel=0.6)
    assert 0.88 < inside / 400 < 0.985


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = torch.tensor([1.0, 4.0, 2.0, 8.0], dtype=torch.float64)
    fewer = ((x.sum() - x) / 3).tolist()
    assert jackknife(fewer) == pytest.approx(float(x.std()) / 2)


def test_the_figure_says_what_it_shows():
    weak = curve_of(points([0.4, 0.2, 0.1, 0.05], leave_one_out=(0.4, 0.5), floor=0.01))
    strong = Curve("c", "d", "strong", 1, 1, False, points=points([4.0, 2.0, 1.0, 0.0]))
    gone = Curve("e", "d", "strong", 3, 1, False, status="n/a", reason="not here")
    drawn = draw([weak, strong, gone])
    first, second = drawn.axes
    assert first.get_ylabel().splitlines() == [
        *("error", "strong (solid): rms distance [data units]"),
        "weak (dashed): rms error of expectations",
    ]
    assert {panel.get_xlabel() for panel in drawn.axes} == {"network evaluations per sample (NFE)"}
    assert first.get_title().startswith("b · log-SNR")
    assert second.get_title().startswith("d · log-SNR")
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "a (weak, order 2)",
        "c (strong, order 1)",
        "floor: chance alone (dotted)",
        "slopes of the declared orders",
    ]
    low, high = first.get_ylim()
    assert low < 0.01 < 4 < high
    assert draw([gone]) is None
    burst = curve_of(points([1e6, 0.2, 0.1, 0.05]))
    assert draw([burst]).axes[0].get_ylim()[1] == 20
