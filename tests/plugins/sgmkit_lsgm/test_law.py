"""What every law of data promises: shapes, gradients, draws by sample id, precision."""

import pytest
import torch
from support.laws_of_data import ALL, normal, random_params, values_of

from sgmkit import SeededNoise
from sgmkit_lsgm.levels import Logistic, Mixture
from sgmkit_lsgm.observation import Bernoulli, Gaussian

every = pytest.mark.parametrize("law", ALL, ids=lambda law: f"{law.name}-{law.event[0]}")


def test_numbers_of_the_papers():
    assert Mixture((3, 32, 32), 256).out_shape == (100, 32, 32)
    assert Mixture((1, 28, 28), 256).out_shape == (30, 28, 28)
    assert Mixture((4, 2), 5).out_shape == (10 + 80 + 60, 2)
    assert Logistic((3, 8, 8), 17).out_shape == (6, 8, 8)
    assert Bernoulli((1, 28, 28)).out_shape == (1, 28, 28)
    assert Gaussian((2,)).out_shape == (4,)


@every
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
def test_gradients_are_finite_at_extremes(law, size):
    params = (size * normal(8, *law.out_shape)).float().requires_grad_()
    value = law.log_prob(params, values_of(law, 8).float())
    assert value.shape == (8,)
    assert bool(value.isfinite().all())
    (slope,) = torch.autograd.grad(value.sum(), params)
    assert bool(slope.isfinite().all())
    assert size != 1 or bool((slope != 0).any())


@every
def test_gradients_are_those_of_differences(law):
    params = (
        random_params(law, 2, 0.5, -1.0)
        if law.name in ("logistic", "mixture")
        else normal(2, *law.out_shape)
    )
    x = values_of(law, 2).double()
    assert torch.autograd.gradcheck(lambda params: law.log_prob(params, x), params.requires_grad_())


@every
def test_draws_belong_to_their_ids(law):
    params = normal(6, *law.out_shape)
    whole = law.sample(params, SeededNoise(1, range(6)))
    part = law.sample(params[[4, 1]], SeededNoise(1, [4, 1]))
    assert torch.equal(whole[[4, 1]], part)
    assert not torch.equal(whole, law.sample(params, SeededNoise(2, range(6))))


@every
def test_half_precision_is_cast_up(law):
    params, x = normal(3, *law.out_shape).bfloat16(), values_of(law, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = (
            law.log_prob(params, x),
            law.mean(params),
            law.sample(params, SeededNoise(0, range(3))),
        )
    wide = params.float()
    for half, full in zip(
        outputs,
        (law.log_prob(wide, x), law.mean(wide), law.sample(wide, SeededNoise(0, range(3)))),
        strict=True,
    ):
        assert half.dtype == torch.float32
        assert torch.equal(half, full)
