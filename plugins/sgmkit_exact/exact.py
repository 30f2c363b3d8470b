"""The exact model: the score of a known law under any linear SDE."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Dataset, Likelihood, LinearSDE, Model, Noise, Reverse
from sgmkit.errors import Incompatible
from sgmkit.likelihoods import FlowOptions, normal_log_density
from sgmkit.processes import Kernel, Memo, Operator, PhaseMap, act_on_phases
from sgmkit_exact.channel import DiagonalChannel, EqualChannel

DEFAULT_BANDWIDTH = 0.1
"""Standard deviation of the blur of each item in an empirical mixture, in data units."""


@dataclass(frozen=True)
class Coefficients:
    """The kernel at one time, or at a time for each sample, and operators on states that follow.

    Args:
        kernel: of u_t given x.
        observe: ``y = rho . w / |rho|^2``, the channel's observation of u: one phase from k.
        restore: ``rho_d``: r phases from one.
        across: ``P L^{-1}`` with ``P = 1 - rho rho^T / |rho|^2``: what of w is no observation of x.
        across_driven: the driven rows of it.
    """

    kernel: Kernel
    observe: PhaseMap
    restore: PhaseMap
    across: PhaseMap
    across_driven: PhaseMap


class Exact(Model):
    """Exact score and log-density at every t, for every linear SDE: no learning error.

    A data set that is a Gaussian mixture states its law. For any other, the law is the empirical
    mixture of its training items, each blurred by ``bandwidth``. `sgmkit_exact.channel` says why
    one scalar channel serves every number of phases.
    """

    trainable = False

    def __init__(
        self,
        sde: LinearSDE,
        data: Dataset,
        bandwidth: Annotated[
            float | None,
            Ge(0),
            Doc(
                "standard deviation that is added to each component of the mixture; unset: 0 "
                f"where the data state their law, else {DEFAULT_BANDWIDTH}"
            ),
        ] = None,
        t_min: Annotated[
            float | None,
            Gt(0),
            Doc("cut-off: the time at which grids and likelihoods end; unset: the SDE's own"),
        ] = None,
        dtype: Annotated[
            Literal["float64", "float32"],
            Doc("precision of the states; scores are computed in float64"),
        ] = "float64",
    ) -> None:
        super().__init__()
        self.sde, self.event, self.t_min = sde, data.event, t_min or sde.t_min
        self._dtype = getattr(torch, dtype)
        law, items = data.mixture(), data.items("train")
        if law is not None:
            means = law.means.double().flatten(1)
            variances = law.variances.double().expand(law.means.shape).flatten(1)
            blurred = variances + (bandwidth or 0.0) ** 2
            self.channel = DiagonalChannel(law.weights.double(), means, blurred)
        elif items is not None:
            width = DEFAULT_BANDWIDTH if bandwidth is None else bandwidth
            self.channel = EqualChannel(items.x.double().flatten(1), width**2)
        else:
            raise Incompatible(
                f"{type(data).__name__} states no law and has no items to build an empirical law"
            )
        self._coefficients: Memo[float, Coefficients] = Memo()

    def state_like(self) -> Tensor:
        return self.channel.means.new_empty(0, dtype=self._dtype)

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        if y is not None:
            raise Incompatible("the exact model has no classes; leave the labels out")
        return Reverse(self.sde, self.eps, noise)

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        return u[:, 0]

    def eps(self, u: Tensor, t: Tensor) -> Tensor:
        """E[eps_d | u_t], ``(B, r, *event)``, from u ``(B, k, *event)`` at t ``()`` or ``(B,)``."""
        at, state = self._at(t), u.to(torch.float64)
        residual, _ = self._observed(at, state)  # y - E[x | u]
        # E[eps | u] = w - rho E[x | u] = P w + rho (y - E[x | u]), for P w = w - rho y
        eps = at.restore(residual.unflatten(1, self.event)[:, None])
        if self.sde.phases > 1:
            eps = eps + at.across_driven(state)
        return eps.to(u.dtype)

    def log_prob(self, u: Tensor, t: Tensor) -> Tensor:
        """Exact ``log p_t(u)``, nats, ``(B,)``, of states ``(B, k, *event)``."""
        at, state = self._at(t), u.to(torch.float64)
        _, evidence = self._observed(at, state)
        # log p(u) = log p(y) + log N(P w; 0, 1) - log |det L| - log |rho|, for each coordinate
        across = at.across(state).square().flatten(1).sum(1)
        kernel = at.kernel
        volume = kernel.chol.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * kernel.snr.log()
        volume = volume + 0.5 * (self.sde.phases - 1) * math.log(2 * math.pi)
        return evidence - 0.5 * across - math.prod(self.event) * volume

    def log_prob_data(self, x: Tensor, t: Tensor) -> Tensor:
        """Exact log-density of phase 0 alone at ``t ()``, nats, ``(B,)``, at x ``(B, *event)``."""
        kernel = self._at(t).kernel
        mean, var = kernel.mean[0], kernel.cov[0, 0]
        _, evidence = self.channel(x.to(torch.float64).flatten(1) / mean, var / mean.square())
        return evidence - math.prod(self.event) * mean.abs().log()

    def start_exactly(self, noise: Noise) -> Tensor:
        source = noise.stream("start")
        like = self.channel.means
        shape = (len(noise.ids), math.prod(self.event))
        uniform = source.uniform(like.new_empty(shape[0], 1))[:, 0]
        x = self.channel.draw(uniform, source(like.new_empty(shape))).unflatten(1, self.event)
        eps = source(like.new_empty(shape[0], self.sde.phases, *self.event))
        end = torch.tensor(self.sde.horizon, dtype=torch.float64)
        return self._at(end).kernel.perturb(x, eps).to(self._dtype)

    def flow_nll(
        self, x: Tensor, noise: Noise, t_min: float, options: FlowOptions, y: Tensor | None = None
    ) -> Likelihood:
        """The likelihood of the probability flow, with two parts that only an exact model has.

        ``parts["exact"]`` is ``-log p`` of x at t_min; ``parts["mismatch"]`` is ``log p_T(u_T) -
        log prior(u_T)``. For k = 1, ``nats - mismatch`` equals ``exact`` up to the tolerance of the
        solver.
        """
        flow = super().flow_nll(x, noise, t_min, options, y)
        end = torch.tensor(self.sde.horizon, dtype=torch.float64)
        cut = torch.tensor(t_min, dtype=torch.float64)
        u_T = flow.parts["u_T"]
        mismatch = self.log_prob(u_T, end) - normal_log_density(u_T, self.sde.prior_cov())
        parts = {**flow.parts, "mismatch": mismatch, "exact": -self.log_prob_data(x, cut)}
        return Likelihood(flow.nats, flow.stderr, flow.kind, parts)

    def _observed(self, at: Coefficients, state: Tensor) -> tuple[Tensor, Tensor]:
        """``y - E[x | u]``, ``(B, N)``, and ``log p(y)``, ``(B,)``, of states in float64."""
        return self.channel(at.observe(state).flatten(1), 1 / at.kernel.snr)

    def _at(self, t: Tensor) -> Coefficients:
        """Coefficients at t ``()`` or ``(B,)``; those of single times are remembered."""
        if t.ndim:
            return self._computed(t)
        time = t.detach().clone().to(self.channel.means)
        return self._coefficients.get(float(t), partial(self._computed, time))

    def _computed(self, t: Tensor) -> Coefficients:
        kernel, r = self.sde.kernel(t), self.sde.driven
        rho = kernel.rho[..., None]
        observe = (rho.mT @ kernel.whiten) / kernel.snr[..., None, None]
        across = kernel.whiten - rho @ rho.mT / kernel.snr[..., None, None] @ kernel.whiten
        matrices = (observe, rho[..., -r:, :], across, across[..., -r:, :])
        device = self.channel.means.device
        acts = (
            Operator(m.tolist()) if m.ndim == 2 else partial(act_on_phases, m.to(device))
            for m in matrices
        )
        return Coefficients(kernel, *acts)
