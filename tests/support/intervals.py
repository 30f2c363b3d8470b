"""Means of draws against the numbers that they estimate."""

import math

from torch import Tensor


def check(nats: Tensor, want: float) -> None:
    error = float(nats.std()) / math.sqrt(len(nats))
    assert error < 0.08
    assert abs(float(nats.mean()) - want) < 4 * error
