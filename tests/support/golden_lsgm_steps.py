"""LSGM's training steps on recorded draws, set up for `Lsgm`: see `test_golden_lsgm`."""

import math
from dataclasses import dataclass

import torch
from support.golden_data import (
    LSGM,
    LSGM_CASES,
    LSGM_LOGITS,
    LSGM_STUB,
    LSGM_TIME_EPS,
    REUSED,
    load,
)
from support.processes import f64
from torch import Tensor, nn

from sgmkit import Autoencoder, Batch, Latents, Network, Noise
from sgmkit_lsgm.lsgm import Lsgm
from sgmkit_sgm.sgm import Sgm

ROWS, PIXELS, SIZE = 10, 16, 16
"""The latter of the coarse latents."""
WEIGHTINGS = {"ll": "likelihood", "drop_all": "unweighted", "drop_sigma2t": "reweighted"}
PROGRESS = 120 / 1000
SCHEDULE = {"kl_low": 0.1, "kl_high": 1.0, "kl_start": 50 / 1000, "kl_portion": 500 / 1000}


class Draws(Noise):
    """Recorded draws by the path of their streams."""

    def __init__(self, draws: dict[str, Tensor], path: str = "") -> None:
        self.draws, self.path, self.ids = draws, path, torch.arange(ROWS)

    def stream(self, name: str) -> "Draws":
        return Draws(self.draws, f"{self.path}/{name}")

    def __call__(self, like: Tensor) -> Tensor:
        return self.draws[self.path].reshape(like.shape).to(like)

    uniform = __call__
    select = stream


class FixedTimes:
    """Times that were drawn elsewhere, and the density that the official weights stand for."""

    total = 1.0

    def __init__(self, t: Tensor, density: Tensor) -> None:
        self.times = t, density

    def draw(self, quantile: Tensor) -> tuple[Tensor, Tensor]:
        return self.times


class Replayed(Autoencoder):
    """The recorded posteriors and logits: groups 0 and 1 are coarse, 2 and 3 finer."""

    scales = ((4, 2, 2), (4, 4, 4))

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.shift = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        self.golden = load("lsgm_objective")

    def encode(self, x, noise):
        latents = []
        for pair in ((0, 1), (2, 3)):
            mean, std, rho = (
                torch.cat([self.golden[f"{name}_{i}"] for i in pair], 1)
                for name in ("mu", "log_sigma", "rho")
            )
            mean, std = mean + (self.shift[:, None, None] if pair == (0, 1) else 0), std.exp()
            z = mean + std * rho
            latents.append(Latents(z, mean, std, (2, 2), base=z))
        return tuple(latents)

    def decode(self, z):
        return self.golden["dec_logits"] + 0 * z[0].sum()


class Stub(Network):
    """``scale (tanh(a u) cos(b t) + c u)`` of the state as it is."""

    def __init__(self, in_shape, out_shape, sde):
        super().__init__(in_shape, out_shape)
        self.sde = sde
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, z, c, y=None):
        kernel = self.sde.kernel(c)
        total = kernel.cov[:, 0, 0] + self.sde.data_var() * kernel.mean[:, 0].square()
        u, t = z * total.sqrt()[:, None, None, None], c[:, None, None, None]
        a, b, c = (LSGM_STUB[name] for name in "abc")
        return self.scale * (torch.tanh(a * u) * torch.cos(b * t) + c * u)


LOW, HIGH = 0.1, 20.0
WRONG = math.exp(0.5 * LOW / (HIGH - LOW) * (1 - LOW))
"""What VP's drop_all_iw weights are too large by."""


def normaliser(cut: float) -> float:
    """``int_e^1 (1 - v) dt`` of VP."""
    a, c = (HIGH - LOW) / 2, LOW / (HIGH - LOW)
    ends = math.erf(math.sqrt(a) * (1 + c)) - math.erf(math.sqrt(a) * (cut + c))
    return math.exp(LOW**2 / (2 * (HIGH - LOW))) * math.sqrt(math.pi / (4 * a)) * ends


