"""The model's training loss against those of the methods' own public implementations.

Each official loss is one configuration of `Sgm`, run as training runs it: on recorded draws, with
the stub network of the files in the place of a network. Tolerances are the README's of those
numbers. Where an official convention differs from ours, the test bends and says so.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from support.golden_data import (
    CLD_LOSSES,
    CLD_STUB,
    CLD_VP,
    LOSS_EPS,
    SCORE_SDES,
    SCORE_STUB,
    load,
)
from support.processes import f64
from torch import Tensor

from sgmkit import Batch, Kernel, LinearSDE, Network, Noise, RecordedNoise
from sgmkit.processes import (
    act_on_phases,
    input_scale,
    noise_label,
    noise_operators,
    normal_noise_operator,
    scaled_cholesky,
    weighted_error,
)
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import VP
from sgmkit_sgm.sgm import Sgm

WEIGHTINGS = {
    "likelihood": "likelihood",
    "reweightedv1": "reweighted",
    "reweightedv2": "unweighted",
}


class Recorded(Noise):
    """Recorded draws by the name of their stream: ours are named, the official ones in a row."""

    def __init__(self, **draws: Tensor) -> None:
        self.draws = {name: RecordedNoise([draw]) for name, draw in draws.items()}
        self.ids = next(iter(self.draws.values())).ids

    def stream(self, name: str) -> Noise:
        return self.draws[name]

    def __call__(self, like):
        raise AssertionError("draws have a purpose")

    uniform = select = __call__


class Stub(Network):
    """``answer(u, t)`` of the state as it is: official stubs do without our scaling."""

    def __init__(self, in_shape, out_shape, sde: LinearSDE, data_var: float, answer) -> None:
        super().__init__(in_shape, out_shape)
        self.sde, self.data_var, self.answer = sde, data_var, answer
        self.single = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        t = c * self.sde.horizon
        kernel = self.sde.kernel(t)
        spread = kernel.cov.diagonal(dim1=-2, dim2=-1) + self.data_var * kernel.mean.square()
        state = z.unflatten(1, (self.sde.phases, -1)) * spread.sqrt()[..., None]
        return self.answer(state, t).flatten(1) + 0 * self.single


def build_sgm(sde: LinearSDE, answer, **options) -> Sgm:
    """Two coordinates, times ``r (1 - eps) + eps``, the stub for a network."""

    def network(in_shape, out_shape):
        return Stub(in_shape, out_shape, sde, sde.data_var(), answer)

    options = {"sampling": "uniform", "t_min": LOSS_EPS} | options
    return Sgm((2,), sde, network, **options)


def rows(model: Sgm, x: Tensor, noise: Recorded) -> Tensor:
    """The loss of each row before it is divided by a density of t, ``(B,)``."""
    batch = Batch(x, None, noise.ids)
    match = model.match(batch, noise)
    assert match.error.dtype == torch.float64
    return weighted_error(match.weight, match.error).detach()


def near(got: Tensor, want: Tensor, rtol: float, atol: float = 0.0) -> bool:
    assert got.shape == want.shape
    return torch.allclose(got, want, rtol=rtol, atol=atol)


# CLD-SGM.


@dataclass(frozen=True)
class OfficialCLD(CLD):
    """CLD-SGM adds ``numerical_eps`` to the diagonal of S_t; ours is a variance of the start."""

    @property
    def start_cov(self):
        return (0.0, 0.0), (0.0, self.gamma / self.m_inv)

    def kernel(self, t: Tensor) -> Kernel:
        mean, cov = super().kernel(t).mean, self._blurred(super().kernel(t).cov)
        return Kernel(mean, cov, scaled_cholesky(cov))

    def kernel_from(self, t: Tensor) -> tuple[Tensor, Tensor]:
        phi, factor = super().kernel_from(t)
        return phi, scaled_cholesky(self._blurred(factor @ factor.mT))

    def _blurred(self, cov: Tensor) -> Tensor:
        return cov + self.numerical_eps * torch.eye(2, dtype=cov.dtype)


def cld_stub(last: Tensor, data: Tensor, t: Tensor) -> Tensor:
    """``tanh(a v) cos(b t) + c x``; VPSDE has no v and uses x for both."""
    wave = torch.cos(CLD_STUB["b"] * t)[:, None, None]
    return torch.tanh(CLD_STUB["a"] * last) * wave + CLD_STUB["c"] * data


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("mixed", ["none", "velocity"])
@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("case", list(CLD_LOSSES))
def test_cld(case, matching, mixed, weighting):
    """The sum over coordinates; v_0 is what denoising matching draws first, x_0 is the data."""
    golden, source = load("cld_loss"), CLD_LOSSES[case]
    sde = OfficialCLD(
        source.beta_0, source.beta_1, source.m_inv, source.gamma, source.numerical_eps
    )
    model = build_sgm(
        sde,
        lambda u, t: cld_stub(u[:, 1:], u[:, :1], t),
        matching=matching,
        mixed=mixed,
        weighting=WEIGHTINGS[weighting],
    )
    start = torch.stack([torch.zeros_like(golden["zv0"]), golden["zv0"]], 1)
    noise = Recorded(time=golden["r"], diffusion=golden["z"], start=start)
    got = rows(model, golden["x0"], noise)
    score = {"none": "plain", "velocity": "mixed"}[mixed]
    key = f"{case}_{matching}_{score}_{weighting}"
    assert near(got, golden[key], rtol=1e-9)
    assert near(got.float(), golden[f"{key}_f32"], rtol=1e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("score", ["plain", "mixed"])
def test_cld_own_vp(score, weighting):
    """Its mixed score adds all of the Normal part to the network; ours shares, so the stub adds."""
    golden, sde = load("cld_loss"), CLD_VP

    def answer(u, t):
        fixed = act_on_phases(normal_noise_operator(sde.kernel(t), 1, 1.0), u)
        return cld_stub(u, u, t) + (fixed if score == "mixed" else 0)

    model = build_sgm(sde, answer, weighting=WEIGHTINGS[weighting])
    got = rows(model, golden["x0"], Recorded(time=golden["r"], diffusion=golden["z_vp"]))
    assert near(got, golden[f"vp_{score}_{weighting}"], rtol=1e-9)
    assert near(got.float(), golden[f"vp_{score}_{weighting}_f32"], rtol=1e-4)


# Score-SDE.


def score_stub(name: str, sde: LinearSDE):
    """The stub network, as noise: it is the score itself for VE, minus std times it for others."""

    def answer(u: Tensor, t: Tensor) -> Tensor:
        std = sde.kernel(t).cov[:, 0, 0].sqrt()
        tau = (std.log() if name == "ve" else t)[:, None, None]
        network = torch.tanh(SCORE_STUB["a"] * u) * torch.cos(SCORE_STUB["b"] * tau)
        network = network + SCORE_STUB["c"] * u
        return -std[:, None, None] * network if name == "ve" else network

    return answer


@pytest.mark.parametrize("reduce_mean", [0, 1])
@pytest.mark.parametrize("name", list(SCORE_SDES))
def test_score_sde(name, reduce_mean):
    """The mean over two coordinates, or half their sum: one number, and it is our 1/2 e^T W e."""
    golden, sde = load("scoresde_loss"), SCORE_SDES[name]
    for likelihood, weighting in ((1, "likelihood"), (0, "unweighted")):
        model = build_sgm(sde, score_stub(name, sde), weighting=weighting)
        noise = Recorded(time=golden["r"], diffusion=golden["z"])
        got = rows(model, golden["x0"], noise).mean()
        if weighting == "unweighted":  # they halve it, or take the mean of two coordinates
            got = got / 2
        want = golden[f"{name}_reducemean{reduce_mean}_lw{likelihood}"]
        assert near(got, want, rtol=1e-11)


def test_the_loss_is_the_mean_of_the_rows():
    """Per coordinate, over the density of uniform t, and in units of the Normal data's loss."""
    golden, sde = load("scoresde_loss"), SCORE_SDES["vp"]
    model = build_sgm(sde, score_stub("vp", sde), weighting="likelihood")
    noise = Recorded(time=golden["r"], diffusion=golden["z"])
    loss = model.loss(Batch(golden["x0"], None, noise.ids), noise, 0.0)
    want = golden["vp_reducemean1_lw1"] * (1 - LOSS_EPS) / 2
    assert near(loss.parts["score"], want, rtol=1e-11)
    ends = sde.kernel(f64([LOSS_EPS, 1.0])).snr
    normal = 0.5 * torch.log1p(ends).diff().abs()
    assert float(loss.total.detach()) == pytest.approx(float(want / normal), rel=1e-11)
    noise = Recorded(time=golden["r"], diffusion=golden["z"])
    plain = build_sgm(sde, score_stub("vp", sde)).loss(
        Batch(golden["x0"], None, noise.ids), noise, 0.0
    )
    want = golden["vp_reducemean1_lw0"]
    assert near(plain.parts["noise"], want, rtol=1e-11)
    assert near(loss.parts["noise"], want, rtol=1e-11)


