"""Exponential, splitting and adaptive solvers with one defect each: each must be found."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.mutants import finds

from sgmkit import Node, Solver
from sgmkit.processes import act_on_phases
from sgmkit.solvers.forms import CholeskyForm, DataForm
from sgmkit.testing import checks
from sgmkit.testing.result import perform
from sgmkit_solvers.adaptive_sde import AdaptiveSDE
from sgmkit_solvers.ancestral import Ancestral, ReverseDiffusion
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.exponential_multistep import DEIS, DPMPP, Exponential
from sgmkit_solvers.exponential_runge_kutta import DPMPPSDE, DPMSingle
from sgmkit_solvers.ipndm import IPNDM
from sgmkit_solvers.phase_splitting import BAO
from sgmkit_solvers.predictor_corrector import PredictorCorrector
from sgmkit_solvers.runge_kutta import RungeKutta
from sgmkit_solvers.unipc import UniPC


@dataclass(frozen=True)
class REAB(Solver):
    """Rosenbrock-type exponential Adams-Bashforth of two answers, for one phase: right.

    In ``u = log(sigma/alpha)``: ``x_s = |(a_s, s_s)| (x_t / |(a_t, s_t)| + sum_i c_i f_i)`` with
    ``f = (a_t x_t - |.|^2 E[x]) / (s_t |.|)`` and c the integrals of ``l_i(u) e^u / (1 + e^{2u})``.
    """

    order = 2
    history = 1

    def supports(self, sde):
        return None if sde.phases == 1 else "one phase only"

    def final(self, alpha_s, sigma_s, sigma_t):
        return np.hypot(alpha_s, sigma_s)

    def solve(self, rev, u, grid):
        kernel = rev.sde.kernel(grid)
        alpha, sigma = kernel.mean[:, 0].numpy(), kernel.chol[:, 0, 0].numpy()
        level, size = np.log(sigma / alpha), np.hypot(alpha, sigma)
        where, mass = np.polynomial.legendre.leggauss(12)
        past = []
        for i, t in enumerate(grid[:-1]):
            gain = alpha[i] / sigma[i] / size[i], -size[i] / sigma[i]
            past = [gain[0] * u + gain[1] * rev.denoise(u, t)[:, None], *past][:2]
            low, width = level[i], level[i + 1] - level[i]
            nodes = low + width * (1 + where) / 2
            rate = mass * width / 2 * np.exp(nodes) / (1 + np.exp(2 * nodes))
            if len(past) == 1:
                parts = [rate.sum()]
            else:
                slope = (rate * (nodes - low)).sum() / (low - level[i - 1])
                parts = [rate.sum() + slope, -slope]
            moved = u / size[i] + sum(c * f for c, f in zip(parts, past, strict=True))
            u = self.final(alpha[i + 1], sigma[i + 1], sigma[i]) * moved
        return u


class StartSigma(REAB):
    """As released: sigma_t where sigma_s belongs."""

    def final(self, alpha_s, sigma_s, sigma_t):
        return np.hypot(alpha_s, sigma_t)


class ThirdClaimed(DPMPP):
    """The released 3M: half of the curvature is missing."""

    order = 3


class ColdStart(DEIS):
    """Of third order, it says, from the first step on."""

    history = 0


class LowEndClaimed(UniPC):
    """The last step is of first order, and so the whole is not of third."""

    order = 3


class EqualStepsClaimed(IPNDM):
    order = 2


class OldestFirst(DEIS):
    """The answers of earlier steps in the wrong order."""

    def steps(self, sde, grid):
        def turned(stage):
            return replace(stage, move=lambda u, q, *past: stage.move(u, q, *past[::-1]))

        return [[turned(stage) for stage in step] for step in super().steps(sde, grid)]


class MiddleHeld(DPMSingle):
    """The answer of a stage at a third of the step is held for all of it."""

    def nodes(self):
        return Node(1 / 3), Node(1, (1,))


class LateClock(DPMSingle):
    """The second stage tells the network the time of the first."""

    def steps(self, sde, grid):
        return [
            [first, replace(second, time=first.time)] for first, second in super().steps(sde, grid)
        ]


class Untransposed(CholeskyForm):
    def rate(self, t):
        r = self.sde.driven
        return self.sde.diffusion(t)[..., -r:] @ self.sde.kernel(t).whiten[..., -r:, -r:] / 2


class WrongFactor(Exponential):
    """L^{-1} for L^{-T}: the same where one phase is driven."""

    def split(self, sde):
        return Untransposed(sde)


class FlowWithNoise(DPMPP):
    """The noise of the SDE, and the drift of the flow."""

    def split(self, sde):
        form = DataForm(sde, self.eta)

        class Mixed(DataForm):
            def noise_cov(self, t, s):
                return form.noise_cov(t, s)

            @property
            def _share(self):
                return 0.5

        return Mixed(sde, 1e-300)


class WideNoise(Ancestral):
    """Posterior mean, a variance of neither law."""

    def steps(self, sde, grid):
        def wider(stage):
            return replace(stage, move=lambda u, eps, z: stage.move(u, eps, 1.1 * z))

        return [[wider(stage) for stage in step] for step in super().steps(sde, grid)]


class HalfScore(ReverseDiffusion):
    """Noise of the reverse SDE, score of the flow."""

    def steps(self, sde, grid):
        flow = ReverseDiffusion(eta=0.0).steps(sde, grid)
        noisy = super().steps(sde, grid)

        def both(calm, wild):
            def move(u, eps, z):
                return calm.move(u, eps) + wild.move(0 * u, 0 * eps, z)

            return replace(wild, move=move)

        return [[both(a, b)] for (a,), (b,) in zip(flow, noisy, strict=True)]


class FrictionTwice(BAO):
    """O's friction is left in the sweep as well."""

    def solve(self, rev, u, grid):
        for t, s in pairwise(grid):
            pair = torch.stack([t, s])
            u = super().solve(rev, u, pair)
            clock = float(rev.sde.clock(t) - rev.sde.clock(s))
            u[:, -1] *= 1 - 0.5 * clock
        return u