def density(name: str, mode: str, t: Tensor) -> Tensor:
    """The right density of an official proposal, in closed form."""
    cut = LSGM_TIME_EPS[name]
    if mode.endswith("uniform") or mode == "rescale_iw":
        return torch.full_like(t, 1 / (1 - cut))
    sde = LSGM["vpsde" if name == "sub_vpsde" else name]  # sub-VP's times are VP's
    var, ends = sde.kernel(t).cov[:, 0, 0], sde.kernel(f64([cut, 1.0])).cov[:, 0, 0]
    rate, (low, high) = sde.diffusion(t)[:, 0, 0], ends.tolist()
    if name == "vesde":  # the weightings differ by a constant
        c = sde.data_var()
        return rate * c / (var * (var + c)) / math.log((1 + c / low) / (1 + c / high))
    slope = rate * (1 - var)  # dv/dt
    if mode == "ll_iw":
        return slope / var / math.log(high / low)
    return slope / (high - low) if mode == "drop_sigma2t_iw" else (1 - var) / normaliser(cut)


def factor(name: str, mode: str) -> float:
    """By how much the official weights are larger than one over the density."""
    if mode.endswith("uniform") or mode == "rescale_iw":
        return 1 / (1 - LSGM_TIME_EPS[name])
    return WRONG if mode == "drop_all_iw" and name != "vesde" else 1.0


@dataclass
class Step:
    """A case, set up.

    Attributes:
        model, batch, noise: to compute the loss with.
        rate: the weight of the divergence, as stated.
        separate: whether ours takes times of its own for the encoder.
    """

    name: str

    def __post_init__(self) -> None:
        case, golden = LSGM_CASES[self.name], load("lsgm_objective")
        self.case, self.rate = case, 0.226 if case.annealed else 1.0
        self.golden = {
            key.removeprefix(f"{self.name}_"): value
            for key, value in golden.items()
            if key.startswith(self.name)
        }
        extra = case.prior == "rescale_iw"
        self.separate = extra or case.encoder != REUSED
        self.model = self._model(
            "unweighted" if extra else WEIGHTINGS[case.prior.rsplit("_", 1)[0]]
        )
        own, other = self.golden["t_p"], self.golden.get("t_q", self.golden["t_p"])
        samplers, weighting = self.model.prior.problem.samplers, self.model.prior.problem.weighting
        samplers[weighting] = self._fixed_times(case.prior, own)
        if extra:  # |e|^2 / (2 (1 - v))
            samplers[weighting] = FixedTimes(own, 2 * (1 - LSGM[case.sde].kernel(own).cov[:, 0, 0]))
        if self.separate:
            mode = case.prior if extra else case.encoder
            samplers["likelihood"] = self._fixed_times(mode, other)
        second = "noise_2" if self.name.startswith("disjoint") else "noise_1"
        paths = {"time": golden["r_1"], "diffusion": golden[second]}
        draws = {f"/prior/{key}": value for key, value in paths.items()}
        paths["diffusion"] = golden["noise_1"]
        draws |= {f"/prior/encoder/{key}": value for key, value in paths.items()}
        self.noise = Draws(draws)
        self.batch = Batch(2 * golden["image01"] - 1, None, self.noise.ids)

    def _fixed_times(self, mode: str, t: Tensor) -> FixedTimes:
        return FixedTimes(t, density(self.case.sde, mode, t) / factor(self.case.sde, mode))

    def _model(self, weighting: str) -> Lsgm:
        case, sde = self.case, LSGM[self.case.sde]

        def prior(event):
            mixed = "normal" if case.mixed else "none"
            made = Sgm(
                event,
                sde,
                lambda **shapes: Stub(**shapes, sde=sde),
                weighting=weighting,
                mixed=mixed,
                control=False,
                t_min=LSGM_TIME_EPS[case.sde],
            ).double()
            if case.mixed:
                made.mixing_logit.data = f64(LSGM_LOGITS).reshape(1, 4, 1, 1)
            return made

        return Lsgm(
            (1, 4, 4),
            "bernoulli",
            None,
            Replayed,
            prior,
            times="separate" if self.separate else "shared",
            vae_share=0.0,
            balance="always" if case.balanced else "off",
            **(SCHEDULE if case.annealed else {}),
        ).double()

    def errors(self, encoder: bool) -> tuple[Tensor, Tensor]:
        """Squared errors ``(B, 4, 2, 2)``, and the likelihood's nats of them, with their graph."""
        prior, noise = self.model.prior, self.noise.stream("prior")
        z = self.model.autoencoder.encode(self.batch.x, noise)[0].z.detach()
        weighting = "likelihood" if encoder and self.separate else prior.problem.weighting
        at = prior.problem.perturb(z, noise.stream("encoder") if encoder else noise, weighting)
        square = prior(at)[:, 0].square()
        nats = prior.problem.weight(at, "likelihood")[:, 0, 0] / 2 / at.density
        return square, nats[:, None, None, None] * square
