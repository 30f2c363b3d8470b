r"""Parameterisations, losses and time sampling: everything in terms of the driven noise.

For every linear SDE ``w = L^{-1} u = rho x + eps`` exactly. The network's common language is the
driven part ``eps_d (B, r, *event)``; the score is ``-L_dd^{-T} eps_d``, the posterior mean of the
data follows from the driven channels ``w_d = a_d x + eps_d`` alone, and nothing divides by a
single ``a``, which is negative for CLD and crosses zero for underdamped third-order processes.

The small matrices here act on the phase axis: see `sgmkit.linear.act`.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.linear import act
from sgmkit.sde import Kernel, LinearSDE

Weighting = Literal["likelihood", "reweighted", "unweighted", "edm"]

WEAK = 1e-3
"""Share of the SNR below which the driven channels do not determine the data well."""
P_MEAN, P_STD = -1.2, 1.2
"""EDM's law of log sigma in training (Karras et al. 2022, table 1)."""
SIGMA_DATA = 0.5
"""The data's standard deviation as EDM assumes it."""


def driven_factor(kernel: Kernel, driven: int) -> Tensor:
    """``L_dd (*t, r, r)``, the trailing block of the Cholesky factor."""
    return kernel.chol[..., -driven:, -driven:]


def score_operator(kernel: Kernel, driven: int) -> Tensor:
    """``-L_dd^{-T} (*t, r, r)``: noise to score, ``score_d = -L_dd^{-T} eps_d``."""
    return -kernel.whiten[..., -driven:, -driven:].mT


