"""Processes without a closed form, the flow of one data point, and errors."""

import math

import pytest
import torch
from support.moments import point_odes
from support.processes import (
    EVERY,
    SEVERAL,
    General,
    Pair,
    Twisting,
    f64,
)

from sgmkit.processes.gddim import point_flow
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import Geometric


@pytest.mark.parametrize("name", ["cld", "cld-sloped", "third", "pair", "vp", "geometric"])
def test_a_general_process_integrates_its_moments(name):
    sde, t = EVERY[name], f64([1e-5, 1e-3, 0.1, 0.8])
    t = t * sde.horizon
    want, got = sde.kernel(t), General(sde).kernel(t)
    scale = want.cov.diagonal(dim1=-2, dim2=-1).sqrt()
    gap = (got.cov - want.cov) / scale[..., None] / scale[..., None, :]
    assert float(gap.abs().max()) < 1e-9
    assert float(((got.chol - want.chol) / scale[..., None]).abs().max()) < 1e-9
    assert torch.allclose(got.mean, want.mean, rtol=1e-9, atol=1e-10)


def test_the_general_scheme_is_of_fourth_order():
    """Halving the substeps divides the error by sixteen."""
    exact = Twisting(256).kernel(f64(0.9))
    kernels = [Twisting(n).kernel(f64(0.9)) for n in (8, 16)]
    for part in ("cov", "mean", "chol"):
        errors = [float((getattr(k, part) - getattr(exact, part)).norm()) for k in kernels]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.3)


def test_the_general_scheme_is_exact_for_a_linear_clock_rate():
    sde, t = CLD(0.5, 7.0), f64([0.3, 1.0])
    want, got = sde.transition(0 * t, t), General(sde, 2).transition(0 * t, t)
    for one, two in zip(want, got, strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-13)


def test_a_general_process_goes_back():
    sde = Twisting()
    forth, back = sde.transition(f64(0.1), f64(0.8))[0], sde.transition(f64(0.8), f64(0.1))[0]
    assert torch.allclose(back @ forth, torch.eye(2).double(), atol=1e-10)


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


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VE(sigma_min=2.0, sigma_max=1.0), "sigma_max = 1.0 must exceed sigma_min"),
        (
            lambda: Geometric(sigma2_min=0.5, sigma2_max=0.4),
            "sigma2_max = 0.4 must exceed sigma2_min",
        ),
        (
            lambda: Geometric(sigma2_max=0.99, sigma2_0=0.02),
            "sigma2_0 + sigma2_max - sigma2_min must stay below 1",
        ),
    ],
)
def test_impossible_options(build, message):
    with pytest.raises(ValueError, match="must") as caught:
        build()
    assert str(caught.value) == message


def test_a_start_that_is_no_covariance():
    class Bad(Pair):
        start_cov = ((0.0, 0.1, 0.0), (0.1, 1.0, 0.0), (0.0, 0.0, 1.0))

    with pytest.raises(ValueError, match="is not positive semidefinite"):
        Bad().kernel(f64(0.5))
