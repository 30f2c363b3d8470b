"""Solvers of torchdiffeq: its methods, on our problems."""

import math
from itertools import count, pairwise

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, numbers, times
from torch import Tensor
from torchdiffeq import odeint
from torchdiffeq._impl.odeint import SOLVERS

import sgmkit
from sgmkit import Reverse, SeededNoise
from sgmkit.convergence.orders import rms
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.problems import mixture_problems
from sgmkit.errors import BadValue, UserError
from sgmkit.testing import measured_order, parametrize_checks
from sgmkit_exact.exact import Exact
from sgmkit_libraries import torchdiffeq_solver
from sgmkit_libraries.torchdiffeq_solver import TorchDiffEq
from sgmkit_sdes.vp import VP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.heun import Heun

FIXED = [name for name, fact in torchdiffeq_solver._FACTS.items() if fact.nodes]
ADAPTIVE = [name for name, fact in torchdiffeq_solver._FACTS.items() if not fact.nodes]
UNKNOWN = "input should be 'dopri8', .* or 'fixed_adams', not 'rk5'"


# The suite: dopri5, the default, passes it where all registered solvers do -----------------------


@parametrize_checks(
    "solver",
    *(f"torchdiffeq:method={name}" for name in [*FIXED, *ADAPTIVE] if name != "dopri5"),
)
def test_torchdiffeq(check):
    check()


def test_offered_by_name():
    assert sgmkit.create("solver", "torchdiffeq:method=euler") == TorchDiffEq("euler")
    with pytest.raises(BadValue, match=UNKNOWN):
        sgmkit.create("solver", "torchdiffeq:method=rk5")


def test_every_method_is_offered_or_refused():
    """A table then shows why; the docstring names them."""
    refused = {"explicit_adams", "implicit_adams", "fixed_adams"}
    assert {*FIXED, *ADAPTIVE, *refused} == set(SOLVERS)
    assert all(f"``{name}``" in TorchDiffEq.__doc__ for name in refused)
    for name in refused:
        reason = TorchDiffEq(name).supports(VP())
        assert reason is not None
        assert "weights of equal steps" in reason
    assert not any(TorchDiffEq(name).supports(VP()) for name in [*FIXED, *ADAPTIVE])


def test_orders_are_the_libraries_own():
    own = [name for name in [*FIXED, *ADAPTIVE] if name != "scipy_solver"]
    for name in own:
        assert TorchDiffEq(name).order == SOLVERS[name].order
    for name in set(own) - set(FIXED):
        assert TorchDiffEq(name).cost == len(SOLVERS[name].tableau.alpha)


@pytest.mark.parametrize("name", FIXED)
def test_orders_are_no_higher_than_declared(name):
    order = measured_order(TorchDiffEq(name), mixture_problems()[3]).value
    assert abs(order - TorchDiffEq(name).order) < 0.25


# What is refused, and why -------------------------------------------------------------------------


def growth(t: Tensor, y: Tensor) -> Tensor:
    """y' = cos(t) y, whose solution is exp(sin t)."""
    return t.cos() * y


@pytest.mark.filterwarnings("ignore:Functional iteration did not converge")
@pytest.mark.parametrize("name", ["explicit_adams", "implicit_adams", "rk4"])
def test_adams_methods_have_the_weights_of_equal_steps(name):
    """Where short and long steps alternate they are lost; rk4 is not."""
    even = torch.linspace(0.0, 2.0, 513, dtype=torch.float64)
    uneven = even.clone()
    uneven[1::2] -= 0.5 * float(even[1])
    one, errors = torch.ones(1, dtype=torch.float64), []
    for grid in (even, uneven):
        path = odeint(growth, one, grid, rtol=1e-12, atol=1e-14, method=name)
        errors.append(abs(float(path[-1]) - math.exp(math.sin(2.0))))
    assert errors[0] < 1e-9
    assert (errors[1] > 1e-2) == (name != "rk4")


def test_fehlberg2_keeps_no_tolerance():
    problem = mixture_problems()[0]
    ends = problem.grid(1)
    start, end = problem.flow(ends, 16)
    rev = problem.reverse(SilentNoise(len(start)))
    path = odeint(
        lambda t, y: rev.velocity(y, t),
        start,
        ends,
        rtol=1e-6,
        atol=1e-6,
        method="fehlberg2",
        options={"step_t": ends[1:]},
    )
    assert rms(path[-1] - end) > 1e-4


