"""Latents whose aggregate is N(0, c): exact answers of a network, and truth by moment ODEs."""

import math
from functools import cache

import numpy as np
import torch
from support.moments import moment_odes, start_of
from support.sgm_oracles import total_cov
from torch import Tensor, nn

from sgmkit import Network, Noise
from sgmkit.processes import TimeSampler, flow_factor
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.psld import PSLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, Geometric, SubVP
from sgmkit_sgm.sgm import Sgm

CUT, BINS = 0.01, 280
PROCESSES = {
    "vp": VP(),
    "vp-short": VP(beta_min=0.2, beta_max=3.0, sigma2_0=0.02),
    "subvp": SubVP(),
    "geometric": Geometric(),
    "ve": VE(),
    "cld": CLD(),
    "cld-short": CLD(beta_0=0.6, beta_1=0.5, m_inv=2.0, gamma=0.3, numerical_eps=1e-4),
    "psld": PSLD(),
    "psld-short": PSLD(beta=1.5, gamma_x=0.4),
    "hold": HOLD(),
}
"""The short ones still know much of the data at the horizon."""


class Normal(Network):
    """The answer of a network that knows data of N(0, var), whatever it is asked for."""

    def __init__(self, in_shape, out_shape, sde, var, prediction="noise"):
        super().__init__(in_shape, out_shape)
        self.sde, self.var, self.prediction = sde, var, prediction
        self.gain = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        sde, r, t = self.sde, self.sde.driven, c * self.sde.horizon
        shown = total_cov(sde, t, sde.data_var()).diagonal(dim1=-2, dim2=-1).sqrt()
        u = z.unflatten(1, (sde.phases, -1)).flatten(2) * shown[..., None]
        pulled = torch.linalg.solve(total_cov(sde, t, self.var), u)  # minus the score
        kernel = sde.kernel(t)
        noise = kernel.chol[:, -r:, -r:].mT @ pulled[:, -r:]
        if self.prediction == "R":
            answer = flow_factor(sde, t).mT @ pulled
        elif self.prediction == "residual":
            usual = torch.linalg.solve(total_cov(sde, t, sde.data_var()), u)
            answer = kernel.mean[:, None] @ (self.var * pulled - sde.data_var() * usual)
            variance = 1 / (1 / sde.data_var() + kernel.snr)
            answer = answer * sde.data_var() ** 0.5 / variance[:, None, None]
        elif self.prediction in ("x", "v"):
            answer = self.var * (kernel.mean[:, None] @ pulled)
            if self.prediction == "v":
                a = kernel.rho[:, -1:, None]
                answer = (a * noise - answer) / (1 + a.square()).sqrt()
        else:
            answer = noise
        return self.gain * answer.reshape(len(z), *self.out_shape)


def normal_prior(sde, var=None, event=(1,), **options) -> Sgm:
    """`Sgm` with the exact score of data that are N(0, var)."""
    var = sde.data_var() if var is None else var
    prediction = options.get("prediction", "noise")

    def network(in_shape, out_shape):
        return Normal(in_shape, out_shape, sde, var, prediction)

    return Sgm(event, sde, network, **({"t_min": CUT, "inputs": "phases"} | options))


class Points(Noise):
    """Points in the place of draws, whose average is the mean of any square.

    A coordinate of the event for each point: (x, eps) along each axis, both ways. Quantiles of the
    times are nodes of a quadrature, one for each row.
    """

    def __init__(self, phases: int, quantile: Tensor) -> None:
        axes = math.sqrt(1 + phases) * torch.eye(1 + phases, dtype=torch.float64)
        self.points, self.quantile = torch.cat([axes, -axes], 1), quantile
        self.ids = torch.arange(len(quantile))

    @property
    def x(self) -> Tensor:
        """Normal numbers of unit variance, ``(B, 2 (1 + k))``."""
        return self.points[0].expand(len(self.ids), -1)

    def __call__(self, like: Tensor) -> Tensor:
        assert like.shape == (len(self.ids), *self.points[1:].shape)
        return self.points[1:].expand_as(like).to(like)

    def uniform(self, like: Tensor) -> Tensor:
        assert like.shape == self.quantile.shape
        return self.quantile.to(like)

    def stream(self, name: str) -> "Points":
        return self

    select = stream


def quadrature(draws) -> tuple[Tensor, Tensor]:
    """Quantiles for a `TimeSampler` and their weights: two Gauss points in each of its bins.

    The density jumps from bin to bin, and the draw from its own share to the uniform one.
    """
    span, own = draws.t_max - draws.t_min, 1 - draws.uniform
    parts = []
    if own:
        parts.append(own * (draws._cdf - draws._cdf[0]) / draws.total)
    if draws.uniform:
        parts.append(own + draws.uniform * (draws._nodes - draws.t_min) / span)
    middle = torch.cat([(edges[1:] + edges[:-1]) / 2 for edges in parts])
    half = torch.cat([edges.diff() / 2 for edges in parts])
    shift = half / math.sqrt(3)
    return torch.cat([middle - shift, middle + shift]), torch.cat([half, half])


def coarse(model: Sgm, weighting: str) -> TimeSampler:
    """The model's law of times in fewer bins: none the less a density."""
    own = model.problem.times(weighting)
    whole = model.parameterisation.whole
    made = TimeSampler(model.sde, weighting, own.t_min, own.uniform, BINS, whole=whole)
    model.problem.samplers[weighting] = made
    return made


def mean_excess(model: Sgm, mean: float, std: float, **options) -> float:
    """The expected excess of ``z ~ N(mean, std^2)`` under the real `cross_entropy`: no chance."""
    weighting = "likelihood" if options.get("separate") else model.problem.weighting
    quantile, weights = quadrature(coarse(model, weighting))
    points = Points(model.sde.phases, quantile)
    with torch.no_grad():
        entropy = model.cross_entropy(mean + std * points.x, points, 1.0, **options)
    return float(weights @ entropy.excess.mean(1))


def wide(sde) -> tuple[int]:
    """The event that `Points` need."""
    return (2 * (1 + sde.phases),)


# Truth: nothing here asks the process for more than F and D.


@cache
def transition(sde, begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Phi from ``begin`` to ``end``, and the covariance of u_end given x if ``begin`` is 0."""
    return moment_odes(sde, begin, end, start_of(sde))


def moments(sde, t: float, var: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean of u_t given x = 1, and the covariance of u_t for data that are N(0, var) at 0."""
    phi, cov = transition(sde, 0.0, t)
    return phi[:, 0], cov + var * np.outer(phi[:, 0], phi[:, 0])


def prior_of(sde) -> np.ndarray:
    """Covariance of the prior: the papers', and for VE the law of u_T given 0."""
    if isinstance(sde, VE):
        return moments(sde, 1.0, 0.0)[1]
    if isinstance(sde, CLD | PSLD):
        return np.diag([1.0, 1 / sde.m_inv])
    return np.eye(sde.phases)


def entropy(cov: np.ndarray) -> float:
    return 0.5 * float(np.linalg.slogdet(2 * math.pi * math.e * cov)[1])


def divergence(mean, cov, other) -> float:
    """``KL(N(mean, cov) || N(0, other))``."""
    inverse = np.linalg.inv(other)
    volume = np.linalg.slogdet(other)[1] - np.linalg.slogdet(cov)[1]
    return 0.5 * float(np.trace(inverse @ cov) - len(cov) + mean @ inverse @ mean + volume)
