"""Options of solvers, each held to its declared order; and every solver on every process."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE

import sgmkit
from sgmkit import SeededNoise
from sgmkit.convergence.orders import SHORTFALL, at_tolerance, measured_order, rms
from sgmkit.convergence.problems import few, gaussian_problems, mixture_problems
from sgmkit_exact.exact import Exact

VARIANTS = (
    "ancestral:variance=forward",
    "ddim:lam=0.5",
    "ddim:lam=1",
    "deis:max_order=1",
    "deis:max_order=2:variable=sigma",
    "deis:max_order=4:variable=logsnr",
    "dpm:final=taylor",
    "dpm:order=3",
    "dpm:order=3:final=taylor",
    "dpm:inner=t",
    "dpm:ancestral=0.7",
    "dpm-multi:max_order=3",
    "dpmpp:eta=0.5",
    "dpmpp:eta=1",
    "dpmpp:max_order=1",
    "dpmpp:max_order=3",
    "dpmpp:max_order=3:weights=published",
    "dpmpp-single:order=3",
    "dpmpp-single:ancestral=1",
    "dpmpp-sde:ancestral=0.5",
    "exponential:form=cholesky:max_order=3",
    "exponential:form=data:max_order=4",
    "exponential:form=equilibrium:max_order=4",
    "exponential:form=plain:max_order=3",
    "heun:churn=0.5",
    "ipndm:answers=2",
    "oba:score_time=start",
    "reverse-diffusion:eta=0",
    "rk4:form=data:variable=logsnr",
    "rk4:method=kutta3:form=noise:variable=sigma",
    "rk4:method=ssp3:form=equilibrium",
    "seeds:stages=1",
    "unipc:form=noise:lower_final=false",
    "unipc:max_order=2:variant=bh1:lower_final=false",
)
SDES = ("vp", "subvp", "ve", "geometric", "edm", "cosine", "linear-flow", "cld", "psld", "hold")


@pytest.mark.parametrize("spec", VARIANTS)
def test_variants_have_the_order_they_declare(spec):
    """With equal steps on one process, with uneven ones on a process of two phases."""
    solver = sgmkit.create("solver", spec)
    problems = gaussian_problems() if solver.stochastic else mixture_problems()
    for number, problem in enumerate(few(solver, problems)[:2]):
        order = measured_order(solver, problem, uneven=bool(number)).value
        assert order >= solver.order - SHORTFALL, problem.sde


@pytest.mark.parametrize("name", SDES)
def test_every_solver_gives_an_answer_or_its_reason(name):
    """From the prior on twelve steps, in float32 as models are; NFE are counted."""
    model = Exact(sgmkit.create("sde", name), MIXTURE, dtype="float32")
    for spec in sgmkit.components("solver"):
        solver = sgmkit.create("solver", spec)
        solver = at_tolerance(solver, 0.1) if solver.adaptive else solver
        if reason := solver.supports(model.sde):
            assert type(model.sde).__name__ in reason or "phase" in reason
            continue
        grid = sgmkit.time_grid("logsnr", model.sde, 12, model.t_min)
        samples = model.sample(5, solver, grid, SeededNoise(1, range(5)))
        assert bool(samples.x.isfinite().all()), spec
        if not solver.adaptive:
            assert samples.nfe.tolist() == [12 * solver.cost] * 5, spec


def test_every_solver_says_where_it_is_from():
    for spec in sgmkit.components("solver"):
        assert any(c.isdigit() for c in sgmkit.create("solver", spec).citation), spec


def test_the_velocity_noise_alone_is_not_to_be_extrapolated():
    """On CLD, ten steps: a polynomial in the Cholesky noise is worse than nothing; others are not.

    What its own frame (gDDIM's R) or the equilibrium's pull is taken out of is harmless.
    """
    model = Exact(sgmkit.create("sde", "cld"), MIXTURE)
    ends = torch.tensor([1.0, model.t_min], dtype=torch.float64)
    grid = sgmkit.time_grid("logsnr", model.sde, 10, model.t_min)

    def end(spec, times):
        solver = sgmkit.create("solver", spec)
        return model.sample(64, solver, times, SeededNoise(0, range(64)), start="exact").x

    goal = end("rk45:rtol=1e-8:atol=1e-8", ends)
    error = {
        form: rms(end(f"exponential:form={form}:max_order=4", grid) - goal)
        for form in ("cholesky", "equilibrium", "noise", "data")
    }
    assert error.pop("cholesky") > 1e3
    assert max(error.values()) < 1.5
