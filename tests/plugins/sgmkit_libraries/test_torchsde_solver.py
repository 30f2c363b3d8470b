"""Solvers of torchsde: its schemes, on our problems and our noise."""

import math
from itertools import count

import numpy as np
import pytest
import torch
import torchsde
from support.golden_solvers_data import MIXTURE, SDES, numbers, times
from torch import Tensor
from torchsde.settings import METHODS

import sgmkit
from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.convergence.problems import gaussian_problems
from sgmkit.testing import measured_order, parametrize_checks
from sgmkit_exact.exact import Exact
from sgmkit_libraries import torchsde_solver
from sgmkit_libraries.torchsde_solver import TorchSDE
from sgmkit_sdes.ve import EDM
from sgmkit_solvers.euler_maruyama import Euler

STOCHASTIC = list(torchsde_solver._FACTS)


@parametrize_checks("solver", *(f"torchsde:method={name}" for name in STOCHASTIC if name != "srk"))
def test_torchsde(check):
    """srk, the default, passes where all registered solvers do."""
    check()


def test_every_method_is_offered_or_refused():
    """The docstring names what is not offered, and why."""
    assert sgmkit.create("solver", "torchsde:method=euler") == TorchSDE("euler")
    assert {*STOCHASTIC, "reversible_heun", "adjoint_reversible_heun"} == set(METHODS.all())
    assert "``reversible_heun``" in TorchSDE.__doc__


def exact(name: str, rows: int = 5) -> tuple[Reverse, Tensor, Tensor]:
    """A reverse problem, a start and an uneven grid."""
    process = SDES[name]
    rev = Reverse(process, Exact(process, MIXTURE).eps, SeededNoise(3, range(rows)))
    return rev, numbers(rows, process.phases, 2), times(process, 1.0, 0.8, 0.7, 0.4, 0.1)


@pytest.mark.parametrize("method", STOCHASTIC)
def test_coefficients_are_computed_once_for_the_grid(method, monkeypatch):
    calls, prepare = count(), Reverse.prepare
    monkeypatch.setattr(Reverse, "prepare", lambda *args: (next(calls), prepare(*args)))
    counter, own = count(), SDES["cld"].noise_factor
    monkeypatch.setattr(type(SDES["cld"]), "noise_factor", lambda _, t: (next(counter), own(t))[1])
    rev, start, grid = exact("cld")
    grid = grid * 0.97  # which no other test uses
    TorchSDE(method).solve(rev, start, grid)
    assert next(calls) == 1
    assert next(counter) <= 2


@pytest.mark.parametrize("name", ["vp", "geometric", "cld", "coupled", "third"])
def test_euler_is_ours(name):
    """And milstein too, for the noise is additive; log_ode is midpoint."""
    _, start, grid = exact(name)
    ends = [
        solver.solve(exact(name)[0], start, grid)
        for solver in (Euler(), TorchSDE("euler"), TorchSDE("milstein"))
    ]
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-12, atol=1e-12)
    pair = [TorchSDE(x).solve(exact(name)[0], start, grid) for x in ("midpoint", "log_ode")]
    assert torch.equal(*pair)


class Written:
    """The reverse SDE of a process as a user of torchsde would write it down, for N(0, 1) data.

    States are ``(B, k)``; time is counted from the start of the grid.
    """

    noise_type = "additive"

    def __init__(self, process, calculus: str) -> None:
        self.process, self.sde_type = process, calculus

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        now = 1 - t
        kernel = self.process.kernel(now)
        total = kernel.cov + kernel.mean[:, None] * kernel.mean
        score = -torch.linalg.solve(total, y.T)
        matrices = self.process.drift(now), self.process.diffusion(now)
        return (-matrices[0] @ y.T + matrices[1] @ score).T

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.cholesky(self.process.diffusion(1 - t)).expand(len(y), -1, -1)


class Path:
    """Given increments and space-time areas over eight equal steps."""

    levy_area_approximation = "foster"

    def __init__(self, w: Tensor, u: Tensor) -> None:
        self.w, self.u, self.shape = w, u, w.shape[1:]

    def __call__(self, start, end, return_U=False, return_A=False):
        n = round(float(start) * 16)
        if return_U:
            return self.w[n], self.u[n]
        return (self.w[n], 0) if return_A else self.w[n]


