"""Variables of time: values and slopes by definition, and times placed evenly in them."""

import pytest
import torch
from support.processes import f64

from sgmkit.errors import BadValue
from sgmkit.processes import noise_level, times_between, variable_and_rate
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP

SDES = {"vp": VP(), "edm": EDM(), "cld": CLD()}


def values(sde, variable, t):
    match variable:
        case "t":
            return t
        case "sqrt":
            return t.sqrt()
        case "sigma":
            return noise_level(sde, t)
        case "logsnr":
            return -noise_level(sde, t).log()


@pytest.mark.parametrize("variable", ["t", "logsnr", "sigma"])
@pytest.mark.parametrize("name", SDES)
def test_value_and_slope(name, variable):
    sde = SDES[name]
    t = f64([0.05, 0.4, 0.9]) * sde.horizon
    value, rate = variable_and_rate(sde, variable, t)
    assert torch.allclose(value, values(sde, variable, t), rtol=1e-13, atol=0)
    h = 1e-4 * t
    ends = [values(sde, variable, t + n * h) for n in (-1, 1)]
    assert torch.allclose(rate, (ends[1] - ends[0]) / (2 * h), rtol=1e-5)


@pytest.mark.parametrize("variable", ["t", "sqrt", "logsnr", "sigma"])
@pytest.mark.parametrize("name", SDES)
def test_times_lie_at_their_share_of_the_way(name, variable):
    sde = SDES[name]
    t, s = f64([0.9, 0.4]) * sde.horizon, f64([0.4, 0.05]) * sde.horizon
    for share in (0.25, f64([0.5, 0.75])):
        between = values(sde, variable, times_between(sde, variable, t, s, share))
        start, end = values(sde, variable, t), values(sde, variable, s)
        assert torch.allclose(between, start + share * (end - start), rtol=1e-9)


def test_no_times_lie_between_by_an_unknown_variable():
    with pytest.raises(BadValue) as caught:
        times_between(VP(), "snr", f64([0.5]), f64([0.1]), 0.5)
    assert str(caught.value) == "variable 'snr' is none of t, logsnr, sigma, sqrt"


def test_an_unknown_variable():
    with pytest.raises(BadValue) as caught:
        variable_and_rate(VP(), "snr", f64([0.5]))
    assert str(caught.value) == "variable 'snr' is none of t, logsnr, sigma"
