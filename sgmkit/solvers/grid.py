"""What a time grid is."""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes import LinearSDE


class Grid(ABC):
    """A rule that places the times of a fixed number of steps."""

    @abstractmethod
    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        """``(steps + 1,)`` float64 times on the CPU, decreasing from the horizon to ``t_min``."""

    @final
    def __call__(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        """`times` with exact ends.

        Raises:
            BadValue: if there are no steps, the cut-off ``t_min`` lies outside (0, T), or the times
                do not decrease.
        """
        if steps < 1:
            raise BadValue(f"steps must be at least 1, not {steps}")
        if not 0 < t_min < sde.horizon:
            raise BadValue(
                f"t_min must lie between 0 and the horizon {sde.horizon:g}, not {t_min:g}"
            )
        times = self.times(sde, steps, t_min)
        times[0], times[-1] = sde.horizon, t_min  # exactly, whatever the formula rounds to
        if not bool((times.diff() < 0).all()):
            raise BadValue(
                f"{type(self).__name__}: the times of {type(sde).__name__} do not decrease; "
                "is its signal-to-noise ratio zero or not finite at the horizon?"
            )
        return times