def flow_operators(sde: LinearSDE, t: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """``du/dt = first u + second eps_d`` of the probability flow at ``t``, with the kernel there.

    Operators ``F``, ``(*t, k, k)``, and ``-1/2 D s``, ``(*t, k, r)`` (Song et al. 2021, eq. 13).
    The reverse SDE has the drift ``first u + 2 second eps_d``.
    """
    r = sde.driven
    return sde.drift(t), -sde.diffusion(t)[..., -r:] @ score_operator(kernel, r) / 2


def denoise_operators(kernel: Kernel, driven: int, data_var: float) -> tuple[Tensor, Tensor]:
    """``E[x | u] = first u + second eps_d``: operators ``(*t, 1, k)`` and ``(*t, 1, r)``.

    From the driven channels, ``x = a_d . (w_d - eps_d) / |a_d|^2``; where they carry less than
    `WEAK` of the SNR, from the undriven ones, whose noise is then white given the data:
    ``x = rho_u . w_u / (|rho_u|^2 + 1/c)`` for data of variance c.
    """
    lead, tail = kernel.rho[..., :-driven], kernel.rho[..., -driven:]
    strength = tail.square().sum(-1, keepdim=True)
    weak = strength <= WEAK * kernel.snr[..., None]
    gain = tail / torch.where(weak, 1.0, strength)
    from_tail = (gain[..., None, :] @ kernel.whiten[..., -driven:, :], -gain[..., None, :])
    gain_u = lead / (lead.square().sum(-1, keepdim=True) + 1 / data_var)
    from_lead = gain_u[..., None, :] @ kernel.whiten[..., :-driven, :]
    weak = weak[..., None]
    first = torch.where(weak, from_lead, from_tail[0])
    return first, torch.where(weak, 0.0, from_tail[1])


def full_score_operators(kernel: Kernel, driven: int, data_var: float) -> tuple[Tensor, Tensor]:
    """Score of all phases, ``first u + second eps_d``: ``(*t, k, k)`` and ``(*t, k, r)``.

    ``s = -S_t^{-1} (u - m_t E[x | u])``: the undriven phases' follows from the predicted data.
    """
    inverse = -kernel.whiten.mT
    if kernel.mean.shape[-1] == driven == 1:
        return torch.zeros_like(inverse), inverse
    first, second = denoise_operators(kernel, driven, data_var)
    rho = kernel.rho[..., None]
    return inverse @ (kernel.whiten - rho @ first), -inverse @ rho @ second


def normal_noise_operator(kernel: Kernel, driven: int, data_var: float) -> Tensor:
    r"""eps_d of data that is N(0, c) exactly, as an operator on u, ``(*t, r, k)``.

    The fixed part of LSGM's mixed score (Vahdat et al. 2021, sec. 3.2), for every linear SDE:
    ``L_dd^T (Sb^{-1} u)_d`` with ``Sb = S_t + c m_t m_t^T``, which is well conditioned.
    """
    total = kernel.cov + data_var * kernel.mean[..., :, None] * kernel.mean[..., None, :]
    return driven_factor(kernel, driven).mT @ torch.linalg.inv(total)[..., -driven:, :]


def velocity_noise_operator(kernel: Kernel, driven: int) -> Tensor:
    """The CLD paper's fixed part, ``L_vv v / S_vv``, as an operator on u, ``(*t, r, k)``.

    Dockhorn et al. 2022, sec. 3.2; it takes the driven phases for independent of the others.
    """
    block = kernel.cov[..., -driven:, -driven:]
    gain = driven_factor(kernel, driven).mT @ torch.linalg.inv(block)
    return torch.cat([gain.new_zeros(*gain.shape[:-1], kernel.mean.shape[-1] - driven), gain], -1)


def mix_noise(fixed: Tensor, network: Tensor, logit: Tensor) -> Tensor:
    """LSGM's mixed score in terms of noise: ``(1 - a) fixed + a network``, ``a = sigmoid(logit)``.

    Args:
        fixed: noise of the Normal part, ``(B, r, *event)``.
        network: what the network says, ``(B, r, *event)``.
        logit: broadcasts against them; learnable, usually one for each channel.
    """
    network = network.to(fixed)  # under autocast the network speaks bfloat16
    return torch.lerp(fixed, network, torch.sigmoid(logit).to(fixed))


def perturb(kernel: Kernel, x: Tensor, eps: Tensor) -> Tensor:
    """``m_t x + L eps (B, k, *event)``, from x ``(B, *event)`` and eps ``(B, k, *event)``."""
    mean = kernel.mean[..., :, None].to(x)
    return act(mean, x[:, None]) + act(kernel.chol.to(x), eps)


def weight_matrix(
    sde: LinearSDE,
    t: Tensor,
    kernel: Kernel,
    weighting: Weighting,
    sigma_data: float = SIGMA_DATA,
) -> Tensor:
    """W of the loss ``1/2 e^T W e`` per coordinate, ``(*t, r, r)``; see `weighted_error`.

    ``likelihood``: ``L_dd^{-1} D_dd L_dd^{-T}``, which bounds -log p (Song et al. 2021b, thm 1);
    ``reweighted``: ``D_dd``; ``unweighted``: twice the identity, so that the loss is ``|e|^2``;
    ``edm``: Karras et al. 2022 for data of standard deviation ``sigma_data``, their law of noise
    levels included.
    """
    r = sde.driven
    if weighting in ("unweighted", "edm"):
        twice = 2 * torch.eye(r, dtype=t.dtype, device=t.device).expand(*t.shape, r, r)
        if weighting == "unweighted":
            return twice
        return twice * _edm_weight(sde, t, kernel, sigma_data)[..., None, None]
    noise = sde.diffusion(t)[..., -r:, -r:]
    if weighting == "reweighted":
        return noise
    if weighting == "likelihood":
        inverse = kernel.whiten[..., -r:, -r:]
        return inverse @ noise @ inverse.mT
    raise BadValue(f"weighting {weighting!r} is none of {', '.join(get_args(Weighting))}")


def log_snr_rate(sde: LinearSDE, t: Tensor, kernel: Kernel) -> Tensor:
    """``d log |rho|^2 / dt = -a_d^T W a_d / |rho|^2 (*t)``, with the likelihood weight W."""
    a = kernel.rho[..., -sde.driven :, None]
    weight = weight_matrix(sde, t, kernel, "likelihood")
    return -(a.mT @ weight @ a)[..., 0, 0] / kernel.snr


def _edm_weight(sde: LinearSDE, t: Tensor, kernel: Kernel, sigma_data: float) -> Tensor:
    """``lambda(sigma) sigma^2`` times the density of t that EDM trains with, ``(*t)``.

    ``1/sigma = |rho|``, and log sigma is drawn from ``N(P_MEAN, P_STD^2)``; the error of x is
    ``|e| / |a_d|``, so that ``lambda = (sigma^2 + sd^2) / (sigma sd)^2`` leaves ``1 + 1/(sd a)^2``.
    """
    a = kernel.rho[..., -sde.driven :, None]
    power = a.square().sum((-2, -1)).clamp_min(torch.finfo(a.dtype).tiny)
    rate = -0.5 * log_snr_rate(sde, t, kernel)  # d log sigma / dt, which vanishes as |a|^2 does
    place = (-0.5 * kernel.snr.log() - P_MEAN) / P_STD
    density = torch.exp(-0.5 * place.square()) / (P_STD * math.sqrt(2 * math.pi))
    return (1 + 1 / (sigma_data**2 * power)) * density * rate


def weighted_square(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 e^T W e`` by coordinate, ``(B, *event)``; see `weighted_error`."""
    return 0.5 * (error * act(weight.to(error), error)).sum(1)


def weighted_error(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 sum e^T W e`` over all coordinates, ``(B,)``, in nats for the likelihood weighting.

    Args:
        weight: W, ``(B, r, r)`` or ``(r, r)``.
        error: ``eps_d - eps_theta``, ``(B, r, *event)``.
    """
    return weighted_square(weight, error).flatten(1).sum(1)


class TimeSampler:
    r"""Importance sampling of t for any linear SDE and weighting, with its exact density.

    For N(0, c) data the expected ``1/2 e^T W e`` is ``1/2 c a_d^T W a_d / (1 + c |rho|^2)``;
    a density proportional to it makes the loss of every t alike (LSGM, app. B, where closed forms
    are given for k = 1). With the likelihood weighting it is ``-d/dt 1/2 log(1 + c |rho|^2)``,
    whatever the SDE: that CDF is inverted to rounding. The others are piecewise constant on a fine
    float64 table, which is unbiased whatever its resolution, since the density is the table's own.

    Args:
        sde: the process.
        weighting: one of the four.
        t_min: the smallest t, > 0 unless the kernel is proper at 0.
        uniform: share of draws that are uniform on [t_min, T], which bounds the weights.
        bins: resolution of the table.
        sigma_data: of the edm weighting.
        whole: whether the error is that of the noise of all phases; it counts if unweighted.
    """

    def __init__(
        self,
        sde: LinearSDE,
        weighting: Weighting,
        t_min: float,
        uniform: float = 0.1,
        bins: int = 8192,
        sigma_data: float = SIGMA_DATA,
        whole: bool = False,
    ) -> None:
        self.sde, self.uniform, self._sigma_data = sde, uniform, sigma_data
        self._whole = whole and weighting == "unweighted"
        self.weighting: Weighting = weighting
        self.t_min, self.t_max = t_min, sde.horizon
        self._nodes = self._table_nodes(bins)
        if weighting == "likelihood":
            self._cdf = self._information(sde.kernel(self._nodes))
        else:
            middle = (self._nodes[1:] + self._nodes[:-1]) / 2
            mass = self._intensity(middle, sde.kernel(middle)) * self._nodes.diff()
            self._cdf = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
        self.total = float(self._cdf[-1] - self._cdf[0])
        """Integral of the unnormalised density over [t_min, T]."""
        if not math.isfinite(self.total):
            raise BadValue(
                f"t_min = {t_min} gives infinitely much information: it must be positive, or the "
                "SDE must start with noise in every phase"
            )

    def draw(self, quantile: Tensor) -> tuple[Tensor, Tensor]:
        """Times and their densities from uniform numbers.

        Args:
            quantile: ``(B,)`` in (0, 1).

        Returns:
            t ``(B,)`` float64, and r(t) ``(B,)``: weight a loss at t with ``1 / r(t)``.
        """
        quantile = quantile.to(self._nodes)
        flat = quantile > 1 - self.uniform
        inner = self._inverse((quantile / max(1 - self.uniform, 1e-300)).clamp(max=1.0))
        outer = (quantile - (1 - self.uniform)) / max(self.uniform, 1e-300)
        span = self.t_max - self.t_min
        t = torch.where(flat, self.t_min + span * outer, inner)
        return t, self.density(t)

    def density(self, t: Tensor) -> Tensor:
        """r(t), ``(*t)``, normalised over [t_min, T]."""
        if self.weighting == "likelihood":
            mass = self._intensity(t, self.sde.kernel(t))
        else:
            place = torch.searchsorted(self._nodes, t, right=True).clamp(1, len(self._nodes) - 1)
            mass = (self._cdf.diff() / self._nodes.diff())[place - 1]
        return (1 - self.uniform) * mass / self.total + self.uniform / (self.t_max - self.t_min)

    def _table_nodes(self, bins: int) -> Tensor:
        """Half of the nodes even in t, half even in log t: both ends of the range are resolved."""
        low = max(self.t_min, 1e-12 * self.t_max)
        even = torch.linspace(self.t_min, self.t_max, bins // 2 + 1, dtype=torch.float64)
        log = torch.logspace(
            math.log10(low), math.log10(self.t_max), bins // 2 + 1, dtype=torch.float64
        )
        nodes = torch.cat([even, log[1:-1]]).clamp(self.t_min, self.t_max)
        return torch.unique(nodes)

    def _intensity(self, t: Tensor, kernel: Kernel) -> Tensor:
        c = self.sde.data_var()
        if self._whole:
            return c * kernel.snr / (1 + c * kernel.snr)
        weight = weight_matrix(self.sde, t, kernel, self.weighting, self._sigma_data)
        a = kernel.rho[..., -self.sde.driven :, None]
        return 0.5 * c * (a.mT @ weight @ a)[..., 0, 0] / (1 + c * kernel.snr)

    def _information(self, kernel: Kernel) -> Tensor:
        """Minus the mutual information between N(0, c) data and u_t, in nats: increasing in t."""
        return -0.5 * torch.log1p(self.sde.data_var() * kernel.snr)

    def _inverse(self, quantile: Tensor) -> Tensor:
        goal = self._cdf[0] + quantile * self.total
        place = torch.searchsorted(self._cdf, goal, right=True).clamp(1, len(self._cdf) - 1)
        low, high = self._nodes[place - 1], self._nodes[place]
        below, above = self._cdf[place - 1], self._cdf[place]
        t = low + (high - low) * ((goal - below) / (above - below)).clamp(0, 1)
        if self.weighting != "likelihood":
            return t
        for _ in range(2):  # Newton; the table's bin is narrow, so two steps reach rounding
            kernel = self.sde.kernel(t)
            t = t + (goal - self._information(kernel)) / self._intensity(t, kernel)
            t = torch.minimum(torch.maximum(t, low), high)
        return t
