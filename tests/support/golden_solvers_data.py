"""The laws and processes that the tests of solvers run on; arrays come from golden_data."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sgmkit import Batch, ClockedSDE, Dataset, LinearSDE, Mixture, RecordedNoise, Reverse
from sgmkit.processes import variable_and_rate
from sgmkit.solvers import Node, Staged
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import VP, Geometric, SubVP
from sgmkit_solvers.exponential_runge_kutta import DPMSingle

ROWS = 12
"""Samples of each reference run."""


def phases(states: Tensor) -> Tensor:
    """CLD-SGM's columns ``(..., x1, x2, v1, v2)`` as ``(..., 2, 2)``: phase, then coordinate."""
    return states.unflatten(-1, (2, 2))


def close(value: Tensor, reference: Tensor, tolerance: float) -> bool:
    """Whether the largest difference relative to ``1 + |reference|`` is within the tolerance."""
    assert value.shape == reference.shape
    return float(((value - reference).abs() / (1 + reference.abs())).max()) <= tolerance


class Law(Dataset):
    """A data set that is a stated mixture; nothing is ever drawn from it."""

    def __init__(self, weights, means, variances) -> None:
        lists = (weights, means, variances)
        self._law = Mixture(*(torch.tensor(v, dtype=torch.float64) for v in lists))
        self.event = tuple(self._law.means.shape[1:])

    def size(self, split) -> None:
        return None

    def draw(self, split, n, noise) -> Batch:
        raise AssertionError("the law is exact")

    def mixture(self) -> Mixture:
        return self._law


class Items(Dataset):
    """A data set known by its items ``x (n, *event)`` only."""

    def __init__(self, x: Tensor) -> None:
        self._x, self.event = x, tuple(x.shape[1:])

    def size(self, split) -> int:
        return len(self._x)

    def draw(self, split, n, noise) -> Batch:
        raise AssertionError("the items are all that is asked for")

    def items(self, split) -> Batch:
        return Batch(self._x, None, torch.arange(len(self._x)))


MIXTURE = Law(
    [0.3, 0.45, 0.25],
    [[-1.2, 0.6], [0.9, 1.1], [0.3, -1.4]],
    [[0.09, 0.16], [0.25, 0.05], [0.12, 0.12]],
)
"""The mixture of all reference numbers."""


def problem(sde, draws=None, rows=ROWS):
    """The exact problem on recorded draws, and the list that its network's inputs go to."""
    model, seen = Exact(sde, MIXTURE), []

    def predict(u, t):
        seen.append(u)
        return model.eps(u, t)

    return Reverse(sde, predict, RecordedNoise(draws or [torch.zeros(rows, 0)])), seen


def stepped(rev, u, grid, solvers):
    """A run with a solver of its own for each step."""
    for i, solver in enumerate(solvers):
        u = solver.solve(rev, u, grid[i : i + 2])
    return u


def churned(heun, solver, rev, u, grid):
    """A run of a solver whose steps start where `Heun` with its churn raises the noise level."""
    start = heun.raised(rev.sde, grid)
    jumps = heun.jumps(rev.sde, grid[:-1], start)
    for t, high, s, jump in zip(grid[:-1], start, grid[1:], jumps, strict=True):
        if high > t:
            u = jump(u, rev.noise(u))
        u = solver.solve(rev, u, torch.stack([high, s]))
    return u


def left_sums(form, variable, t, s, count):
    """`sgmkit.solvers.forms.moments` as DEIS and gDDIM take them.

    They sum over 10000 points of each step, even in the variable, its start among them.
    """
    theta = torch.arange(10_000, dtype=t.dtype) / 10_000
    nodes, width = t[:, None] + (s - t)[:, None] * theta, s - t
    if variable == "sigma":  # the rate, and what carries it to the end, make a constant
        (start, slope), (end, _) = (variable_and_rate(form.sde, variable, x) for x in (t, s))
        nodes, width = t[:, None], (end - start) / slope
    ways = form.propagator(nodes.flatten(), s[:, None].expand_as(nodes).flatten())
    pushed = (ways @ form.rate(nodes.flatten())).unflatten(0, nodes.shape)
    pushed = pushed * width[:, None, None, None]
    return torch.stack([(pushed * theta[:, None, None] ** i).mean(1) for i in range(count)], 1)


