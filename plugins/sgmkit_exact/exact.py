"""The exact model: the score of a known law under any linear SDE."""

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Dataset, Likelihood, LinearSDE, Model, Noise, Reverse
from sgmkit.errors import Incompatible
from sgmkit.likelihoods import FlowOptions, normal_log_density
from sgmkit.processes import Kernel, Operator, act_on_phases
from sgmkit_exact.channel import DiagonalChannel, EqualChannel

DEFAULT_BANDWIDTH = 0.1
"""Of the empirical mixture, in data units: below the spacing of grey levels seen at a glance."""


class Exact(Model):
    """Exact score and log-density at every t, for every linear SDE: no learning error.

    Data sets that are Gaussian mixtures state their law; of any other, the law is the empirical
    mixture of its training items, each blurred by ``bandwidth``. See `sgmkit_exact.channel` for why
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
            Doc("standard deviation added to each component; unset: 0 for stated laws, else 0.1"),
        ] = None,
        t_min: Annotated[
            float | None, Gt(0), Doc("where grids and likelihoods end; unset: the SDE's own")
        ] = None,
        dtype: Annotated[
            Literal["float64", "float32"], Doc("of the states; scores are computed in float64")
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
                f"{type(data).__name__} states no law and has no items to make one of"
            )
        self._recent: dict[float, Kernel] = {}

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
        kernel, r = self._kernel(t), self.sde.driven
        state = u.to(torch.float64)
        residual, _ = self._observe(kernel, state)
        # w - rho E[x|u] = (w - rho y) + rho (y - E[x|u]): the first bracket is a projection.
        across = _across(kernel)[..., -r:, :]
        out = self._on(kernel.rho[..., -r:, None], residual.unflatten(1, self.event)[:, None])
        if self.sde.phases > 1:
            out = out + self._on(across, state)
        return out.to(u.dtype)

    def log_prob(self, u: Tensor, t: Tensor) -> Tensor:
        """Exact ``log p_t(u)``, nats, ``(B,)``, of states ``(B, k, *event)``."""
        kernel = self._kernel(t)
        state = u.to(torch.float64)
        _, evidence = self._observe(kernel, state)
        across = self._on(_across(kernel), state).square().flatten(1).sum(1)
        volume = kernel.chol.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * kernel.snr.log()
        volume = volume + 0.5 * (self.sde.phases - 1) * math.log(2 * math.pi)
        return evidence - 0.5 * across - math.prod(self.event) * volume

    def log_prob_data(self, x: Tensor, t: Tensor) -> Tensor:
        """Exact log-density of phase 0 alone at ``t ()``, nats, ``(B,)``, at x ``(B, *event)``."""
        kernel = self._kernel(t)
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
        return self._kernel(end).perturb(x, eps).to(self._dtype)

    def flow_nll(
        self, x: Tensor, noise: Noise, t_min: float, options: FlowOptions, y: Tensor | None = None
    ) -> Likelihood:
        """The flow's likelihood, and beside it what only an exact model knows.

        ``parts["exact"]`` is -log p of x at t_min; ``parts["mismatch"]`` is ``log p_T(u_T) -
        log prior(u_T)``: for k = 1, ``nats - mismatch`` equals ``exact`` to the solver's tolerance.
        """
        flow = super().flow_nll(x, noise, t_min, options, y)
        end = torch.tensor(self.sde.horizon, dtype=torch.float64)
        cut = torch.tensor(t_min, dtype=torch.float64)
        u_T = flow.parts["u_T"]
        mismatch = self.log_prob(u_T, end) - normal_log_density(u_T, self.sde.prior_cov())
        parts = {**flow.parts, "mismatch": mismatch, "exact": -self.log_prob_data(x, cut)}
        return Likelihood(flow.nats, flow.stderr, flow.kind, parts)

    def _observe(self, kernel: Kernel, state: Tensor) -> tuple[Tensor, Tensor]:
        gain = (kernel.rho[..., None, :] @ kernel.whiten) / kernel.snr[..., None, None]
        return self.channel(self._on(gain, state).flatten(1), 1 / kernel.snr)

    def _on(self, matrix: Tensor, state: Tensor) -> Tensor:
        if matrix.ndim == 2:
            return Operator(matrix.tolist())(state)
        return act_on_phases(matrix.to(state), state)

    def _kernel(self, t: Tensor) -> Kernel:
        """The kernel at t; those of the last few single times are kept, for solvers ask twice."""
        if t.ndim:
            return self.sde.kernel(t)
        kernel = self._recent.get(key := float(t))
        if kernel is None:
            if len(self._recent) > 4096:
                self._recent.clear()
            with torch.inference_mode(False):
                kernel = self._recent[key] = self.sde.kernel(
                    t.detach().clone().to(self.channel.means)
                )
        return kernel


def _across(kernel: Kernel) -> Tensor:
    """Projection of the whitened channels across rho, as an operator on u, ``(*t, k, k)``."""
    rho = kernel.rho[..., None]
    project = rho @ rho.mT / kernel.snr[..., None, None]
    return kernel.whiten - project @ kernel.whiten
