r"""Gradients of the joint loss, against two losses written out: the encoder's and the prior's.

Per number of an item, for a batch of B items of n numbers and latents of D coordinates,

    q = 1/(B n) sum [-log p(x | m z + L eps) + kl sum_g gamma_g KL_g],
    KL = 1/2 e^T W e / r(t) + KL_T - 1/2 log(1 + s^2 |rho_e|^2), W the likelihood's,
    the first of which may be taken less the same of a Normal prior, plus its mean,
    p = 1/(B D) sum 1/2 e^T W' e / r'(t) / int r', W' the prior's own, z a constant,

the encoder and the decoder are to have the gradient of q, the prior that of p, on the same draws.
"""

import pytest
import torch
import torch.nn.functional as F
from support.lsgm_losses import (
    ALPHA,
    GROUPS,
    NUMBERS,
    ROWS,
    Bent,
    draws,
    grouped,
    model_of,
    p_loss,
    q_loss,
)
from support.processes import f64
from torch import Tensor, nn

from sgmkit import Batch
from sgmkit_lsgm.lsgm import Lsgm


def joint(model: Lsgm, progress: float = 0.5):
    x, noise = draws()
    return model.loss(Batch(x, None, noise.ids), noise, progress)


def slopes(loss: Tensor, part: nn.Module) -> dict[str, Tensor]:
    names, values = zip(*part.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, values, retain_graph=True, allow_unused=True)
    return dict(zip(names, gradients, strict=True))


def same(got: dict, want: dict) -> None:
    for name, value in want.items():
        if value is None:
            assert got[name] is None or not got[name].any(), name
            continue
        assert float(value.abs().max()) > 1e-7, name  # there is something to compare
        scale = float(value.abs().max())
        assert torch.allclose(got[name], value, rtol=1e-9, atol=1e-10 * scale), name


WAYS = [
    ("vp", "likelihood", {"mixed": "normal"}),
    ("vp", "reweighted", {"mixed": "normal"}),
    ("vp", "unweighted", {"prediction": "v"}),
    ("vp", "edm", {"prediction": "edm"}),
    ("vp", "unweighted", {"prediction": "x", "matching": "dsm"}),
    ("vp", "reweighted", {"prediction": "R"}),
    ("vp", "likelihood", {"prediction": "residual"}),
    ("ve", "unweighted", {"mixed": "normal"}),
    ("cld", "likelihood", {"mixed": "normal"}),
    ("cld", "reweighted", {"mixed": "velocity"}),
    ("cld", "unweighted", {"prediction": "v"}),
    ("cld", "unweighted", {"prediction": "R"}),
    ("cld", "likelihood", {"prediction": "R"}),
    ("psld", "likelihood", {"mixed": "normal"}),
    ("cld", "reweighted", {"prediction": "residual"}),
    ("psld", "unweighted", {}),
    ("psld", "unweighted", {"prediction": "residual"}),
    ("psld", "reweighted", {"prediction": "R"}),
    ("cld", "likelihood", {"prediction": "residual", "inputs": "phases"}),
    ("psld", "unweighted", {"prediction": "residual", "inputs": "phases"}),
]
AS_PUBLISHED = [way for way in WAYS if way[0] in ("vp", "cld") and len(way[2]) == 1]


@pytest.mark.parametrize(
    ("kl", "balance"), [(1.0, "always"), (0.7, "off"), (0.7, "always")], ids=["1", "kl", "balanced"]
)
@pytest.mark.parametrize("times", ["shared", "separate"])
@pytest.mark.parametrize(
    ("sde", "weighting", "options"),
    WAYS,
    ids=lambda part: "-".join(part.values()) if isinstance(part, dict) else part,
)
def test_gradients(sde, weighting, options, times, kl, balance):
    """Algorithm 1: likelihood, shared; 3: another weighting, shared; 2: separate. Same draws."""
    compare(model_of(sde, times=times, kl=kl, balance=balance, weighting=weighting, **options))