# EDM.

STD, EDM_STUB = 0.5, {"a": 0.7, "b": 0.9, "c": 0.2}


class FixedTimes:
    """Times that were drawn elsewhere."""

    def __init__(self, t: Tensor, density: Tensor) -> None:
        self.times = t, density

    def draw(self, quantile: Tensor) -> tuple[Tensor, Tensor]:
        return self.times


def edm_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    """``tanh(a x) cos(b log sigma) + c x``."""
    wave = torch.cos(EDM_STUB["b"] * sigma.log())[:, None, None]
    return torch.tanh(EDM_STUB["a"] * x) * wave + EDM_STUB["c"] * x


def edm_rows(model: Sgm, t: Tensor, density: Tensor) -> Tensor:
    """The loss of each coordinate, ``(B, 2)``, over the density of t."""
    golden = load("edm_precond_loss")
    model.problem.samplers[model.problem.weighting] = FixedTimes(t, density)
    noise = Recorded(time=t, diffusion=golden["z"])
    match = model.match(Batch(golden["images"], None, noise.ids), noise)
    loss = 0.5 * match.weight * match.error.square()
    return (loss[:, 0] / density[:, None]).detach()


class EdmStub(Stub):
    """Their F from their D: it takes ``c_in x`` and ``c_noise``."""

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        sigma = (4 * c).exp()
        total = (sigma.square() + STD**2).sqrt()[:, None, None]
        x = z[:, None] * total
        skip, out = STD**2 / total.square(), sigma[:, None, None] * STD / total
        return ((edm_denoiser(x, sigma) - skip * x) / out)[:, 0] + 0 * self.single


