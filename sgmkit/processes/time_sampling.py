"""Importance sampling of the times of a training step, with the exact density of each time."""

import math

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.sde import Kernel, LinearSDE
from sgmkit.processes.weighting import SIGMA_DATA, Weighting, weight_matrix


class TimeSampler:
    r"""Importance sampling of t for any linear SDE and weighting, with the density of each draw.

    For data N(0, c) the expected loss ``1/2 e^T W e`` at t is
    ``1/2 c a_d^T W a_d / (1 + c |rho|^2)``. Times are drawn with a density proportional to this, so
    that every t contributes the same loss in expectation (LSGM, app. B, has closed forms for k =
    1). For the likelihood weighting it is ``-d/dt 1/2 log(1 + c |rho|^2)`` for every SDE, and the
    CDF is inverted to rounding. For the others the density is piecewise constant on a fine float64
    table: `density` is that of the table, so that a loss weighted with it is unbiased whatever the
    resolution.

    Args:
        sde: the process.
        weighting: the weighting of the loss.
        t_min: the smallest time; positive unless the process starts with noise in all phases.
        uniform: share of the draws that are uniform on [t_min, T]; it bounds ``1 / density``.
        bins: number of bins of the table.
        sigma_data: standard deviation of the data, for the edm weighting.
        whole: whether the network predicts the noise of all phases, whose unweighted error is the
            loss; it makes no difference for the other weightings.

    Raises:
        BadValue: if the density cannot be normalised, for the SNR is infinite at ``t_min``.
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
            self._cdf = self._negative_information(sde.kernel(self._nodes))
        else:
            middle = (self._nodes[1:] + self._nodes[:-1]) / 2
            mass = self._intensity(middle, sde.kernel(middle)) * self._nodes.diff()
            self._cdf = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
        self.total = float(self._cdf[-1] - self._cdf[0])
        """Integral over [t_min, T] of the expected loss of N(0, c) data."""
        if not math.isfinite(self.total):
            raise BadValue(
                f"the signal-to-noise ratio is infinite at t_min = {t_min}: take t_min > 0, or an "
                "SDE that starts with noise in every phase"
            )

    def draw(self, quantile: Tensor) -> tuple[Tensor, Tensor]:
        """Times and their densities from uniform random numbers.

        Args:
            quantile: ``(B,)`` in (0, 1).

        Returns:
            t ``(B,)`` float64, and r(t) ``(B,)``: divide the loss at t by r(t).
        """
        quantile = quantile.to(self._nodes)
        # The upper share of the numbers makes the uniform times, the rest inverts the CDF.
        flat = quantile > 1 - self.uniform
        inner = self._inverse((quantile / max(1 - self.uniform, 1e-300)).clamp(max=1.0))
        outer = (quantile - (1 - self.uniform)) / max(self.uniform, 1e-300)
        span = self.t_max - self.t_min
        t = torch.where(flat, self.t_min + span * outer, inner)
        return t, self.density(t)

    def density(self, t: Tensor) -> Tensor:
        """The density r(t) of `draw`, ``(*t)``, normalised over [t_min, T]."""
        if self.weighting == "likelihood":
            mass = self._intensity(t, self.sde.kernel(t))
        else:
            right = torch.searchsorted(self._nodes, t, right=True).clamp(1, len(self._nodes) - 1)
            mass = (self._cdf.diff() / self._nodes.diff())[right - 1]
        return (1 - self.uniform) * mass / self.total + self.uniform / (self.t_max - self.t_min)

    def _table_nodes(self, bins: int) -> Tensor:
        """Edges of the bins: half of them even in t, half even in log t, to resolve both ends."""
        low = max(self.t_min, 1e-12 * self.t_max)
        even = torch.linspace(self.t_min, self.t_max, bins // 2 + 1, dtype=torch.float64)
        log = torch.logspace(
            math.log10(low), math.log10(self.t_max), bins // 2 + 1, dtype=torch.float64
        )
        nodes = torch.cat([even, log[1:-1]]).clamp(self.t_min, self.t_max)
        return torch.unique(nodes)

    def _intensity(self, t: Tensor, kernel: Kernel) -> Tensor:
        """Expected loss of N(0, c) data at t, ``(*t)``."""
        c = self.sde.data_var()
        if self._whole:  # E|e|^2 over all phases
            return c * kernel.snr / (1 + c * kernel.snr)
        weight = weight_matrix(self.sde, t, kernel, self.weighting, self._sigma_data)
        a = kernel.rho[..., -self.sde.driven :, None]
        return 0.5 * c * (a.mT @ weight @ a)[..., 0, 0] / (1 + c * kernel.snr)

    def _negative_information(self, kernel: Kernel) -> Tensor:
        """Minus the mutual information of N(0, c) data and u_t, in nats: it increases in t."""
        return -0.5 * torch.log1p(self.sde.data_var() * kernel.snr)

    def _inverse(self, quantile: Tensor) -> Tensor:
        """Times at which the CDF of the importance density is ``quantile (B,)``."""
        goal = self._cdf[0] + quantile * self.total
        right = torch.searchsorted(self._cdf, goal, right=True).clamp(1, len(self._cdf) - 1)
        low, high = self._nodes[right - 1], self._nodes[right]
        below, above = self._cdf[right - 1], self._cdf[right]
        t = low + (high - low) * ((goal - below) / (above - below)).clamp(0, 1)
        if self.weighting != "likelihood":
            return t
        for _ in range(2):  # Newton's method; a bin is narrow, so that two steps reach rounding
            kernel = self.sde.kernel(t)
            t = t + (goal - self._negative_information(kernel)) / self._intensity(t, kernel)
            t = torch.minimum(torch.maximum(t, low), high)
        return t
