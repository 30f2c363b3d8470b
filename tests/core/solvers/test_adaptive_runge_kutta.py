"""The adaptive pair: against other solvers, row by row, and when it cannot go on."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate as scipy_integrate
from support.golden_solvers_data import numbers
from torchdiffeq import odeint

from sgmkit.errors import UserError
from sgmkit.solvers import adaptive_runge_kutta as ode


def solve(field, y, start, end, tol, **options):
    """Integrate a field that is the same for every row."""
    return ode.integrate(lambda rows: field, y, start, end, tol, tol, **options)


def pendulum(y, t):
    """A driven pendulum on states ``(b, 2)``, with the time given for each row."""
    angle, speed = y.unbind(1)
    return torch.stack([speed, -angle.sin() - 0.1 * speed + (3 * t).cos()], 1)


class Counted:
    """A field for each row, which notes the rows it was evaluated for."""

    def __init__(self, field, rows):
        self.field, self.calls = field, torch.zeros(rows, dtype=torch.int64)

    def __call__(self, index):
        def field(y, t):
            assert y.shape[0] == t.shape[0] == len(index)
            self.calls[index] += 1
            return self.field(y, t, index)

        return field


PAIRS = [
    (ode.DORMAND_PRINCE, scipy_integrate.RK45),
    (ode.BOGACKI_SHAMPINE, scipy_integrate.RK23),
]


@pytest.mark.parametrize(("pair", "reference"), PAIRS, ids=["rk45", "rk23"])
def test_tableaux_are_those_of_scipy(pair, reference):
    *stages, weights = pair.rows
    for row, line, node in zip(stages, reference.A[1:], reference.C[1:], strict=True):
        np.testing.assert_allclose(row, line[: len(row)], rtol=0, atol=1e-15)
        assert sum(row) == pytest.approx(node, abs=1e-14)
    np.testing.assert_allclose(weights, reference.B, rtol=0, atol=1e-15)
    np.testing.assert_allclose(pair.error, reference.E, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (2.0, 0.5), (-1.0, 1.0)])
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("number", [0, 1])
def test_steps_are_those_of_scipy(start, end, tol, number):
    """Step control after the same book: with one row, evaluations and values agree to rounding."""

    def field(t, y):
        now = torch.tensor([t], dtype=torch.float64)
        return pendulum(torch.from_numpy(y)[None], now)[0].numpy()

    pair, method = PAIRS[number]
    reference = scipy_integrate.solve_ivp(
        field, (start, end), [1.0, -0.5], method, rtol=tol, atol=tol
    )
    count = Counted(lambda y, t, index: pendulum(y, t), 1)
    y = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    out = ode.integrate(count, y, start, end, tol, tol, pair=pair)
    assert int(count.calls) == reference.nfev
    np.testing.assert_allclose(out[0].numpy(), reference.y[:, -1], rtol=0, atol=1e-13)


def test_rejected_steps_are_those_of_scipy():
    """A field that jumps forces rejections: the step does not grow right after one."""

    def field(t, y):
        return np.array([100.0 * (t > 0.3) * math.cos(40 * t) - y[0]])

    reference = scipy_integrate.solve_ivp(field, (0.0, 1.0), [1.0], rtol=1e-5, atol=1e-5)
    count = Counted(lambda y, t, index: 100.0 * (t > 0.3) * (40 * t).cos()[:, None] - y, 1)
    y = torch.ones(1, 1, dtype=torch.float64)
    out = ode.integrate(count, y, 0.0, 1.0, 1e-5, 1e-5)
    assert int(count.calls) == reference.nfev
    rejected = reference.nfev - 2 - 6 * (len(reference.t) - 1)
    assert rejected >= 5 * 6
    np.testing.assert_allclose(out[0].numpy(), reference.y[:, -1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.5), (1.0, 0.1)])
def test_agrees_with_torchdiffeq(start, end):
    y = numbers(5, 2)
    times = torch.tensor([start, end], dtype=torch.float64)
    ours = solve(pendulum, y, start, end, 1e-10)
    theirs = odeint(
        lambda t, y: pendulum(y, t.expand(len(y))),
        y,
        times,
        rtol=1e-11,
        atol=1e-11,
        method="dopri5",
    )[-1]
    assert float((ours - theirs).abs().max()) < 1e-8


def test_error_falls_with_the_tolerance():
    """y' = cos(t) y: the error keeps below the tolerance's size and falls with the fifth power."""
    y = torch.tensor([[1.0]], dtype=torch.float64)
    errors, counts = [], []
    for tol in (1e-4, 1e-6, 1e-8, 1e-10):
        count = Counted(lambda y, t, index: t.cos()[:, None] * y, 1)
        out = ode.integrate(count, y, 0.0, 6.0, tol, tol)
        errors.append(abs(float(out) - math.exp(math.sin(6.0))))
        counts.append(int(count.calls))
        assert errors[-1] < 20 * tol
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 4.5 < order < 6


def test_quadrature_of_a_quartic_is_exact():
    y = torch.zeros(1, 1, dtype=torch.float64)
    out = solve(lambda y, t: 5 * t[:, None] ** 4, y, 0.0, 2.0, 1.0)
    assert float(out) == pytest.approx(32.0, rel=1e-14)


def test_tolerances_are_relative_and_absolute():
    """A large solution needs few steps under rtol and many under atol alone."""

    def calls(rtol, atol):
        count = Counted(lambda y, t, index: -y, 1)
        ode.integrate(count, torch.full((1, 1), 1e6, dtype=torch.float64), 0.0, 1.0, rtol, atol)
        return int(count.calls)

    assert calls(1e-6, 1e-12) == calls(1e-6, 1e-9)
    assert abs(calls(1e-12, 1.0) - calls(1e-6, 1e-12)) <= 12  # 1 of 1e6 is what rtol = 1e-6 allows
    assert calls(1e-12, 1e-6) > 3 * calls(1e-12, 1.0)


def test_error_is_a_mean_over_elements():
    """A row of equal elements takes the steps of one element: sums would take more."""
    counts = []
    for width in (1, 64):
        count = Counted(lambda y, t, index: -y * (5 * t).cos().reshape(-1, 1, 1), 1)
        y = torch.ones(1, width, 2, dtype=torch.float64)
        ode.integrate(count, y, 0.0, 3.0, 1e-6, 1e-6)
        counts.append(int(count.calls))
    assert counts[0] == counts[1]


RATES = torch.tensor([0.1, 30.0, 3.0, 100.0, 1.0, 10.0, 0.02], dtype=torch.float64)


def relax(y, t, index):
    """Rows of very different stiffness, ``(b, 2, 3)``."""
    return RATES[index][:, None, None] * (t.cos()[:, None, None] - y)


def test_rows_do_not_see_each_other():
    y = numbers(7, 2, 3)
    whole = Counted(relax, 7)
    together = ode.integrate(whole, y, 1.0, 0.0, 1e-4, 1e-4)
    for row in range(7):
        alone = Counted(lambda y, t, index, row=row: relax(y, t, index + row), 1)
        single = ode.integrate(alone, y[row : row + 1], 1.0, 0.0, 1e-4, 1e-4)
        assert torch.equal(single[0], together[row])
        assert int(alone.calls) == int(whole.calls[row])


def test_rows_that_arrived_are_not_evaluated():
    count = Counted(relax, 7)
    ode.integrate(count, numbers(7, 2, 3), 0.0, 1.0, 1e-6, 1e-6)
    assert bool(((count.calls - 2) % 6 == 0).all())  # two to start, six for each step
    by_rate = count.calls[RATES.argsort()]
    assert bool((by_rate.diff() >= 0).all())
    assert int(by_rate[-1]) > 10 * int(by_rate[0])


def test_row_at_rest_stays():
    y = torch.zeros(2, 3, dtype=torch.float64)
    assert torch.equal(solve(lambda y, t: 0 * y, y, 0.0, 1.0, 1e-9), y)


def test_no_way_to_go_and_nobody_to_take():
    def never(rows):
        raise AssertionError("nothing to evaluate")

    y = numbers(3, 2)
    out = ode.integrate(never, y, 0.5, 0.5, 1e-3, 1e-3)
    assert torch.equal(out, y)
    assert out is not y
    assert ode.integrate(never, y[:0], 0.0, 1.0, 1e-3, 1e-3).shape == (0, 2)


def test_state_keeps_its_dtype_and_its_values():
    y = numbers(3, 2).float()
    kept = y.clone()
    out = solve(pendulum_in_float, y, 0.0, 1.0, 1e-4)
    assert out.dtype == torch.float32
    assert torch.equal(y, kept)
    assert float((out - solve(pendulum, y.double(), 0.0, 1.0, 1e-10)).abs().max()) < 1e-3


def pendulum_in_float(y, t):
    assert y.dtype == torch.float32
    assert t.dtype == torch.float64
    return pendulum(y, t.float())


def spoiled(after):
    """Row 1 has no finite velocity once t exceeds ``after``."""

    def field(y, t, index):
        bad = (index == 1) & (t > after)
        return torch.where(bad[:, None], torch.nan, -y)

    return Counted(field, 3)


@pytest.mark.parametrize(("after", "place"), [(0.5, "0.5"), (-1.0, "0")])
def test_velocity_that_is_not_finite(after, place):
    count = spoiled(after)
    with pytest.raises(UserError) as caught:
        ode.integrate(count, numbers(3, 2), 0.0, 1.0, 1e-6, 1e-6)
    assert str(caught.value) == f"rk45: the velocity is not finite near t = {place}"
    assert int(count.calls.max()) < 1000  # and it is seen early


def test_solution_that_leaves_in_finite_time():
    """y' = y^2 from 1 blows up at t = 1, where steps shrink below the resolution of time."""
    y = torch.tensor([[0.1], [1.0]], dtype=torch.float64)
    with pytest.raises(UserError) as caught:
        solve(lambda y, t: y.square(), y, 0.0, 2.0, 1e-6)
    assert str(caught.value) == "rk45: the step vanished near t = 1; loosen --tol"


def test_too_many_steps():
    with pytest.raises(UserError) as caught:
        solve(pendulum, numbers(2, 2), 0.0, 50.0, 1e-9, max_steps=20)
    assert str(caught.value) == "rk45: 20 steps were not enough; loosen --tol"
