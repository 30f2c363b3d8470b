"""Checks of a time grid."""

from collections.abc import Iterator

import torch

from sgmkit.convergence.reference_processes import describe, processes
from sgmkit.errors import BadValue
from sgmkit.processes import LinearSDE
from sgmkit.solvers import Grid
from sgmkit.testing.result import Check, global_rng_untouched, require

STEPS = (1, 17)
"""Numbers of steps that are tried."""


def applicable(grid: Grid) -> Iterator[Check]:
    """All checks of grids, which declare no facts."""
    yield from (check_form, check_decreasing, check_ends, check_fresh)
    yield from (check_bad_values, check_global_rng)


def check_form(grid: Grid) -> str:
    """``(steps + 1,)`` finite float64 times on the CPU, for any process and number of steps."""
    for sde in _one_each():
        for steps in STEPS:
            times = grid(sde, steps, 0.01 * sde.horizon)
            shape, case = tuple(times.shape), f"{steps} steps, {describe(sde)}"
            require(shape == (steps + 1,), f"{shape} for {case}, not {(steps + 1,)}")
            good = times.dtype == torch.float64 and times.device.type == "cpu"
            require(good, f"times are {times.dtype} on {times.device}, not float64 on the CPU")
            require(bool(times.isfinite().all()), f"times are not finite for {case}")
    return f"{' and '.join(map(str, STEPS))} steps, float64"


def check_decreasing(grid: Grid) -> str:
    """Times decrease strictly, also for t_min = 1e-5 T."""
    for sde in _one_each():
        times = grid(sde, 17, 1e-5 * sde.horizon)
        require(bool((times.diff() < 0).all()), f"times do not decrease, {describe(sde)}")
    return "down to 1e-5 T"


def check_ends(grid: Grid) -> str:
    """Times begin at the horizon and end at t_min, exactly; the formula gives them to 1e-6."""
    for sde in _one_each():
        goals = (sde.horizon, 0.003 * sde.horizon)
        for times, close in ((grid(sde, 9, goals[1]), 0.0), (grid.times(sde, 9, goals[1]), 1e-6)):
            ends = float(times[0]), float(times[-1])
            off = max(abs(end / goal - 1) for end, goal in zip(ends, goals, strict=True))
            message = f"from {ends[0]:.9g} to {ends[1]:.9g}, not {goals[0]:g} to {goals[1]:g}"
            require(off <= close, f"{message}, {describe(sde)}")
    return "T and t_min"


def check_fresh(grid: Grid) -> str:
    """Each call returns the same times in a new tensor, so that nobody else can modify them."""
    sde = processes()[0]
    first, second = (grid(sde, 5, 0.01 * sde.horizon) for _ in range(2))
    require(torch.equal(first, second), "two calls give different times")
    require(first.data_ptr() != second.data_ptr(), "two calls return one tensor: return a new one")
    return "a new tensor"


def check_bad_values(grid: Grid) -> str:
    """Zero steps, or a t_min outside (0, T), raises `BadValue`."""
    sde = processes()[0]
    for steps, t_min in ((0, 0.01), (3, 0.0), (3, sde.horizon)):
        try:
            grid(sde, steps, t_min)
        except BadValue:
            continue
        require(False, f"{steps} steps to t_min = {t_min:g} are not refused with BadValue")
    return "refused"


def check_global_rng(grid: Grid) -> str:
    """No global random generator is used or seeded."""
    with global_rng_untouched():
        grid(processes()[0], 5, 0.01)
    return "untouched"


def _one_each() -> list[LinearSDE]:
    """One reference process for each number of phases."""
    return list({sde.phases: sde for sde in processes()}.values())
