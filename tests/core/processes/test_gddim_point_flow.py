"""The probability flow of data that are a single point, against its ODE."""

import math

import pytest
import torch
from support.moments import point_odes
from support.processes import (
    EVERY,
    SEVERAL,
    f64,
)

from sgmkit.processes.gddim import point_flow
from sgmkit_sdes.cld import CLD


@pytest.mark.parametrize("name", ["cld", "cld-sloped", "cld-heavy", "third", "pair", "psld"])
def test_point_flow_solves_its_ode(name):
    sde = EVERY[name]
    for t, s in ((1.0, 0.8), (0.3, 0.1), (0.05, 0.2), (0.01, 0.001)):
        want = point_odes(sde, t, s)
        got = point_flow(sde, f64(t), f64(s), intervals=128)
        source, target = sde.kernel(f64(t)), sde.kernel(f64(s))
        noise = target.whiten @ (got - f64(want)) @ source.chol  # in units of the noise
        assert float(noise.abs().max()) < 1e-7
        assert float((point_flow(sde, f64(t), f64(s)) - got).abs().max()) < 1e-4


@pytest.mark.parametrize("name", EVERY)
def test_point_flow_carries_the_kernel_exactly(name):
    """``Psi S_t Psi^T = S_s`` to rounding, however long the step; many steps at once."""
    sde = EVERY[name]
    t = f64([1.0, 0.5, 0.01]) * sde.horizon
    s = f64([1e-3, 0.4, 0.7]) * sde.horizon
    flow = point_flow(sde, t, s)
    source, target = sde.kernel(t), sde.kernel(s)
    scale = target.cov.diagonal(dim1=-2, dim2=-1).sqrt()
    gap = (flow @ source.cov @ flow.mT - target.cov) / scale[..., None] / scale[..., None, :]
    assert float(gap.abs().max()) < 1e-10
    assert torch.allclose(flow[0], point_flow(sde, t[0], s[0]), rtol=1e-10, atol=1e-13)
    if sde.phases == 1:
        assert torch.allclose(flow, target.chol / source.chol, rtol=1e-13)


@pytest.mark.parametrize("name", SEVERAL)
def test_point_flow_composes(name):
    sde = SEVERAL[name]
    t, m, s = (f64(x) for x in (0.9, 0.5, 0.3))
    whole = point_flow(sde, t, s, intervals=256)
    parts = point_flow(sde, m, s, intervals=256) @ point_flow(sde, t, m, intervals=256)
    source, target = sde.kernel(t), sde.kernel(s)
    assert float((target.whiten @ (whole - parts) @ source.chol).abs().max()) < 1e-7
    back = point_flow(sde, s, t, intervals=256) @ whole
    assert torch.allclose(back, torch.eye(sde.phases).double(), atol=1e-7)
    assert torch.allclose(point_flow(sde, t, t), torch.eye(sde.phases).double(), atol=1e-12)


@pytest.mark.parametrize("name", ["cld", "cld-heavy", "pair"])
def test_point_flow_reaches_a_proper_start(name):
    sde = EVERY[name]
    t, zero = f64(0.01), f64(0.0)
    flow = point_flow(sde, t, zero)
    source, target = sde.kernel(t), sde.kernel(zero)
    assert torch.allclose(flow @ source.cov @ flow.mT, f64(sde.start_cov), rtol=1e-9, atol=1e-15)
    want = f64(point_odes(sde, 0.01, 0.0))
    assert float((target.whiten @ (flow - want) @ source.chol).abs().max()) < 1e-3
    close = point_flow(sde, t, zero, intervals=512)
    assert float((target.whiten @ (close - want) @ source.chol).abs().max()) < 1e-6


def test_point_flow_is_of_fourth_order():
    t, s = f64(1.0), f64(0.05)
    exact = point_flow(CLD(), t, s, intervals=512)
    errors = [float((point_flow(CLD(), t, s, intervals=n) - exact).norm()) for n in (32, 64)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.2)