@pytest.mark.parametrize("times", ["shared", "separate"])
@pytest.mark.parametrize(
    ("sde", "weighting", "options"),
    AS_PUBLISHED,
    ids=lambda part: "-".join(part.values()) if isinstance(part, dict) else part,
)
def test_gradients_as_published(sde, weighting, options, times):
    """The cost of latents by its draws alone."""
    own = {**options, "weighting": weighting, "control": False}
    compare(model_of(sde, times=times, kl=0.7, **own))


def compare(model: Lsgm) -> None:
    """Both losses and all their gradients, on the same draws."""
    low, high, *_ = model.divergence.schedule
    kl = (low + high) / 2
    with torch.autograd.set_detect_anomaly(True):
        loss = joint(model)
        gradients = {p: g for p, g in slopes(loss.total, model).items()}
    balanced = model.divergence.balanced == "always" and kl < 1
    own, nats = q_loss(model, kl, balanced)
    theirs = p_loss(model)
    for part, want in (
        ("autoencoder", slopes(own, model.autoencoder)),
        ("prior", slopes(theirs, model.prior)),
    ):
        same({name: gradients[f"{part}.{name}"] for name in want}, want)
    recon, divergence = nats.mean(0).tolist()
    assert float(loss.parts["recon"]) == pytest.approx(recon, rel=1e-11)
    assert float(loss.parts["kl"]) == pytest.approx(divergence, rel=1e-9)
    assert float(loss.parts["nelbo"]) == pytest.approx(recon + divergence, rel=1e-9)
    assert float(loss.parts["prior"]) == pytest.approx(float(theirs.detach()), rel=1e-9)
    value = (recon + kl * divergence) / NUMBERS + float(theirs.detach())
    assert float(loss.total.detach()) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("times", ["shared", "separate"])
def test_the_balance_of_the_first_stage_ends_with_it(times):
    """Every group counts alike once the prior is trained too, however small the weight."""
    compare(model_of("vp", times=times, kl=0.7, balance="vae"))


@pytest.mark.parametrize("times", ["shared", "separate"])
@pytest.mark.parametrize("weighting", ["likelihood", "reweighted"])
def test_gradients_behind_a_flow(weighting, times):
    """The decoder sees z_0, whose own density stands for that of u_e: LSGM's estimate."""
    model = model_of("vp", Bent, times, 0.7, "always", weighting=weighting, mixed="normal")
    loss = joint(model)
    own, nats = q_loss(model, 0.7, balanced=True)
    gradients = slopes(loss.total, model)
    same(gradients, {f"autoencoder.{n}": g for n, g in slopes(own, model.autoencoder).items()})
    same(gradients, {f"prior.{n}": g for n, g in slopes(p_loss(model), model.prior).items()})
    assert float(loss.parts["nelbo"]) == pytest.approx(float(nats.sum(1).mean()), rel=1e-9)


@pytest.mark.parametrize("balance", ["off", "always"])
@pytest.mark.parametrize("times", ["shared", "separate"])
@pytest.mark.parametrize("sde", ["vp", "psld"])
def test_annealing_is_the_encoders_alone(sde, times, balance):
    """The prior's gradient is the same to the last bit; the encoder's is a line in the weight."""
    gradients = {}
    for kl in (0.6, 0.7, 0.8):
        model = model_of(sde, times=times, kl=kl, balance=balance, weighting="reweighted")
        gradients[kl] = slopes(joint(model).total, model)
    for name, low in gradients[0.6].items():
        middle, high = gradients[0.7][name], gradients[0.8][name]
        if name.startswith("prior."):
            assert torch.equal(low, high), name
            continue
        assert torch.allclose(2 * middle, low + high, rtol=1e-9, atol=1e-12), name
        moved = float((high - low).abs().max())
        assert (moved > 1e-6) == (not name.startswith("autoencoder.out")), name


