"""Forward processes for the tests: those of our plugin, and unusual ones of up to three phases."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit import ClockedSDE, LinearSDE, ScheduleSDE
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import VP, Geometric, SubVP


def f64(value) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


@dataclass(frozen=True)
class Third(ClockedSDE):
    """Third-order Langevin: noise reaches the data through two phases.

    The defaults are critically damped (Shi & Liu 2024, lambda = -sqrt 3); a small friction makes
    the coefficient of the data in the driven phase change its sign.
    """

    first: float = 1.0
    second: float = 8**0.5
    friction: float = 3 * 3**0.5
    speed: float = 4.0
    eps: float = 0.0

    phases = 3

    def __post_init__(self):
        object.__setattr__(
            self,
            "drift_matrix",
            (
                (0.0, self.first, 0.0),
                (-self.first, 0.0, self.second),
                (0.0, -self.second, -self.friction),
            ),
        )
        noise = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 2 * self.friction))
        object.__setattr__(self, "noise_matrix", noise)
        start = ((self.eps, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.04))
        object.__setattr__(self, "start_cov", start)

    precision = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def clock(self, t):
        return self.speed * t


class Pair(ClockedSDE):
    """Two driven phases of three, nothing symmetric, correlated noise and a correlated start."""

    phases = 3
    driven = 2
    horizon = 2.0
    drift_matrix = ((-0.3, 1.5, 0.4), (-0.9, -1.1, 0.7), (-0.2, -0.5, -2.0))
    noise_matrix = ((0.0, 0.0, 0.0), (0.0, 1.2, 0.5), (0.0, 0.5, 0.9))
    start_cov = ((0.01, 0.002, 0.0), (0.002, 0.05, -0.01), (0.0, -0.01, 0.03))

    def clock(self, t):
        return t * (0.5 + t)


class Psld(ClockedSDE):
    """Noise in both phases (Pandey & Mandt 2023): the whole state is driven."""

    phases = 2
    driven = 2
    drift_matrix = ((-0.04, 4.0), (-1.0, -4.04))
    noise_matrix = ((0.08, 0.0), (0.0, 2.02))
    start_cov = ((0.0, 0.0), (0.0, 0.01))

    def clock(self, t):
        return 4.0 * t


class General(LinearSDE):
    """A clocked process reduced to F and D, so that its moments must be integrated."""

    def __init__(self, inner: ClockedSDE, substeps: int = 512):
        self.inner, self.substeps = inner, substeps
        self.phases, self.driven, self.horizon = inner.phases, inner.driven, inner.horizon
        self.start_cov = inner.start_cov

    def drift(self, t):
        return self.inner.drift(t)

    def diffusion(self, t):
        return self.inner.diffusion(t)


class Twisting(LinearSDE):
    """A process whose F(t) and F(s) do not commute: it is no `ClockedSDE`."""

    phases = 2
    start_cov = ((0.02, 0.005), (0.005, 0.1))

    def __init__(self, substeps: int = 512):
        self.substeps = substeps

    def drift(self, t):
        rows = [
            torch.stack([-0.5 - t, 3 * torch.cos(3 * t)], -1),
            torch.stack([-2 * t.square() - 1, -1 - torch.sin(2 * t)], -1),
        ]
        return torch.stack(rows, -2)

    def diffusion(self, t):
        zero = torch.zeros_like(t)
        rows = [torch.stack([zero, zero], -1), torch.stack([zero, 1 + 4 * t.square()], -1)]
        return torch.stack(rows, -2)


class Flow(ScheduleSDE):
    """The straight path of rectified flow: nothing of the data is left at T."""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t


class Still(ScheduleSDE):
    """A schedule whose mean is a constant."""

    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return 2 * t


BUILT_IN = {
    "vp": VP(),
    "vp-start": VP(beta_min=0.3, beta_max=7.0, sigma2_0=0.02),
    "subvp": SubVP(),
    "ve": VE(),
    "geometric": Geometric(),
    "geometric-start": Geometric(sigma2_min=1e-3, sigma2_max=0.9, sigma2_0=0.05),
    "edm": EDM(),
    "cld": CLD(),
    "cld-sloped": CLD(beta_0=0.5, beta_1=7.0),
    "cld-heavy": CLD(beta_0=2.0, beta_1=3.0, m_inv=16.0, gamma=0.25, numerical_eps=1e-6),
    "cld-light": CLD(m_inv=1.0, gamma=1.0),
}
STRANGE = {
    "third": Third(),
    "underdamped": Third(second=1.0, friction=2.0, speed=6.0, eps=1e-4),
    "pair": Pair(),
    "psld": Psld(),
}
EVERY = BUILT_IN | STRANGE
SEVERAL = {name: sde for name, sde in EVERY.items() if sde.phases > 1}
