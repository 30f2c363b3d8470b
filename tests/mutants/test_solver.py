"""Solvers with one defect each: the conformance suite must find every one."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES
from support.mutants import finds

from sgmkit import ClockedSDE, SeededNoise, Solver, StepSolver, time_grid
from sgmkit.processes import act_on_phases, as_matrix, ou_transition, scaled_cholesky
from sgmkit.processes.gddim import point_flow
from sgmkit.solvers import integrate
from sgmkit.testing import checks
from sgmkit.testing.result import perform
from sgmkit_exact.exact import Exact
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM


@dataclass(frozen=True)
class TwoStep(Solver):
    """Adams-Bashforth on the probability flow with variable steps: order two, and right."""

    order = 2

    def weight(self, h, last):
        return 1 + h / (2 * last)

    def solve(self, rev, u, grid):
        rev.prepare(grid)
        slope, last = None, 1.0
        for t, s in pairwise(grid):
            h, old = float(s - t), slope
            slope = rev.velocity(u, t)
            w = 1.0 if old is None else self.weight(h, last)
            u = u + h * (w * slope + (0 if old is None else (1 - w) * old))
            last = h
        return u


class MisplacedBracket(TwoStep):
    """(1 + h) / 2 last for 1 + h / (2 last)."""

    def weight(self, h, last):
        return (1 + h) / (2 * last)


class EqualSteps(TwoStep):
    """Weights of equal steps on any grid."""

    def weight(self, h, last):
        return 1.5


class HistoryKept(TwoStep):
    """The last slope of one run starts the next."""

    def solve(self, rev, u, grid):
        rev.prepare(grid)
        for t, s in pairwise(grid):
            old = self.__dict__.get("slope", torch.zeros_like(u))
            slope = rev.velocity(u, t)
            old = old if old.shape == slope.shape else 0 * slope
            object.__setattr__(self, "slope", slope)
            u = u + (s - t) * (1.5 * slope - 0.5 * old)
        return u


class Point(Solver):
    """DDIM for any number of phases by way of its data prediction: order one, and right."""

    def previous(self, grid):
        return grid[1:]

    def clean(self, x):
        return x

    def solve(self, rev, u, grid):
        t, s = grid[:-1], self.previous(grid)
        rev.prepare(t)
        flows = point_flow(rev.sde, t, s).to(u)
        sources, targets = (rev.sde.kernel(x).mean[..., None].to(u) for x in (t, s))
        for now, flow, source, target in zip(t, flows, sources, targets, strict=True):
            x = self.clean(rev.denoise(u, now)[:, None])
            u = act_on_phases(flow, u - act_on_phases(source, x)) + act_on_phases(target, x)
        return u


class WrongPreviousTime(Point):
    """Equal steps, whatever the grid says."""

    def supports(self, sde):
        return None if sde.phases == 1 else "not tested"

    def previous(self, grid):
        return (grid[:-1] - (grid[0] - grid[-1]) / (len(grid) - 1)).clamp_min(grid[-1])


class StepLate(Heun):
    """The coefficients of one step are used in the next: sigma_t where sigma_s belongs."""

    def solve(self, rev, u, grid):
        return super().solve(rev, u, torch.cat([grid[:1], grid[:-1]]))


class Clipping(Point):
    """The data prediction is clipped."""

    def clean(self, x):
        return x.clamp(-3, 3)


class ClippingFar(Point):
    def clean(self, x):
        return x.clamp(-30, 30)


class Thresholding(DDIM):
    """Samples are scaled back to the range that they were promised."""

    def solve(self, rev, u, grid):
        u = super().solve(rev, u, grid)
        return u / (u.abs().flatten(1).amax(1) / 3).clamp_min(1)[:, None, None]


class CheapHeun(Heun):
    """NFE from a formula: two calls that count as one."""

    cost = 1


class Maruyama(StepSolver):
    """The unmutated Euler, step by step."""

    stochastic = True

    def step(self, rev, u, t, s):
        return u + (t - s) * rev.drift(u, t) + rev.brownian(u, t, s)


class HiddenCall(Maruyama):
    """A further look at the network, past the counter."""

    def step(self, rev, u, t, s):
        u = super().step(rev, u, t, s)
        return u + 0 * rev._predict(u, s).sum()


class WritesToInput(DDIM):
    def solve(self, rev, u, grid):
        u.mul_(1.0 + 1e-3)
        return super().solve(rev, u, grid)


class WritesToGrid(DDIM):
    def solve(self, rev, u, grid):
        grid[-1] = 0.99 * grid[-1]
        return super().solve(rev, u, grid)


class GlobalNoise(Maruyama):
    def step(self, rev, u, t, s):
        return super().step(rev, u, t, s) + 0 * torch.randn(u.shape)  # noqa: TID251


class OwnNoise(Maruyama):
    """A generator of its own: one stream for the batch, whoever is in it."""

    def step(self, rev, u, t, s):
        generator = torch.Generator().manual_seed(round(1e6 * float(t)))
        z = torch.empty_like(u).normal_(generator=generator)
        root = rev.sde.diffusion(t)
        root, _ = torch.linalg.cholesky_ex(root + 1e-30 * torch.eye(len(root)))
        return u + (t - s) * rev.drift(u, t) + act_on_phases((t - s).sqrt() * root.to(u), z)


class Normalising(Maruyama):
    """Every step is scaled by the spread of the batch."""

    def step(self, rev, u, t, s):
        return super().step(rev, u, t, s) * (1 + 1e-4 * (t - s) * u.square().mean())


class HalfScore(StepSolver):
    """The drift of the flow with the noise of the SDE."""

    stochastic = True

    def step(self, rev, u, t, s):
        return u + (s - t) * rev.velocity(u, t) + rev.brownian(u, t, s)


class Overstated(StepSolver):
    """Euler on the flow, said to be of second order."""

    order = 2

    def step(self, rev, u, t, s):
        return u + (s - t) * rev.velocity(u, t)


class OverstatedLaw(Euler):
    order = 2


class NoiseScale(Maruyama):
    """Standard deviation 5 % too large."""

    def step(self, rev, u, t, s):
        return u + (t - s) * rev.drift(u, t) + 1.05 * rev.brownian(u, t, s)


class NoNoiseAtAll(Maruyama):
    def step(self, rev, u, t, s):
        return u + (t - s) * rev.drift(u, t)


class UnitHorizon(Solver):
    """Steps of 1/N: right where T = 1 and the grid is even."""

    def solve(self, rev, u, grid):
        rev.prepare(grid)
        for t in grid[:-1]:
            u = u - rev.velocity(u, t) / (len(grid) - 1)
        return u


class LastPhaseOnly(StepSolver):
    """Right for one driven phase; where two are driven, the first gets no noise."""

    stochastic = True

    def step(self, rev, u, t, s):
        kick = rev.brownian(u, t, s)
        kick[:, :-1] = 0
        return u + (t - s) * rev.drift(u, t) + kick


class StaleTime(StepSolver):
    """Heun's second slope at the time of the first."""

    order = 2
    cost = 2

    def step(self, rev, u, t, s):
        first = rev.velocity(u, t)
        return u + (s - t) / 2 * (first + rev.velocity(u + (s - t) * first, t))


