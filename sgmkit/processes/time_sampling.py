"""Which times a training step sees: importance sampling of t, with the exact density of each t."""

import math

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.sde import Kernel, LinearSDE
from sgmkit.processes.weighting import SIGMA_DATA, Weighting, weight_matrix


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