# What is offered ----------------------------------------------------------------------------------


def exact(name: str, rows: int = 5) -> tuple[Reverse, Tensor, Tensor]:
    """A reverse problem, a start and an uneven grid."""
    process = SDES[name]
    rev = Reverse(process, Exact(process, MIXTURE).eps, SeededNoise(3, range(rows)))
    return rev, numbers(rows, process.phases, 2), times(process, 1.0, 0.8, 0.7, 0.4, 0.1)


@pytest.mark.parametrize("method", FIXED)
def test_coefficients_are_computed_once_for_the_grid(method, monkeypatch):
    calls, prepare = count(), Reverse.prepare
    monkeypatch.setattr(Reverse, "prepare", lambda *args: (next(calls), prepare(*args)))
    rev, start, grid = exact("cld")
    TorchDiffEq(method).solve(rev, start.float(), grid)
    assert next(calls) == 1


@pytest.mark.parametrize("name", ["vp", "cld", "coupled"])
def test_fixed_steps_are_those_of_the_grid(name):
    """Euler's and the midpoint's by hand, and our own Heun."""
    rev, start, grid = exact(name)
    euler = middle = start
    for t, s in pairwise(grid):
        euler = euler + (s - t) * rev.velocity(euler, t)
        half = middle + (s - t) / 2 * rev.velocity(middle, t)
        middle = middle + (s - t) * rev.velocity(half, t + (s - t) / 2)
    expected = {"euler": euler, "midpoint": middle, "heun2": Heun().solve(rev, start, grid)}
    for method, want in expected.items():
        got = TorchDiffEq(method).solve(rev, start, grid)
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["vp", "cld"])
def test_adaptive_methods_agree_with_rk45(name):
    rev, start, grid = exact(name)
    want = RK45(rtol=1e-7, atol=1e-7).solve(rev, start, grid)
    for method in ("dopri8", "dopri5"):
        got = TorchDiffEq(method, rtol=1e-7, atol=1e-7).solve(rev, start, grid)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
def test_nothing_is_evaluated_beyond_the_ends(method):
    """Nor where a slow flow invites a long first step: VP leaves N(0, 1) as it is."""
    seen: list[tuple[float, torch.dtype]] = []
    total = VP()

    def still(u: Tensor, t: Tensor) -> Tensor:
        seen.append((float(t), t.dtype))
        return u * total.kernel(t).chol * (1 + 1e-7 * u.square())

    rev, grid = Reverse(total, still, SilentNoise(4)), times(total, 1.0, 0.5, 0.02)
    out = TorchDiffEq(method).solve(rev, numbers(4, 1, 2).float(), grid)
    assert out.dtype == torch.float32
    assert {dtype for _, dtype in seen} == {torch.float64}
    assert max(seen)[0] == 1.0
    assert min(seen)[0] == float(grid[-1])
    landing = int((SOLVERS[method].tableau.alpha == 1).sum())  # the last stages of the last step
    # And the guess; the library keeps last stages one rounding short of the end.
    assert sum(t < float(grid[-1]) + 1e-14 for t, _ in seen) == landing + 1
    assert (len(seen) - 2) % TorchDiffEq(method).cost == 0
    assert rev.calls.tolist() == [len(seen)] * 4


def test_the_library_alone_goes_beyond():
    """What ``step_t`` is for: without it an adaptive step passes the end."""
    seen: list[float] = []

    def slope(t: Tensor, y: Tensor) -> Tensor:
        seen.append(float(t))
        return growth(t, y)

    odeint(slope, torch.ones(1).double(), torch.tensor([1.0, 0.01]).double(), rtol=1e-3, atol=1e-3)
    assert min(seen) < 0


@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_a_flow_that_is_not_finite_is_an_error_of_one_line(method):
    rev = Reverse(VP(), lambda u, t: u * math.nan, SilentNoise(2))
    with pytest.raises(UserError, match=rf"^torchdiffeq {method}: .*looser --tol may help$"):
        TorchDiffEq(method).solve(rev, numbers(2, 1, 2), times(VP(), 1.0, 0.02))