class Splitting(StepSolver):
    """Half an Ornstein-Uhlenbeck step, a midpoint kick, the other half: order two, and right."""

    order = 2
    cost = 2
    stochastic = True
    nodes = (0.5,)

    def supports(self, sde):  # any clocked process will do; two phases keep the test short
        return None if isinstance(sde, ClockedSDE) and sde.phases == 2 else "not tested"

    def halves(self, tau):
        return tau[0] - tau[1], tau[1] - tau[2]

    def step(self, rev, u, t, s):
        sde, middle = rev.sde, (t + s) / 2
        a, b, p = (
            as_matrix(m, sde.phases, t) for m in (sde.drift_matrix, sde.noise_matrix, sde.precision)
        )
        tau = sde.clock(torch.stack([t, middle, s]))

        def relax(u, time):
            phi, cov = ou_transition(-a - b @ p, b, time)
            return act_on_phases(phi.to(u), u) + act_on_phases(
                scaled_cholesky(cov).to(u), rev.noise(u)
            )

        def kick(u):
            return act_on_phases(b[:, -sde.driven :].to(u), rev.score(u, middle)) + act_on_phases(
                (b @ p).to(u), u
            )

        first, second = self.halves(tau)
        u, h = relax(u, first), tau[0] - tau[2]
        return relax(u + h * kick(u + h / 2 * kick(u)), second)


class FirstClockTwice(Splitting):
    """SSCS as released: the second half step on the first one's clock interval."""

    def halves(self, tau):
        return tau[0] - tau[1], tau[0] - tau[1]


class ScoreTimeForgotten(SSEM):
    """The second-order kick with the score at the start of the step."""

    def solve(self, rev, u, grid):
        middle, predict = (grid[1:] + grid[:-1]) / 2, rev._predict
        times = dict(zip(middle.tolist(), grid[:-1], strict=True))
        rev._predict = lambda u, t: predict(u, times[float(t)])
        return super().solve(rev, u, grid)


class Doubles(DDIM):
    def solve(self, rev, u, grid):
        return super().solve(rev, u.double(), grid)


class SecretNoise(Euler):
    stochastic = False


class ToldNoNoise(DDIM):
    stochastic = True


class SharedSteps(RK45):
    """One step size for the whole batch."""

    def solve(self, rev, u, grid):
        def narrow(rows):
            return lambda y, t: rev.velocity(y[0], t[0].expand(len(u)))[None]

        ends = float(grid[0]), float(grid[-1])
        return integrate(narrow, u[None], *ends, self.rtol, self.atol)[0]