@pytest.mark.parametrize("balance", ["off", "vae"])
def test_autoencoder_alone(balance):
    """At first N(0, I) is the prior: the Gaussians' divergence, and nothing for the prior."""
    model = model_of("cld", kl=0.7, balance=balance, weighting="likelihood")
    model.vae_share = 0.6
    loss = joint(model)
    x, noise = draws()
    code = model.autoencoder.encode(x, noise.stream("encode"))
    unit = torch.distributions.Normal(f64(0.0), f64(1.0))
    laws = [torch.distributions.Normal(part.mean, part.std) for part in code]
    nats = [torch.distributions.kl_divergence(law, unit) for law in laws]
    groups = torch.cat([grouped(n, g) for n, g in zip(nats, GROUPS, strict=True)], 1)
    gains = torch.ones(3).double()
    if balance == "vae":
        gains = (groups.detach().mean(0) + 0.01) / ALPHA
        gains = 3 * gains / gains.sum()
    logits = model.autoencoder.decode([part.z for part in code])
    recon = F.binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none").sum()
    want = (recon + 0.7 * (groups * gains).sum()) / (ROWS * NUMBERS)
    gradients = slopes(loss.total, model)
    same(gradients, {f"autoencoder.{n}": g for n, g in slopes(want, model.autoencoder).items()})
    assert all(gradients[f"prior.{name}"] is None for name, _ in model.prior.named_parameters())
    assert float(loss.parts["kl"]) == pytest.approx(float(groups.sum(1).mean().detach()), rel=1e-9)
    channels = nats[0].detach().sum(2).mean(0)
    assert torch.allclose(model.divergence.channel_kl.double(), 0.02 * channels, rtol=1e-6)


@pytest.mark.parametrize("times", ["shared", "separate"])
@pytest.mark.parametrize("sde", ["vp", "psld"])
def test_frozen_autoencoder(sde, times):
    """Only the prior learns, and what it would have learned."""
    model = model_of(sde, times=times, weighting="unweighted")
    model.frozen = True
    model.autoencoder.requires_grad_(False)
    joint(model).total.backward()
    assert all(p.grad is None for p in model.autoencoder.parameters())
    for name, want in slopes(p_loss(model), model.prior).items():
        assert torch.allclose(model.prior.get_parameter(name).grad, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sde", ["vp", "psld"])
@pytest.mark.parametrize("inputs", ["phases", "statistic"])
def test_inactive_channels_of_a_residual(sde, inputs):
    """Nothing of the network is left in them, nor sees them."""
    model = model_of(sde, weighting="reweighted", prediction="residual", inputs=inputs)
    model.prior.deactivate(torch.tensor([False, True, False]))
    gradients = slopes(joint(model).total, model)
    first, last = (gradients[f"prior.network.layers.{i}.weight"] for i in (0, 2))
    phases = torch.arange(model.prior.parameterisation.seen) * 6
    seen = torch.cat([phases + 2, phases + 3])
    assert bool((first[:, seen] == 0).all() & (first[:, :2] != 0).all())
    assert bool((last[2:4] == 0).all() & (last[[0, 1, 4, 5]] != 0).all())


def test_inactive_channels():
    """They are the Normal part's, whatever the network says: nothing pulls at their share."""
    model = model_of("vp", weighting="reweighted", mixed="normal")
    before = slopes(joint(model).total, model)
    model.prior.deactivate(torch.tensor([False, True, False]))
    gradients = slopes(joint(model).total, model)
    share, was = gradients["prior.mixing_logit"][0, :, 0], before["prior.mixing_logit"][0, :, 0]
    assert float(share[1]) == 0
    assert bool((share[[0, 2]] != 0).all() & (was != 0).all())
    first = gradients["prior.network.layers.0.weight"]
    assert bool((first[:, 2:4] == 0).all() & (first[:, :2] != 0).all())
    last = gradients["prior.network.layers.2.weight"].abs().amax(1)
    assert float(last[2:4].max()) < 1e-5 * float(last[:2].min())