def test_edm_loss():
    golden, sde = load("edm_precond_loss"), EDM()
    sigma = torch.exp(1.2 * golden["rnd_normal"] - 1.2)  # sigma = t
    density = torch.exp(-0.5 * golden["rnd_normal"].square()) / (1.2 * math.sqrt(2 * math.pi))
    options = {"prediction": "edm", "weighting": "edm", "sigma_data": STD, "t_min": 1e-3}
    model = Sgm(
        (2,), sde, lambda **shapes: EdmStub(**shapes, sde=sde, data_var=1, answer=None), **options
    )
    got = edm_rows(model, sigma, density / sigma)
    assert near(got, golden["edm_loss"], rtol=1e-12)


@pytest.mark.parametrize("name", ["vp", "ve"])
def test_edm_losses_of_other_processes(name):
    """Their ``|D - y|^2 / sigma^2`` is the squared error of the noise, for an answer x."""
    golden = load("edm_precond_loss")
    uniform = golden["rnd_uniform"]
    if name == "vp":
        sde, t = VP(beta_min=0.1, beta_max=0.1 + 19.9), 1 + uniform * (1e-5 - 1)
    else:
        sde, t = VE(sigma_min=0.02, sigma_max=100.0), uniform

    def answer(u, t):
        kernel = sde.kernel(t)
        mean = kernel.mean[:, :, None]
        return edm_denoiser(u / mean, kernel.cov[:, 0, 0].sqrt() / mean[:, 0, 0])

    got = edm_rows(build_sgm(sde, answer, prediction="x"), t, torch.ones_like(t))
    assert near(got, golden[f"{name}_loss"], rtol=1e-12)
    level = sde.kernel(t).cov[:, 0, 0] / sde.kernel(t).mean[:, 0].square()
    assert near(1 / level, golden[f"{name}_weight"], rtol=1e-12)


def test_edm_preconditioning():
    """c_skip and c_out of x, from those of the noise, ``eps = (u - x) / sigma``; c_in, c_noise."""
    golden, sde = load("edm_precond_loss"), EDM()
    sigma, want = golden["sigma"], golden["edm_coef"]
    kernel = sde.kernel(sigma)
    first, second = noise_operators(kernel, 1, "edm", STD)
    skip = STD**2 * first[:, 0, 0] / sigma  # x and eps share w as sd^2 and sigma^2
    columns = [skip, -sigma * second[:, 0, 0], input_scale(kernel, STD**2)[:, 0]]
    got = torch.stack([*columns, noise_label(kernel)], 1)
    assert near(got[:, :3], want[:, :3], rtol=1e-12)
    assert near(got[:, 3], want[:, 3], rtol=1e-12, atol=1e-15)  # zero at sigma = 1
    assert near(got, golden["edm_coef_f32"], rtol=1e-6, atol=1e-6)
    assert near(first[:, 0, 0], (1 - want[:, 0]) / sigma, rtol=1e-11)


def test_edm_preconditioning_of_vp():
    """Their VP wrapper is our noise prediction: D = x - sigma F, of ``x / sqrt(1 + sigma^2)``."""
    golden, sde = load("edm_precond_loss"), VP(beta_min=0.1, beta_max=0.1 + 19.9)
    level = sde.kernel(golden["vp_t"]).rho[:, 0].reciprocal()
    assert near(level, golden["vp_sigma_of_t"], rtol=1e-12)
    want = golden["vp_coef"]
    t = want[:, 3] / 999  # c_noise
    kernel = sde.kernel(t)
    level, mean = kernel.rho[:, 0].reciprocal(), kernel.mean[:, 0]
    first, second = noise_operators(kernel, 1, "noise")
    got = torch.stack([1 - level * first[:, 0, 0], -level * second[:, 0, 0]], 1)
    assert near(got, want[:, :2], rtol=1e-10)
    assert near(input_scale(kernel, 1.0)[:, 0] * mean, want[:, 2], rtol=1e-12)  # our u is mean x