class FixedTolerance(RK45):
    def solve(self, rev, u, grid):
        return RK45(1e-3, 1e-3).solve(rev, u, grid)


class StopsInside(RK45):
    def solve(self, rev, u, grid):
        for t, s in pairwise(grid):
            u = super().solve(rev, u, torch.stack([t, s]))
        return u


class HighOrder(RK45):
    order = 9


class NoReason(DDIM):
    def supports(self, sde):
        return ""


class RefusesAll(DDIM):
    def supports(self, sde):
        return "not today"


class LeavesNaN(DDIM):
    """Divides by the last step but one."""

    def solve(self, rev, u, grid):
        return super().solve(rev, u, grid) * (1 if len(grid) > 2 else float("nan"))


class NeedsGrad(DDIM):
    def solve(self, rev, u, grid):
        with torch.enable_grad():
            v = u.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(v.square().sum(), v)
        return super().solve(rev, u, grid) + 0 * slope


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (MisplacedBracket(), "check_uneven_steps", "declared 2, measured"),
        (EqualSteps(), "check_uneven_steps", "declared 2, measured"),
        (HistoryKept(), "check_reproducible", "the same noise gives another answer"),
        (WrongPreviousTime(), "check_order", "declared 1, measured"),
        (StepLate(), "check_order", "declared 2, measured 1."),
        (Clipping(), "check_no_clipping", "data at 40 is found at"),
        (ClippingFar(), "check_no_clipping", "data at 40 is found at 3"),
        (Thresholding(), "check_no_clipping", "data at 40 is found at 2."),
        (CheapHeun(), "check_cost", "declared 1 x 1 steps, counted [2, 2, 2, 2] calls"),
        (HiddenCall(), "check_cost", "counted [1, 1, 1, 1] calls, the network saw [2, 2, 2, 2]"),
        (WritesToInput(), "check_inputs", "it writes to the state"),
        (WritesToGrid(), "check_inputs", "it writes to the grid"),
        (GlobalNoise(), "check_global_rng", "it uses a global random generator"),
        (OwnNoise(), "check_batch", "samples [5] alone differ by"),
        (Normalising(), "check_batch", "samples [5] alone differ by"),
        (HalfScore(), "check_order", "declared 1, measured"),
        (HalfScore(), "check_moments", "standard errors off"),
        (Overstated(), "check_order", "declared 2, measured 1.0"),
        (OverstatedLaw(), "check_order", "declared 2, measured 1.0"),
        (NoiseScale(), "check_order", "declared 1, measured"),
        (NoNoiseAtAll(), "check_moments", "standard errors off"),
        (NoNoiseAtAll(), "check_draws", "other noise gives the same answer"),
        (UnitHorizon(), "check_order", "declared 1, measured"),
        (LastPhaseOnly(), "check_order", "declared 1, measured"),
        (StaleTime(), "check_order", "declared 2, measured 1.0"),
        (FirstClockTwice(), "check_order", "declared 2, measured"),
        (ScoreTimeForgotten(kick="midpoint"), "check_order", "declared 2, measured"),
        (Doubles(), "check_dtype", "a state of dtype torch.float32 ends as torch.float64"),
        (SecretNoise(), "check_draws", "it draws noise, but declares stochastic = False"),
        (ToldNoNoise(), "check_draws", "other noise gives the same answer"),
        (SharedSteps(), "check_batch", "alone differ by"),
        (FixedTolerance(), "check_adaptive_order", ""),
        (StopsInside(), "check_ends", "the times inside the grid matter"),
        (HighOrder(), "check_adaptive_order", "declared 9, measured"),
        (NoReason(), "check_declared", "supports() says ''"),
        (RefusesAll(), "check_declared", "supports() refuses every reference process"),
        (LeavesNaN(), "check_grids", "it is not finite on the grid one step"),
        (NeedsGrad(), "check_inference_mode", "raised RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Solver) else None,
)
def test_solver_mutants(mutant, name, message):
    finds("solver", mutant, name, message)


@pytest.mark.parametrize("name", ["check_order", "check_uneven_steps", "check_no_clipping"])
@pytest.mark.parametrize("solver", [TwoStep(), Point(), Splitting()], ids=type)
def test_what_the_mutants_were_made_of_is_right(solver, name):
    (check,) = [check for check in checks("solver", solver) if check.__name__ == name]
    assert perform(check, solver, "").level == "ok"


def test_the_steps_that_are_mutated_are_eulers():
    model, one = Exact(SDES["cld"], MIXTURE), range(9)
    grid = time_grid("logsnr", model.sde, 12, 1e-3)
    euler, steps = (
        model.sample(9, solver, grid, SeededNoise(0, one)).u for solver in (Euler(), Maruyama())
    )
    assert torch.allclose(euler, steps, rtol=1e-9, atol=1e-9)
