"""A tiny joint model, and its two losses written out: see `test_lsgm_gradients`."""

import copy
import math

import torch
import torch.nn.functional as F
from support.processes import f64
from torch import Tensor, nn

from sgmkit import Autoencoder, Latents, Network, SeededNoise
from sgmkit.processes import TimeSampler, flow_factor
from sgmkit_lsgm.lsgm import Lsgm
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.psld import PSLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP
from sgmkit_sgm.sgm import Sgm

SDES = {"vp": VP(), "cld": CLD(beta_0=2.0), "psld": PSLD(gamma_x=0.2, beta=4.0), "ve": VE()}
ROWS, NUMBERS, CUT = 6, 8, 0.02
COARSE, FINE = (3, 2), (2, 1)
GROUPS = ((2, 1), (2,))
ALPHA = f64([1.0, 1.0, 8.0])  # 4^scale over the groups of the scale, in units of the smallest


class Encoder(Autoencoder):
    """Two groups of coarse latents, the second given the first, and finer ones given both."""

    scales = (COARSE, FINE)

    def __init__(self, in_shape, out_shape, bent=False):
        super().__init__(in_shape, out_shape)
        self.bent = bent
        self.first = nn.Linear(NUMBERS, 2 * 4).double()
        self.second = nn.Linear(NUMBERS + 4, 2 * 2).double()
        self.finer = nn.Linear(NUMBERS + 6, 2 * 2).double()
        self.out = nn.Linear(8, math.prod(out_shape)).double()

    def encode(self, x, noise):
        inputs, parts = x.flatten(1), []
        for layer in (self.first, self.second, self.finer):
            mean, log_std = layer(inputs).chunk(2, 1)
            std = torch.exp(torch.tanh(log_std) - 1)
            z = mean + std * noise(mean)
            inputs = torch.cat([inputs, z], 1)
            parts.append([part.unflatten(1, (-1, 2)) for part in (z, mean, std)])
        coarse = [torch.cat(pair, 1) for pair in zip(*parts[:2], strict=True)]
        finer = [part.reshape(len(x), *FINE) for part in parts[2]]
        z = base = coarse[0]
        if self.bent:  # volume is kept
            z = torch.cat([base[:, :2], base[:, 2:] + torch.tanh(base[:, :1])], 1)
        first = Latents(z, *coarse[1:], GROUPS[0], base if self.bent else None)
        return first, Latents(*finer, GROUPS[1])

    def decode(self, z):
        latents = torch.cat([part.flatten(1) for part in z], 1)
        return self.out(latents).reshape(-1, *self.out_shape)


class Bent(Encoder):
    """Behind a normalising flow."""

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape, bent=True)


class Net(Network):
    """Two layers on all phases, channels and the time."""

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        size = math.prod(in_shape) + 1
        self.layers = nn.Sequential(
            nn.Linear(size, 7), nn.Tanh(), nn.Linear(7, math.prod(out_shape))
        ).double()

    def forward(self, z, c, y=None):
        inputs = torch.cat([z.flatten(1), c[:, None]], 1)
        return self.layers(inputs).reshape(-1, *self.out_shape)


def model_of(sde: str, encoder=Encoder, times="shared", kl=1.0, balance="off", **options) -> Lsgm:
    """Weights that depend on their place only; the weight of the divergence is ``kl`` midway."""

    def prior(event):
        return Sgm(event, SDES[sde], Net, **({"t_min": CUT} | options)).double()

    made = Lsgm(
        (1, 2, 4),
        "bernoulli",
        None,
        encoder,
        prior,
        times=times,
        kl_low=2 * kl - 1,
        kl_portion=1.0,
        balance=balance,
    )
    for place, p in enumerate(made.parameters()):
        noise = SeededNoise(7, [place])(torch.empty(1, p.numel(), dtype=torch.float64))
        p.data = 0.4 * noise.reshape(p.shape)
    return made


def draws() -> tuple[Tensor, SeededNoise]:
    noise = SeededNoise(11, range(ROWS))
    x = (noise.stream("data").uniform(torch.empty(ROWS, 1, 2, 4, dtype=torch.float64)) < 0.4) * 2.0
    return x.double() - 1, noise


# The formulas.


def on(matrix: Tensor, u: Tensor) -> Tensor:
    return torch.einsum("bij,bj...->bi...", matrix, u)


def total_of(kernel, c: float) -> Tensor:
    """Covariance of states of data N(0, c)."""
    return kernel.cov + c * kernel.mean[..., :, None] * kernel.mean[..., None, :]


