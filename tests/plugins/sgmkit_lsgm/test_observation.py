"""Bernoulli and Gaussian, and which law suits which data."""

import math

import pytest
import torch
from scipy import integrate, stats
from support.laws_of_data import normal
from support.processes import f64

from sgmkit import BadValue, RecordedNoise
from sgmkit_lsgm.levels import Logistic, Mixture
from sgmkit_lsgm.observation import Bernoulli, Gaussian, observation


def test_bernoulli():
    law, logits = Bernoulli((2, 3)), 4 * normal(5, 2, 3)
    share = logits.sigmoid()
    x = torch.where(normal(5, 2, 3, seed=1) > 0, 1.0, -1.0).double()
    expected = stats.bernoulli.logpmf((x.numpy() + 1) / 2, share.numpy()).sum((1, 2))
    assert law.log_prob(logits, x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    torch.testing.assert_close(law.mean(logits), 2 * share - 1, rtol=0, atol=1e-12)
    uniform = share + 1e-9 * torch.where(x > 0, -1.0, 1.0)
    assert torch.equal(law.sample(logits, RecordedNoise([uniform])), x)
    grey = f64([0.5]).expand(5, 2, 3)
    greys = 0.75 * law.log_prob(logits, grey**0) + 0.25 * law.log_prob(logits, -(grey**0))
    torch.testing.assert_close(law.log_prob(logits, grey), greys, rtol=1e-12, atol=0)


def test_a_gaussian_integrates_to_one():
    law = Gaussian((1,))
    for mean, raw in ((0.3, -1.0), (-2.0, 1.5)):
        params = f64([[mean, raw]])
        std = math.exp(7 * math.tanh(raw / 7))

        def density(x, params=params):
            return float(law.log_prob(params, f64([[x]])).exp())

        ends = (mean - 12 * std, mean + 12 * std)
        assert integrate.quad(density, *ends)[0] == pytest.approx(1, abs=1e-8)
        moment = integrate.quad(lambda x: (x - mean) ** 2 * density(x), *ends)[0]  # noqa: B023
        assert moment == pytest.approx(std**2, rel=1e-7)
        assert law.mean(params).item() == mean
        assert law.sample(params, RecordedNoise([f64([[2.0]])])).item() == pytest.approx(
            mean + 2 * std, rel=1e-12
        )


def test_a_gaussian_of_many_is_scipys():
    law, params, x = Gaussian((2, 3)), normal(4, 4, 3), normal(4, 2, 3, seed=1)
    std = (7 * torch.tanh(params[:, 2:] / 7)).exp()
    expected = stats.norm(params[:, :2].numpy(), std.numpy()).logpdf(x.numpy()).sum((1, 2))
    assert law.log_prob(params, x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_auto_goes_by_the_data():
    event = (3, 4, 4)
    assert observation("auto", event, "bernoulli", 256) == Bernoulli(event)
    assert observation("auto", event, "discretised", 256) == Mixture(event, 256)
    assert observation("auto", event, "continuous", None) == Gaussian(event)
    assert observation("auto", event, "continuous", 256) == Gaussian(event)
    assert observation("logistic", event, "discretised", 17) == Logistic(event, 17)
    assert observation("bernoulli", event, "discretised", 2) == Bernoulli(event)
    assert [law.discrete for law in (Bernoulli(event), Gaussian(event))] == [True, False]


GREYS = "grey levels (neither binarised nor dequantised)"


@pytest.mark.parametrize(
    ("name", "likelihood", "levels", "message"),
    [
        (
            "bernoulli",
            "discretised",
            256,
            "decoder 'bernoulli' is for binarised data (option binarise of the data set); these "
            "data are of grey levels: take decoder 'mixture'",
        ),
        (
            "mixture",
            "continuous",
            None,
            f"decoder 'mixture' is for {GREYS}; these data are continuous: take decoder 'gaussian'",
        ),
        (
            "logistic",
            "bernoulli",
            256,
            f"decoder 'logistic' is for {GREYS}; these data are binarised: take decoder "
            "'bernoulli'",
        ),
        (
            "gaussian",
            "discretised",
            17,
            "decoder 'gaussian' is for continuous data (option dequantise of the data set); these "
            "data are of grey levels: take decoder 'mixture'",
        ),
        (
            "auto",
            "discretised",
            None,
            "decoder 'mixture' needs two levels at least; the data set states None",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(name, likelihood, levels, message):
    with pytest.raises(BadValue) as caught:
        observation(name, (1, 8, 8), likelihood, levels)
    assert str(caught.value) == message
