"""Which channels are inactive, and what else a joint model is asked besides its gradients."""

import pytest
import torch
from support.lsgm_losses import COARSE, NUMBERS, ROWS, Encoder, Net, draws, model_of
from support.processes import f64
from torch import nn

from sgmkit import BadValue, Batch, Latents
from sgmkit_lsgm.divergence import by_group
from sgmkit_lsgm.lsgm import Lsgm
from sgmkit_lsgm.normal import Normal
from sgmkit_sdes.vp import VP
from sgmkit_sgm.sgm import Sgm


class Measured(Encoder):
    """Its channels say 0.16, 1 and 0.01 nats."""

    def encode(self, x, noise):
        mean = f64([0.4, 1.0, 0.1])[None, :, None].expand(len(x), 3, 2)
        std = torch.ones_like(mean)
        rest = super().encode(x, noise)[1:]
        return Latents(mean + std * noise(mean), mean, std, (2, 1)), *rest


def dropping(threshold: float, vae_share: float = 0.5) -> Lsgm:
    model = model_of("vp", Measured, mixed="normal")
    model.vae_share, model.divergence.threshold = vae_share, threshold
    return model


def steps(model: Lsgm, count: int, progress: float) -> None:
    x, noise = draws()
    for _ in range(count):
        model.loss(Batch(x, None, noise.ids), noise, progress)


@pytest.mark.parametrize("count", [1, 3, 400])
def test_inactive_channels_after_any_number_of_steps(count):
    """A running mean that begins at zero would call all of them inactive at first."""
    model = dropping(0.1)
    steps(model, count, 0.1)
    nats = model.divergence.channel_kl / model.divergence.channel_share
    assert torch.allclose(nats, torch.tensor([0.16, 1.0, 0.01]), rtol=1e-4)
    assert bool(model.prior.active.all())
    steps(model, 1, 0.6)
    assert model.prior.active.flatten().tolist() == [True, True, False]


def test_inactive_channels_stay_what_the_first_stage_measured():
    """In evaluation none is; every later step names the same ones, in a resumed run too."""
    model = dropping(0.1)
    steps(model, 2, 0.1)
    model.eval()
    steps(model, 1, 0.6)
    assert bool(model.prior.active.all())
    model.train()
    measured = model.divergence.channel_kl.clone()
    for _ in range(3):
        steps(model, 1, 0.6)
        assert model.prior.active.flatten().tolist() == [True, True, False]
    assert torch.equal(model.divergence.channel_kl, measured)
    resumed = dropping(0.1)
    resumed.load_state_dict(model.state_dict())
    assert resumed.prior.active.flatten().tolist() == [True, True, False]
    steps(resumed, 1, 0.7)
    assert resumed.prior.active.flatten().tolist() == [True, True, False]


def test_nothing_known_is_nothing_inactive():
    model = dropping(0.1, vae_share=0.0)
    steps(model, 1, 0.1)
    assert bool(model.prior.active.all())


def test_a_prior_without_a_normal_part_says_so_at_once():
    def prior(event):
        return Sgm(event, VP(), Net)

    with pytest.raises(BadValue, match="drop_inactive needs a prior with prediction=residual"):
        Lsgm((1, 2, 4), "bernoulli", None, Encoder, prior, drop_inactive=0.1)


class Scaled(Encoder):
    """With a convolution of norm 3."""

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.conv = scaled(3.0)


class ScaledNet(Net):
    """With a convolution of norm 5."""

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.conv = scaled(5.0)


def scaled(norm: float) -> nn.Module:
    layer = nn.Conv1d(1, 1, 1, bias=False).double()
    nn.init.constant_(layer.weight, -norm)
    return layer


@pytest.mark.parametrize(
    ("option", "norm"), [("regularise", 3.0), ("regularise_prior", 5.0)], ids=["encoder", "prior"]
)
def test_penalties_are_nats_of_an_item(option, norm):
    """The loss is per number of an item; so is the penalty of the one part or of the other."""

    def prior(event):
        return Sgm(event, VP(), ScaledNet)

    model = Lsgm((1, 2, 4), "bernoulli", None, Scaled, prior, **{option: 0.4}).double()
    totals = []
    for _ in range(2):
        x, noise = draws()
        totals.append(float(model.loss(Batch(x, None, noise.ids), noise, 0.5).total.detach()))
        model.regularisers = nn.ModuleList()
    assert totals[0] - totals[1] == pytest.approx(0.4 * norm / NUMBERS, rel=1e-9)


def test_an_encoding_is_the_means():
    model, (x, _) = model_of("vp", Measured), draws()
    want = f64([0.4, 1.0, 0.1])[None, :, None].expand(ROWS, *COARSE)
    assert torch.equal(model.encode(x), want)


class Rows(Encoder):
    """Batch norms before the encoder and in the decoder."""

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.norms = nn.ModuleList(nn.BatchNorm2d(1).double() for _ in range(2))

    def encode(self, x, noise):
        return super().encode(self.norms[0](x), noise)

    def decode(self, z):
        return self.norms[1](super().decode(z))


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norms_of_a_frozen_autoencoder_do_not_move(frozen):
    """Nor do rows see each other, in training as elsewhere; without freezing both is so."""

    def prior(event):
        return Sgm(event, VP(), Net)

    made = Lsgm((1, 2, 4), "bernoulli", None, Rows, prior, pretrained="run", frozen=frozen)
    model, (x, noise) = made.double().eval().train(), draws()
    assert model.prior.training
    before = {name: value.clone() for name, value in model.autoencoder.named_buffers()}
    one = model.encode(x)[:2]
    assert torch.allclose(model.encode(x[:2]), one, rtol=1e-12, atol=1e-12) == frozen
    model.loss(Batch(x, None, noise.ids), noise, 0.5)
    assert len(before) == 6
    for name, value in model.autoencoder.named_buffers():
        assert torch.equal(value, before[name]) == frozen, name


def test_sums_by_group():
    flat = f64([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    latents = Latents(flat, flat, flat, (2, 1))
    want = f64([[3.0, 4.0], [24.0, 32.0]])
    assert torch.equal(by_group(flat, latents), want)
    wide = flat[:, :, None, None].expand(2, 3, 2, 5)
    assert torch.equal(by_group(wide, latents), 10 * want)


class Flat(Encoder):
    """A vector of latents is one scale like any other."""

    scales = ((3,),)

    def encode(self, x, noise):
        first = super().encode(x, noise)[0]
        return (Latents(*(part[:, :, 0] for part in (first.z, first.mean, first.std)), (2, 1)),)

    def decode(self, z):
        latents = torch.cat([z[0], z[0].new_zeros(len(z[0]), 5)], 1)
        return self.out(latents).reshape(-1, *self.out_shape)


def flat_normal(event):
    return Normal(event, VP())


def flat_sgm(event):
    return Sgm(event, VP(), Net, mixed="normal")


@pytest.mark.parametrize("prior", [flat_normal, flat_sgm])
def test_latents_without_sizes(prior):
    options = {"vae_share": 0.0, "kl_low": 0.5, "kl_portion": 1.0, "balance": "always"}
    model = Lsgm((1, 2, 4), "bernoulli", None, Flat, prior, **options).double()
    x, noise = draws()
    loss = model.loss(Batch(x, None, noise.ids), noise, 0.5)
    loss.total.backward()
    assert bool(model.autoencoder.first.weight.grad.isfinite().all())
    result = model.bound(x, noise, "nelbo-diffusion", draws=2)
    assert result.nats.shape == (ROWS,)