def error(prior: Sgm, u: Tensor, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Noise less the network's, and what of it is driven noise: ``(B, j, *)`` and ``(B, r, j)``."""
    sde, net, kernel = prior.sde, prior.network, prior.sde.kernel(t)
    k, r, form = sde.phases, sde.driven, prior.parameterisation.prediction
    c, m, low = sde.data_var(), kernel.mean, kernel.chol
    own = low[:, -r:, -r:]
    shown = c if form != "edm" else 0.25
    scale = (kernel.cov.diagonal(dim1=1, dim2=2) + shown * m.square()).rsqrt()
    z = (u * scale[:, :, None, None]).flatten(1, 2)
    if form == "x" or (form == "residual" and prior.parameterisation.inputs != "phases"):
        counts = torch.linalg.solve(kernel.cov, m[:, :, None])[..., 0]
        spread = on(counts[:, None], on(total_of(kernel, c), counts[:, :, None]))[:, 0]
        z = (u * (counts / spread.sqrt())[:, :, None, None]).sum(1)
    rho = torch.linalg.solve(low, m[:, :, None])
    label = t / sde.horizon if form != "edm" else -(rho.square().sum((1, 2))).log() / 8
    answer = net(z, label).reshape(ROWS, -1, *COARSE)
    same = torch.eye(r).double().expand(ROWS, r, r)
    if form == "R":
        factor = flow_factor(sde, t)
        target = on(torch.linalg.inv(factor), on(low, eps))
        return target - answer, own.mT @ torch.linalg.inv(factor).mT[:, -r:]
    if form == "noise":
        if prior.parameterisation.mixed == "normal":
            normal = on(own.mT, on(torch.linalg.inv(total_of(kernel, c)), u)[:, -r:])
            share = torch.sigmoid(prior.mixing_logit)
            answer = (1 - share) * normal + share * answer
        if prior.parameterisation.mixed == "velocity":
            answer = answer + on(own.mT, on(torch.linalg.inv(kernel.cov[:, -r:, -r:]), u[:, -r:]))
        return eps[:, -r:] - answer, same
    if form == "residual":  # the data, from their mean and variance were they N(0, c)
        middle = c * on(m[:, None], on(torch.linalg.inv(total_of(kernel, c)), u))
        spread = (1 / (1 / c + rho.square().sum((1, 2))) / c**0.5)[:, None, None, None]
        x = middle + spread * answer
        return eps[:, -r:] - on(torch.linalg.inv(low), u - on(m[:, :, None], x))[:, -r:], same
    a = rho[:, -1].reshape(-1, 1, 1, 1)
    w = on(torch.linalg.inv(low), u)[:, k - 1 :]
    if form == "x":
        x = answer
    elif form == "v":
        x = (a * w / (1 + a * a).sqrt() - answer) / (1 + a * a).sqrt()
    else:
        x = (0.25 * a * w + 0.5 * (1 + 0.25 * a * a).sqrt() * answer) / (1 + 0.25 * a * a)
    return eps[:, -r:] - (w - a * x), same


def weights(prior: Sgm, t: Tensor, weighting: str, to_driven: Tensor) -> Tensor:
    sde, kernel, r = prior.sde, prior.sde.kernel(t), prior.sde.driven
    noise, inverse = sde.diffusion(t)[:, -r:, -r:], torch.linalg.inv(kernel.chol[:, -r:, -r:])
    if weighting == "unweighted":
        return 2 * torch.eye(to_driven.shape[2]).double().expand(ROWS, -1, -1)
    if weighting == "edm":  # lambda(sigma) sigma^2 times the law of sigma, as a density of t
        snr = sde.kernel(t.clone().requires_grad_()).snr
        time = t.clone().requires_grad_()
        (rate,) = torch.autograd.grad(-0.5 * sde.kernel(time).snr.log().sum(), time)
        level = -0.5 * snr.detach().log()
        law = torch.exp(-0.5 * ((level + 1.2) / 1.2) ** 2) / (1.2 * math.sqrt(2 * math.pi))
        power = kernel.rho[:, -1].square()
        return (2 * (1 + 4 / power) * law * rate)[:, None, None]
    weight = noise if weighting == "reweighted" else inverse @ noise @ inverse.mT
    return to_driven.mT @ weight @ to_driven


def path(
    prior: Sgm, z: Tensor, noise, law: str, weighting: str, control: bool = False
) -> tuple[Tensor, float]:
    """``1/2 e^T W e / r`` by coordinate at times for ``law``, and the integral of its shape."""
    sde = prior.sde
    sampler = TimeSampler(sde, law, CUT, 0.1, whole=prior.parameterisation.whole)
    t, density = sampler.draw(noise.stream("time").uniform(z.new_empty(ROWS)))
    eps = noise.stream("diffusion")(z.new_empty(ROWS, sde.phases, *COARSE))
    kernel = sde.kernel(t)
    u = kernel.mean[:, :, None, None] * z[:, None] + on(kernel.chol, eps)
    e, to_driven = error(prior, u, t, eps)
    square = (e * on(weights(prior, t, weighting, to_driven), e)).sum(1) / 2
    if control:
        square = square - chance(prior, z, t, u, eps, density)
    return square / density[:, None, None], sampler.total


def normal_divergence(sde, t: float, z: Tensor) -> Tensor:
    """``KL(N(m z, S) || N(0, S + c m m^T))`` at one time."""
    kernel, c = sde.kernel(f64(t)), sde.data_var()
    inverse = torch.linalg.inv(total_of(kernel, c))
    fixed = (inverse @ kernel.cov).trace() - sde.phases - torch.logdet(inverse @ kernel.cov)
    return (fixed + z.square() * (kernel.mean @ inverse @ kernel.mean)) / 2


def chance(prior: Sgm, z: Tensor, t: Tensor, u: Tensor, eps: Tensor, density: Tensor) -> Tensor:
    """The likelihood loss of a Normal prior at these draws, less r times its mean over them all."""
    sde, kernel, r = prior.sde, prior.sde.kernel(t), prior.sde.driven
    own, c = kernel.chol[:, -r:, -r:], sde.data_var()
    e = eps[:, -r:] - on(own.mT, on(torch.linalg.inv(total_of(kernel, c)), u)[:, -r:])
    same = torch.eye(r).double().expand(ROWS, r, r)
    square = (e * on(weights(prior, t, "likelihood", same), e)).sum(1) / 2
    mean = normal_divergence(sde, CUT, z) - normal_divergence(sde, sde.horizon, z)
    return square - density[:, None, None] * mean


def end(sde, z: Tensor) -> Tensor:
    kernel, cov = sde.kernel(f64(sde.horizon)), sde.prior_cov()
    inverse = torch.linalg.inv(cov)
    fixed = (inverse @ kernel.cov).trace() - sde.phases + torch.logdet(cov @ kernel.cov.inverse())
    return (fixed + z.square() * (kernel.mean @ inverse @ kernel.mean)) / 2


def grouped(nats: Tensor, groups) -> Tensor:
    return torch.stack([part.flatten(1).sum(1) for part in nats.split(groups, 1)], 1)


def q_loss(model: Lsgm, kl: float, balanced: bool) -> tuple[Tensor, Tensor]:
    """The encoder's loss, and the negative ELBO of each row."""
    x, noise = draws()
    prior = copy.deepcopy(model.prior).requires_grad_(False)
    sde, coarse = prior.sde, model.autoencoder.encode(x, noise.stream("encode"))
    top, finer = coarse
    kernel = sde.kernel(f64(CUT))
    prior_noise = noise.stream("prior")
    if model.divergence.separate:
        law, source = "likelihood", prior_noise.stream("encoder")
    else:
        law, source = prior.problem.weighting, prior_noise
    excess, _ = path(prior, top.z, source, law, "likelihood", prior.control)
    nats = excess + end(sde, top.z)
    if top.base is None:
        eps = noise.stream("cut")(x.new_empty(ROWS, sde.phases, *COARSE))
        seen = kernel.mean[0] * top.z + kernel.chol[0, 0] * eps[:, 0]
        inner = kernel.mean @ torch.linalg.solve(kernel.cov, kernel.mean)
        nats = nats - torch.log(1 + top.std.square() * inner) / 2
    else:
        seen = top.z
        normal = torch.distributions.Normal(top.mean, top.std)
        nats = nats + normal.log_prob(top.base)
        nats = nats + torch.logdet(2 * math.pi * math.e * kernel.cov) / 2
    rest = (finer.mean.square() + finer.std.square() - 1) / 2 - finer.std.log()
    groups = torch.cat([grouped(nats, GROUPS[0]), grouped(rest, GROUPS[1])], 1)
    gains = torch.ones(3).double()
    if balanced:
        gains = (groups.detach().abs().mean(0) + 0.01) / ALPHA
        gains = 3 * gains / gains.sum()
    logits = model.autoencoder.decode([seen, finer.z])
    recon = F.binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none")
    recon = recon.flatten(1).sum(1)
    loss = (recon.sum() + kl * (groups * gains).sum()) / (ROWS * NUMBERS)
    return loss, torch.stack([recon, groups.sum(1)], 1).detach()


def p_loss(model: Lsgm) -> Tensor:
    x, noise = draws()
    prior = model.prior
    with torch.no_grad():
        z = model.autoencoder.encode(x, noise.stream("encode"))[0].z
    weighting = prior.problem.weighting
    rows, total = path(prior, z, noise.stream("prior"), weighting, weighting)
    return rows.mean() / total
