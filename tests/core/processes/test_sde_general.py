"""Processes without a closed form, whose moments are integrated."""

import math

import pytest
import torch
from support.processes import (
    EVERY,
    General,
    Pair,
    Twisting,
    f64,
)

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
