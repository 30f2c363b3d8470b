"""Adaptive Runge-Kutta pairs that control the step of each sample on its own.

Step control over the whole batch would make a sample depend on its neighbours. Here each row has a
time, a step and an error of its own; rows that have reached the end drop out, and cost no more
evaluations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.errors import UserError
from sgmkit.processes import over_event

Field = Callable[[Tensor, Tensor], Tensor]
"""``(y (b, *shape), t (b,)) -> dy/dt``."""


@dataclass(frozen=True)
class Pair:
    """An explicit Runge-Kutta pair whose last stage is the first of the next step (FSAL).

    Args:
        name: of the solver, for error messages.
        order: of the solution that is kept; the embedded one is of one order less.
        rows: of Butcher's tableau below the first; the last one has the weights.
        error: weights of all stages in the difference of the two solutions.
    """

    name: str
    order: int
    rows: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]


DORMAND_PRINCE = Pair(
    "rk45",
    5,
    (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
)
"""Dormand & Prince 1980."""
BOGACKI_SHAMPINE = Pair(
    "rk23",
    3,
    ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (5 / 72, -1 / 12, -1 / 9, 1 / 8),
)
"""Bogacki & Shampine 1989."""
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
"""Factor on the proposed step, and the least and largest change of a step."""


def integrate(
    narrow: Callable[[Tensor], Field],
    y: Tensor,
    start: float,
    end: float,
    rtol: float,
    atol: float,
    max_steps: int = 10_000,
    pair: Pair = DORMAND_PRINCE,
) -> Tensor:
    """Solve ``dy/dt = f(y, t)`` from start to end (either direction).

    The error of a row is the root mean square over its elements of the local error divided by
    ``atol + rtol max(|y|, |y_new|)``; a step is taken where it is below one.

    Args:
        narrow: ``index (b,) -> field``, the right-hand side for the rows ``index``; called whenever
            rows drop out.
        y: initial values, ``(B, *shape)``.
        start, end: times.
        rtol, atol: relative and absolute tolerance.
        max_steps: limit on the steps of one row, accepted and rejected ones together.
        pair: the method.

    Raises:
        UserError: if a row needs more steps, or its step falls below the resolution of time.
    """
    out = y.clone()
    if start == end or len(y) == 0:
        return out
    rows = torch.arange(len(y), device=y.device)
    t = torch.full((len(y),), start, dtype=torch.float64, device=y.device)
    field = narrow(rows)
    slope = field(y, t)
    h = _first_step(field, y, slope, t, end, rtol, atol, pair.order)
    fresh = torch.ones_like(t, dtype=torch.bool)  # whether the last step of a row was accepted
    for _ in range(max_steps):
        left = end - t
        last = h.abs() >= left.abs()
        h = torch.where(last, left, h)
        new, new_slope, error = _step(pair, field, y, slope, t, h)
        size = _rms(error / (atol + rtol * torch.maximum(y.abs(), new.abs())))
        taken = size <= 1  # NaN is rejected: the step shrinks until `_check` raises
        # h_new = h min(max(safety size^{-1/p}, shrink), grow); no growth after a rejected step
        factor = _SAFETY * size.clamp_min(1e-10) ** (-1 / pair.order)
        factor = torch.where(torch.isfinite(factor), factor, _SHRINK).clamp(_SHRINK, _GROW)
        factor = torch.where(fresh & taken, factor, factor.clamp(max=1.0))
        t = torch.where(taken, t + h, t)
        y = torch.where(over_event(taken, y), new, y)
        slope = torch.where(over_event(taken, y), new_slope, slope)
        h, fresh = h * factor, taken
        done = taken & last
        _check(pair, ~done & ~(h.abs() >= 1e-15 * t.abs().clamp_min(1e-15)), t, size)
        if bool(done.any()):
            out[rows[done]] = y[done]
            rows, y, slope, t, h, fresh = (v[~done] for v in (rows, y, slope, t, h, fresh))
            if len(rows) == 0:
                return out
            field = narrow(rows)
    raise UserError(f"{pair.name}: {max_steps} steps were not enough; loosen --tol")


def _check(pair: Pair, stuck: Tensor, t: Tensor, size: Tensor) -> None:
    """Raise if any of the rows ``stuck (b,)`` is set, and say why the first one cannot go on."""
    if not bool(stuck.any()):
        return
    row = int(stuck.nonzero()[0])
    if bool(torch.isfinite(size[row])):
        raise UserError(
            f"{pair.name}: the step vanished near t = {float(t[row]):.3g}; loosen --tol"
        )
    raise UserError(f"{pair.name}: the velocity is not finite near t = {float(t[row]):.3g}")


def _rms(v: Tensor) -> Tensor:
    """Root mean square over each row, ``(b,)`` float64."""
    return v.flatten(1).to(torch.float64).square().mean(1).sqrt()


def _first_step(
    field: Field,
    y: Tensor,
    slope: Tensor,
    t: Tensor,
    end: float,
    rtol: float,
    atol: float,
    order: int,
) -> Tensor:
    """Starting step of each row (Hairer, Norsett & Wanner 1993, II.4); costs one evaluation."""
    scale = atol + rtol * y.abs()
    d0, d1 = _rms(y / scale), _rms(slope / scale)
    span = end - t
    h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
    h0 = torch.minimum(h0, span.abs()) * span.sign()
    ahead = field(y + over_event(h0, y) * slope, t + h0)
    d2 = _rms((ahead - slope) / scale) / h0.abs()
    bound = torch.maximum(d1, d2)
    h1 = torch.where(
        bound <= 1e-15, (h0.abs() * 1e-3).clamp_min(1e-6), (0.01 / bound) ** (1 / order)
    )
    return torch.minimum(torch.minimum(100 * h0.abs(), h1), span.abs()) * span.sign()


def _step(
    pair: Pair, field: Field, y: Tensor, slope: Tensor, t: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """New value, its slope (the first stage of the next step) and the local error."""
    # k_i = f(y + h sum_j a_ij k_j, t + c_i h), with c_i the sum of row i
    step = over_event(h, y)
    stages = [slope]
    new = y
    for row in pair.rows:
        new = y + step * sum((a * k for a, k in zip(row, stages, strict=True) if a), start=0 * y)
        stages.append(field(new, t + sum(row) * h))
    error = step * sum((e * k for e, k in zip(pair.error, stages, strict=True) if e), start=0 * y)
    return new, stages[-1], error