@pytest.mark.parametrize("method", STOCHASTIC)
def test_a_step_is_the_librarys(method):
    """Against ``torchsde.sdeint`` on equal steps, with both phases driven and the same noise."""
    process, rows, h = SDES["coupled"], 6, 1 / 16
    grid = 1 - h * torch.arange(9, dtype=torch.float64)
    z = numbers(8, 2, rows, 2, seed=4)
    w = z[:, 0] * h**0.5
    path = Path(w, h / 2 * w + (h**3 / 12) ** 0.5 * z[:, 1])
    start = numbers(rows, 2, seed=5)
    # `sdeint` checks shapes with what it has been given, so that one call more is made.
    written = Written(process, torchsde_solver._FACTS[method].calculus)
    want = torchsde.sdeint(written, start, 1 - grid, bm=path, method=method, dt=h)[-1]

    def eps(u: Tensor, t: Tensor) -> Tensor:
        kernel = process.kernel(t)
        total = kernel.cov + kernel.mean[:, None] * kernel.mean
        return kernel.chol.mT @ torch.linalg.solve(total, u)

    draws = [draw[..., None] for step in z for draw in step[: 1 + (method == "srk")]]
    rev = Reverse(process, eps, RecordedNoise(draws))
    got = TorchSDE(method).solve(rev, start[..., None], grid)[..., 0]
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    assert rev.calls.tolist() == [8 * TorchSDE(method).cost] * rows


def test_increments_and_areas_have_their_law():
    """``E W^2 = h``, ``E W U = h^2/2``, ``E U^2 = h^3/3``; U is a Brownian interval's."""
    start, end = torch.tensor([0.25, 0.65], dtype=torch.float64)
    h, unit = float(end - start), torch.eye(2, dtype=torch.float64)
    draws = iter(unit)
    w, u = torchsde_solver._Brownian(lambda: next(draws))(start, end, return_U=True)
    law = torch.stack([w, u]) @ torch.stack([w, u]).T
    want = torch.tensor([[h, h**2 / 2], [h**2 / 2, h**3 / 3]], dtype=torch.float64)
    torch.testing.assert_close(law, want)
    area = (h / 12) ** 0.5 * unit[1]
    interval = torchsde.BrownianInterval(
        float(start), float(end), W=w, H=area, levy_area_approximation="space-time"
    )
    torch.testing.assert_close(interval(float(start), float(end), return_U=True), (w, u))


@pytest.mark.parametrize("method", STOCHASTIC)
def test_weak_orders_where_the_drift_is_not_linear(method):
    """One step of ``dX = X^2 dtau + g(tau) dw`` in quadrature, against the expansion of its law.

    ``E phi(X_h) = phi + h L phi + h^2/2 L^2 phi + O(h^3)`` for phi = x and x^2, by hand.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    weights = torch.from_numpy(np.outer(weights, weights).ravel() / (2 * np.pi))
    z = torch.from_numpy(np.stack(np.meshgrid(nodes, nodes)).reshape(2, -1, 1, 1))
    x, begin = 0.7, 1.5
    variance, slope = 2 * begin, -2.0  # g^2 = 2 t = 2 (begin - tau): EDM's

    def residuals(h: float) -> list[float]:
        noise = RecordedNoise(list(z))
        rev = Reverse.from_score(EDM(), lambda u, t: u.square() / (2 * t), noise)
        u = torch.full((len(weights), 1, 1), x, dtype=torch.float64)
        grid = torch.tensor([begin, begin - h], dtype=torch.float64)
        out = TorchSDE(method).solve(rev, u, grid).flatten()
        first = x + h * x**2 + h**2 / 2 * (2 * x**3 + variance)
        second = x**2 + h * (2 * x**3 + variance)
        second += h**2 / 2 * (slope + 6 * x**4 + 6 * variance * x)
        means = (weights * out).sum(), (weights * out.square()).sum()
        return [abs(float(mean) - goal) for mean, goal in zip(means, (first, second), strict=True)]

    rows = zip(residuals(1e-2), residuals(5e-3), strict=True)
    local = min(math.log2(coarse / fine) for coarse, fine in rows)
    assert abs(local - 1 - TorchSDE(method).order) < 0.1


@pytest.mark.parametrize("method", ["srk", "heun"])
def test_weak_orders_are_no_higher_than_declared(method):
    assert abs(measured_order(TorchSDE(method), gaussian_problems()[3]).value - 2) < 0.15
