"""The error of a solver against an accurate solution of the flow, sample by sample."""

import math
from dataclasses import replace

import pytest

from sgmkit import Cell, Context, SeededNoise, create
from sgmkit_datasets.mixtures import EightGaussians
from sgmkit_evaluators.trajectory import Trajectory

COUNT = 12


@pytest.fixture(scope="module")
def model():
    return create("model", "exact", sde=create("sde", "vp"), data=EightGaussians())


def sampled(model, solver, steps=8, memo=None):
    """What an evaluator sees of a run of ``solver`` from the same start each time."""
    solver = create("solver", solver)
    grid = create("grid", "uniform")(model.sde, steps, 1e-2)
    samples = model.sample(COUNT, solver, grid, SeededNoise(2, range(COUNT)))
    return Context(
        samples=samples.x,
        reference=lambda n: samples.x[:n],
        model=model,
        dataset=EightGaussians(),
        noise=SeededNoise(3, range(COUNT)),
        t_min=1e-2,
        u_T=samples.start,
        u_0=samples.u,
        cell=Cell(solver, "none", samples.nfe, 0.0),
        memo={} if memo is None else memo,
    )


def measure(ctx, **options):
    (value,) = Trajectory(**options).evaluate(ctx)
    assert value.metric == "trajectory"
    return value


def test_it_is_the_root_mean_square_to_an_accurate_solution(model):
    exact = sampled(model, "rk45:rtol=1e-9:atol=1e-9").samples
    ctx = sampled(model, "euler-flow")
    value = measure(ctx)
    squared = (ctx.samples.double() - exact).square().mean(1)
    assert value.value == pytest.approx(float(squared.mean().sqrt()), rel=1e-5)
    half = 1.96 * float(squared.std()) / math.sqrt(COUNT)
    assert value.ci_high == pytest.approx(math.sqrt(float(squared.mean()) + half), rel=1e-5)
    assert value.n == COUNT
    assert measure(ctx, num=5).n == 5


def test_more_steps_and_a_higher_order_come_closer(model):
    coarse, fine, heun = (
        measure(sampled(model, solver, steps)).value
        for solver, steps in (("euler-flow", 20), ("euler-flow", 80), ("heun", 80))
    )
    assert coarse > 2 * fine > 4 * heun


def test_the_cells_of_a_seed_share_the_reference(model):
    memo = {}
    for solver in ("euler-flow", "heun"):
        measure(sampled(model, solver, memo=memo))
    assert len(memo) == 1
    measure(sampled(model, "heun", memo=memo), tol=1e-5)
    assert len(memo) == 2


def test_without_a_path_of_the_flow_there_is_no_value(model):
    stochastic = measure(sampled(model, "euler"))
    assert math.isnan(stochastic.value)
    assert stochastic.reason == "a stochastic solver follows no path of the flow"
    floor = measure(replace(sampled(model, "euler-flow"), u_T=None, u_0=None, cell=None))
    assert math.isnan(floor.value)
    assert floor.reason == "no solver ran"
