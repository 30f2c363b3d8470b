"""One SDE and the exact laws of data under it that errors are measured on."""

from sgmkit.convergence.problems import (
    WIDE_INTERVAL,
    Interval,
    Problem,
    first_coordinate,
    gaussian,
)
from sgmkit.data import Mixture
from sgmkit.processes import LinearSDE

SEED = 1
"""Of the exact draws that strong errors start from: published tables were made with it."""


class ProblemSet:
    """One SDE, and the problems that its errors are measured on; they share grids and coefficients.

    Args:
        sde: the process.
        law: a mixture of J components, flattened: ``means (J, N)``.
        starts: of the probability flow that strong errors are measured from.
        interval: of log-SNR, in which errors arise.

    Attributes:
        full: all coordinates of the mixture, for strong errors.
        line: its first coordinate, for weak errors.
        normal: one Gaussian in one coordinate, for weak errors that are free of chance.
    """

    def __init__(
        self,
        sde: LinearSDE,
        law: Mixture,
        starts: int = 64,
        interval: Interval = WIDE_INTERVAL,
    ) -> None:
        self.sde, self.starts = sde, starts
        self.full = Problem(sde, law, interval=interval, seed=SEED)
        self.line = self.full.of(first_coordinate(law))
        self.normal = self.full.of(gaussian())
