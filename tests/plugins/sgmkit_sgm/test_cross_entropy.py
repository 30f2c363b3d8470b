"""The cross entropy of latents: the ways to compute it agree, and what it refuses."""

import pytest
import torch

from sgmkit import Incompatible, SeededNoise, create
from sgmkit.noise import seeded
from sgmkit_sgm.cross_entropy import ScaleGradient

ROWS = 6


def prior(**options):
    with seeded(0, "test"):
        model = create("model", "sgm", event=(2,), network="mlp:width=16", **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * SeededNoise(0, [0])(parameter[None])[0]
    return model


def computed(model, weight, separate=False):
    """Excess, and the gradients of the loss in z and in the parameters."""
    z = SeededNoise(3, range(ROWS))(torch.empty(ROWS, 2, dtype=torch.float64)).requires_grad_()
    cost = model.cross_entropy(z, SeededNoise(1, range(ROWS)), weight, separate=separate)
    return cost.excess, *torch.autograd.grad(cost.loss, [z, *model.parameters()])


@pytest.mark.parametrize("control", [True, False])
@pytest.mark.parametrize("weighting", ["likelihood", "reweighted", "unweighted"])
def test_one_pass_has_the_gradients_of_two(weighting, control):
    """A number as weight needs one pass of the network, a function that returns it two."""
    model = prior(sde="vp", weighting=weighting, control=control)
    for one, two in zip(computed(model, 0.7), computed(model, lambda _: 0.7), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_times_apart_leave_the_prior_its_own_loss():
    model = prior(sde="cld", prediction="residual", weighting="reweighted")
    shared, apart = computed(model, 1.0), computed(model, 1.0, separate=True)
    for one, other in zip(shared[2:], apart[2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    assert not torch.allclose(shared[1], apart[1])


def test_denoising_matching_is_refused_where_the_start_is_drawn():
    with pytest.raises(Incompatible) as caught:
        prior(sde="cld", matching="dsm").check_latents()
    assert str(caught.value) == (
        "matching=dsm cannot train a prior of latents: it needs u_0, which is random given the "
        "latent; use matching=hsm"
    )
    prior(sde="vp", matching="dsm").check_latents()  # u_0 is the data


def test_gradients_are_scaled_row_by_row():
    u, ratio = torch.ones(2, 3, requires_grad=True), torch.tensor([2.0, -1.0])
    out = ScaleGradient.apply(u, ratio)
    assert torch.equal(out, u)
    (slope,) = torch.autograd.grad(out.sum(), u)
    assert slope.tolist() == [[2.0] * 3, [-1.0] * 3]