class WeakNoise(PredictorCorrector):
    """Langevin steps that lack the root of two."""

    def correct(self, rev, u, t, level):
        calm = replace(level, kick=lambda z: level.kick(z) / 2**0.5)
        return super().correct(rev, u, t, calm)


class SecretlyCoupled(PredictorCorrector):
    """Norms over the batch, as published, and not a word of it."""

    coupled = False


class SharedSize(AdaptiveSDE):
    """One error for all."""

    def _size(self, low, high, before):
        return super()._size(low, high, before).mean().expand(len(low))


class SaysCoupled(DDIM):
    coupled = True


class WrongTableau(RungeKutta):
    """The last slope of Runge-Kutta at the middle of the step."""

    def steps(self, sde, grid):
        steps = super().steps(sde, grid)
        return [[*s[:3], replace(s[3], time=s[2].time)] for s in steps]


class CalmEnd(DPMPPSDE):
    """The last stage goes down for noise that never comes."""

    def steps(self, sde, grid):
        def calm(stage):
            def move(u, one, two, z):
                return stage.move(u, one, two, z, torch.zeros_like(z))

            return replace(stage, move=move, draws=0)

        return [[first, calm(second)] for first, second in super().steps(sde, grid)]


class Swallowed(DEIS):
    """The state is carried by the identity."""

    def steps(self, sde, grid):
        steps = super().steps(sde, grid)

        def kept(stage):
            def move(u, *answers):
                none = [torch.zeros_like(a) for a in answers]
                unit = torch.eye(sde.phases).to(u)
                return stage.move(u, *answers) - stage.move(u, *none) + act_on_phases(unit, u)

            return replace(stage, move=move)

        return [[kept(stage) for stage in step] for step in steps]


PREDICTOR = Ancestral()


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (StartSigma(), "check_order", "declared 2, measured"),
        (ThirdClaimed(3, weights="published"), "check_order", "declared 3, measured 2."),
        (ColdStart(), "check_order", "declared 3, measured 2."),
        (LowEndClaimed(), "check_order", "declared 3, measured 2."),
        (EqualStepsClaimed(), "check_uneven_steps", "declared 2, measured 1."),
        (OldestFirst(), "check_order", "declared 3, measured"),
        (MiddleHeld(), "check_order", "declared 2, measured"),
        (LateClock(), "check_order", "declared 2, measured"),
        (WrongFactor(form="cholesky"), "check_order", "declared 2, measured"),
        (FlowWithNoise(eta=1.0), "check_order", "declared 1, measured"),
        (WideNoise(), "check_order", "declared 1, measured"),
        (HalfScore(), "check_order", "declared 1, measured"),
        (FrictionTwice(), "check_order", "declared 1, measured"),
        (WeakNoise(PREDICTOR, snr=0.5), "check_moments", "standard errors off"),
        (SecretlyCoupled(PREDICTOR, "langevin", norms="batch"), "check_batch", "alone differ by"),
        (SharedSize(0.1, 0.1), "check_batch", "alone differ by"),
        (SaysCoupled(), "check_coupled", "does not depend on its batch"),
        (WrongTableau(), "check_order", "declared 4, measured"),
        (CalmEnd(), "check_order", "declared 1, measured"),
        (Swallowed(), "check_order", "declared 3, measured"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Solver) else None,
)
def test_scheme_mutants(mutant, name, message):
    finds("solver", mutant, name, message)


@pytest.mark.parametrize("name", ["check_order", "check_uneven_steps"])
def test_what_reab_was_mutated_from_is_right(name):
    (check,) = [check for check in checks("solver", REAB()) if check.__name__ == name]
    assert perform(check, REAB(), "").level == "ok"


def test_what_the_corrector_was_mutated_from_is_right():
    whole = PredictorCorrector(PREDICTOR, snr=0.05)
    (check,) = [x for x in checks("solver", whole) if x.__name__ == "check_moments"]
    assert perform(check, whole, "").level == "ok"
