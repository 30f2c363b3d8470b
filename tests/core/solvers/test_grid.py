"""What every time grid does, whatever its formula: exact ends, and bad numbers by name."""

import pytest
import torch

from sgmkit.convergence.reference_processes import Decay, Spread
from sgmkit.errors import BadValue
from sgmkit.solvers import Grid


class Rounded(Grid):
    """Equal steps whose ends are off by rounding."""

    def times(self, sde, steps, t_min):
        return torch.linspace(sde.horizon, t_min, steps + 1, dtype=torch.float64) * (1 + 1e-12)


class Standing(Grid):
    def times(self, sde, steps, t_min):
        return torch.full((steps + 1,), 0.5, dtype=torch.float64)


def test_ends_are_exact():
    times = Rounded()(Spread(), 4, 0.003)
    assert (float(times[0]), float(times[-1])) == (6.0, 0.003)


@pytest.mark.parametrize(
    ("steps", "t_min", "message"),
    [
        (0, 0.1, "steps must be at least 1, not 0"),
        (3, 0.0, "t_min must lie between 0 and the horizon 1, not 0"),
        (3, 1.0, "t_min must lie between 0 and the horizon 1, not 1"),
    ],
)
def test_bad_numbers_are_named(steps, t_min, message):
    with pytest.raises(BadValue) as caught:
        Rounded()(Decay(), steps, t_min)
    assert str(caught.value) == message


def test_times_that_do_not_decrease_are_an_error():
    with pytest.raises(BadValue, match=r"^Standing: the times of Decay do not decrease; "):
        Standing()(Decay(), 3, 0.1)