@dataclass(frozen=True)
class EarlyStage(Staged):
    """DPM-Solver-2 with its stage at a third of the step: the lower order of adaptive runs."""

    form = "noise"

    def nodes(self):
        return Node(1 / 3), Node(1, (0, 1), "half")


STAGES = {2: (DPMSingle(order=1), DPMSingle(order=2)), 3: (EarlyStage(), DPMSingle(order=3))}
"""For each order, the solvers that adaptive runs compare: of one order less, and of that order."""


@dataclass(frozen=True)
class Third(ClockedSDE):
    """Third-order Langevin dynamics: noise reaches the data through two integrations."""

    friction: float = 6.0

    phases = 3
    precision = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    start_cov = ((0.0, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.04))

    @property
    def drift_matrix(self):
        return (0.0, 1.0, 0.0), (-1.0, 0.0, 2.0), (0.0, -2.0, -self.friction)

    @property
    def noise_matrix(self):
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 2 * self.friction)

    def clock(self, t: Tensor) -> Tensor:
        return t * (2 + 3 * t)


@dataclass(frozen=True)
class Coupled(ClockedSDE):
    """Two phases, both driven by correlated noise, with a correlated stationary law.

    A = -(B/2 + J) P for any skew J has the stationary covariance P^{-1}.
    """

    phases = 2
    driven = 2
    noise_matrix = ((1.0, 0.2), (0.2, 0.8))
    start_cov = ((0.01, 0.004), (0.004, 0.02))
    precision = ((1.2, -0.5), (-0.5, 2.0))

    @property
    def drift_matrix(self):
        half = np.array(self.noise_matrix) / 2 + np.array([[0.0, 0.7], [-0.7, 0.0]])
        return tuple(map(tuple, (-half @ np.array(self.precision)).tolist()))

    def clock(self, t: Tensor) -> Tensor:
        return t * (1 + 4 * t)


SDES: dict[str, LinearSDE] = {
    "vp": VP(),
    "subvp": SubVP(),
    "ve": VE(),
    "geometric": Geometric(),
    "edm": EDM(),
    "cld": CLD(),
    "cld sloped": CLD(beta_0=1.0, beta_1=6.0, m_inv=2.5, gamma=0.1, numerical_eps=0.0),
    "third": Third(),
    "coupled": Coupled(),
}


def times(sde: LinearSDE, *fractions: float) -> Tensor:
    """Times in units of the horizon, ``(n,)`` float64."""
    return sde.horizon * torch.tensor(fractions, dtype=torch.float64)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Reproducible normal numbers that come from nowhere in the package."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def affine(solver, sde, predict, grid, draws, recorded=True):
    """Matrix, offset and noise factor of a run that is affine in state and noise (1 coordinate).

    Args:
        draws: sizes of the run's draws, in order.
        recorded: whether the noise says that it is recorded.
    """
    k, total = sde.phases, sum(draws)
    u = torch.zeros(1 + k + total, k, 1, dtype=torch.float64)
    u[1 : 1 + k, :, 0] = torch.eye(k, dtype=torch.float64)
    noise = torch.zeros(len(u), total, 1, dtype=torch.float64)
    noise[1 + k :, :, 0] = torch.eye(total, dtype=torch.float64)
    noise_fields = RecordedNoise(list(noise.split(draws, 1)))
    noise_fields.recorded = recorded
    rev = Reverse(sde, predict, noise_fields)
    out = solver.solve(rev, u, grid)[:, :, 0]
    rest = out[1:] - out[0]
    return rest[:k].T, out[0], rest[k:].T
