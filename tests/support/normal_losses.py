"""Losses of score matching on Normal data, row by row, with times that are evenly spread."""

import math

import torch
from torch import Tensor

from sgmkit import Batch, Noise, SeededNoise
from sgmkit.processes import weighted_error

WEIGHTINGS = ["likelihood", "reweighted", "unweighted", "edm"]
ROWS = 16_000


class Even(Noise):
    """Normal numbers as ever, uniform ones evenly spread: chance has no part in an integral."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        self.source, self.ids = SeededNoise(seed, range(rows)), torch.arange(rows)

    def __call__(self, like: Tensor) -> Tensor:
        return self.source(like)

    def uniform(self, like: Tensor) -> Tensor:
        assert like.shape == (len(self.ids),)
        return (self.ids.to(like) + 0.5) / len(self.ids)

    def stream(self, name: str) -> "Even":
        other = Even(0)
        other.source, other.ids = self.source.stream(name), self.ids
        return other

    select = uniform


def normal_data(sde, rows=ROWS):
    x = SeededNoise(7, range(rows))(torch.empty(rows, 1, dtype=torch.float64))
    return Batch(sde.data_var() ** 0.5 * x, None, torch.arange(rows))


def per_row(model, batch, noise):
    """Rows whose mean is the loss's total."""
    match = model.match(batch, noise)
    rows = weighted_error(match.weight, match.error) / match.density
    return rows / math.prod(model.event) / model.problem.times(model.problem.weighting).total


def agrees(rows: Tensor, want: float, errors: float = 4.0) -> bool:
    error = float(rows.std()) / math.sqrt(len(rows))
    return abs(float(rows.mean()) - want) < errors * error
