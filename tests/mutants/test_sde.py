"""Processes with one defect each: the conformance suite must find every one."""

import pytest
import torch
from support.mutants import finds

from sgmkit.convergence.reference_processes import Triple
from sgmkit.processes import Kernel, LinearSDE, ScheduleSDE
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, SubVP


class NoiseTooLarge(VP):
    def transition(self, s, t):
        phi, cov = super().transition(s, t)
        return phi, 1.01 * cov


class AlwaysFromZero(VP):
    """The interval's start forgotten."""

    def transition(self, s, t):
        return super().transition(torch.zeros_like(s), t)


class DriftReversed(CLD):
    def drift(self, t):
        return -super().drift(t)


class VelocityFirst(CLD):
    drift_matrix = ((-4.0, -1.0), (4.0, 0.0))
    noise_matrix = ((2.0, 0.0), (0.0, 0.0))
    precision = ((4.0, 0.0), (0.0, 1.0))
    start_cov = ((0.01, 0.0), (0.0, 0.0))


class UnitPrecision(CLD):
    """P without the mass."""

    precision = ((1.0, 0.0), (0.0, 1.0))


class InversePrecision(CLD):
    """The stationary covariance given as its inverse."""

    precision = ((1.0, 0.0), (0.0, 0.25))


class LateClock(VP):
    def clock(self, t):
        return 0.1 + super().clock(t)


class BackwardClock(VP):
    def clock(self, t):
        return -super().clock(t)


class RateForgotten(VP):
    """Noise per unit of clock time where it should be per unit of time."""

    def diffusion(self, t):
        return torch.ones_like(t)[..., None, None]


class Cancelling(VP):
    """Variance by subtraction: no digits are left in float32 near t = 0."""

    def transition(self, s, t):
        b = self.clock(t) - self.clock(s)
        return torch.exp(-b / 2)[..., None, None], (1 - torch.exp(-b))[..., None, None]


class FactorOfTheSum(Triple):
    """Cholesky of S instead of the factors' factor."""

    def kernel(self, t):
        kernel = super().kernel(t)
        chol, _ = torch.linalg.cholesky_ex(kernel.cov)
        return Kernel(kernel.mean, kernel.cov, chol)


class StartForgotten(VE):
    def kernel(self, t):
        _, cov = self.transition(torch.zeros_like(t), t)
        return Kernel(torch.ones_like(t)[..., None], cov, cov.sqrt())


class BothDriven(CLD):
    driven = 2


class Skewed(CLD):
    start_cov = ((0.0, 0.1), (0.0, 0.01))


class Indefinite(CLD):
    start_cov = ((0.0, 0.1), (0.1, 0.01))


class DoubleOnly(VP):
    def drift(self, t):
        return super().drift(t.double())


class ScalarsOnly(VP):
    def diffusion(self, t):
        return self.clock_rate(t).reshape(-1, 1)


class HalfSignal(SubVP):
    def alpha(self, t):
        return super().alpha(t) / 2


class ShiftedSchedule(SubVP):
    def sigma(self, t):
        return 0.01 + super().sigma(t)


class GlobalSDE(VP):
    def clock(self, t):
        return super().clock(t) + 0 * torch.rand(())  # noqa: TID251


class Vanishing(ScheduleSDE):
    """The straight path to noise, all the way: nothing of the data is left at T."""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t


class SignalReturns(SubVP):
    def alpha(self, t):
        return 1 - 0.9 * torch.sin(torch.pi * t)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (Vanishing(), "check_ends", "drift(t=1) is not finite"),
        (NoiseTooLarge(), "check_generator", "D from Q is"),
        (NoiseTooLarge(), "check_integration", "Q differs from the moment ODE by"),
        (AlwaysFromZero(), "check_semigroup", "over two intervals differs from one"),
        (DriftReversed(), "check_generator", "16), (-4, -16)), not ((-0, -16), (4, 16))"),
        (DriftReversed(), "check_integration", "Phi differs from the moment ODE by"),
        (VelocityFirst(), "check_driven", "noise enters a phase before the last 1"),
        (UnitPrecision(), "check_precision", "P^-1 is not stationary"),
        (InversePrecision(), "check_precision", "P^-1 is not stationary"),
        (LateClock(), "check_clock", "the clock is 0.1 at t = 0"),
        (BackwardClock(), "check_clock", "the clock does not increase"),
        (RateForgotten(), "check_clock", "diffusion differs from its matrix times"),
        (RateForgotten(), "check_generator", "D from Q is"),
        (Cancelling(), "check_kernel_float32", "L's diagonal in float32 differs"),
        (FactorOfTheSum(), "check_kernel_float32", "L"),
        (StartForgotten(), "check_kernel", "kernel.cov differs from Phi S0 Phi^T + Q"),
        (BothDriven(), "check_driven", "D has rank 1 on the last 2 phases"),
        (Skewed(), "check_start_cov", "is not symmetric"),
        (Indefinite(), "check_start_cov", "is not positive semidefinite"),
        (DoubleOnly(), "check_dtype", "drift is torch.float64 for t of torch.float32"),
        (ScalarsOnly(), "check_shapes", "diffusion at t (3,) is (3, 1), not (3, 1, 1)"),
        (HalfSignal(), "check_schedule", "alpha is 0.5 at t = 0"),
        (ShiftedSchedule(), "check_schedule", "but start_cov says 0"),
        (GlobalSDE(), "check_global_rng", "it uses a global random generator"),
        (SignalReturns(), "check_snr", "|rho|^2 does not decrease"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, LinearSDE) else None,
)
def test_sde_mutants(mutant, name, message):
    finds("sde", mutant, name, message)
