"""The problem of score matching: perturbed data, what a network should predict, what errors cost.

Nothing here has weights: a `ScoreMatching` poses the problem, and the model `Sgm` answers it with a
network.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sgmkit import BadValue, Kernel, LinearSDE, Loss, Noise
from sgmkit.processes import (
    Operator,
    TimeSampler,
    Weighting,
    act_on_phases,
    flow_factor,
    semidefinite_factor,
    time_at_snr,
    weight_matrix,
    weighted_error,
    whole_noise_operator,
)
from sgmkit_sgm.parameterisation import Parameterisation

Sampling = Literal["importance", "uniform"]
EARLIEST = 1e-9
"""Stands for t = 0 where t must be positive; a fraction of the horizon."""
UNIFORM_SHARE = {"importance": 0.1, "uniform": 1.0}
"""Share of training times drawn uniformly.

With importance sampling a tenth, so that no density comes near zero.
"""


def time_of_noise(sde: LinearSDE, noise_min: float) -> float:
    """The time at which unit data carry noise of this standard deviation, ``1 / |rho_t|``.

    Rounded to four digits, so that reports print it in full.

    Raises:
        BadValue: for a level that the process never has, or starts with.
    """
    low, high = EARLIEST * sde.horizon, sde.horizon
    first, last = sde.kernel(torch.tensor([low, high], dtype=torch.float64)).snr.rsqrt().tolist()
    if not first < noise_min < last:
        name = type(sde).__name__
        raise BadValue(
            f"noise_min = {noise_min:g} is not a noise level of {name}: "
            f"it must lie between {first:.3g} and {last:.3g}"
        )
    log_snr = -2 * torch.tensor([noise_min], dtype=torch.float64).log()
    return float(f"{float(time_at_snr(sde, log_snr, low)):.4g}")


@dataclass(frozen=True)
class PerturbedBatch:
    """States of a batch, each at its own time.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: the density that they were drawn from, at t, ``(B,)``.
        eps: the noise of all phases that was added, ``(B, k, *event)``.
        kernel: law of u_t given x.
        conditional: law of u_t given what the matching conditions on: the data x (hsm) or the
            whole start u_0 (dsm). ``eps`` is the noise of this law.
        factor: R at the times, ``(B, k, k)``, where the noise of all phases is predicted; or None.
        u: the states, ``(B, k, *event)``.
        y: labels ``(B,)`` for the network, or None.
    """

    t: Tensor
    density: Tensor
    eps: Tensor
    kernel: Kernel
    conditional: Kernel
    factor: Tensor | None
    u: Tensor
    y: Tensor | None = None


@dataclass(frozen=True)
class ScoreMatching:
    """The regression that trains a score model (Song et al. 2021; Dockhorn et al. 2022).

    ``E over t, u_t of 1/2 e^T W(t) e`` with the error ``e = target - prediction`` of the noise.

    Args:
        event: shape of one item of data.
        parameterisation: the process, what a network predicts and the matching target.
        weighting: W, see `sgmkit.processes.weight_matrix`.
        sampling: the law of t: by the size of the integrand, or uniform.
        t_min: the cut-off; times lie between it and the horizon.
        samplers: laws of t by weighting, filled in at first use.

    Raises:
        BadValue: for a cut-off that is not below the horizon.
    """

    event: tuple[int, ...]
    parameterisation: Parameterisation
    weighting: Weighting
    sampling: Sampling
    t_min: float
    samplers: dict[Weighting, TimeSampler] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.t_min >= self.sde.horizon:
            raise BadValue(f"t_min = {self.t_min:g} is not below the horizon {self.sde.horizon:g}")

    @property
    def sde(self) -> LinearSDE:
        """The forward process."""
        return self.parameterisation.sde

    def times(self, weighting: Weighting) -> TimeSampler:
        """The law of t for this weighting: ``sampling`` changes no expectation, only variances."""
        if weighting not in self.samplers:
            self.samplers[weighting] = TimeSampler(
                self.sde,
                weighting,
                self.t_min,
                UNIFORM_SHARE[self.sampling],
                sigma_data=self.parameterisation.sigma_data,
                whole=self.parameterisation.whole,
            )
        return self.samplers[weighting]

    def perturb(
        self, x: Tensor, noise: Noise, weighting: Weighting, y: Tensor | None = None
    ) -> PerturbedBatch:
        """States of data at random times; differentiable in x.

        Args:
            x: data, ``(B, *event)``.
            noise: of one sample id for each row; streams "time", "diffusion", and "start" for the
                draw of u_0 in denoising matching.
            weighting: decides the law of t.
            y: labels ``(B,)`` for the network, or None.
        """
        sde = self.sde
        uniform = noise.stream("time").uniform(torch.empty(len(x), dtype=torch.float64))
        t, density = self.times(weighting).draw(uniform)
        eps = noise.stream("diffusion")(x.new_empty(len(x), sde.phases, *self.event))
        conditional = kernel = sde.kernel(t)
        if self.parameterisation.matching == "hsm":
            u = kernel.perturb(x, eps)  # u_t = m_t x + L_t eps
        else:
            phi, root = sde.kernel_from(t)
            conditional = Kernel(phi[..., 0], root @ root.mT, root)
            u_0 = self._start(x, noise)
            # u_t = Phi u_0 + L eps, L the factor of u_t given u_0
            u = act_on_phases(phi.to(x), u_0) + act_on_phases(root.to(x), eps)
        factor = flow_factor(sde, t) if self.parameterisation.whole else None
        labels = None if y is None else y.to(x.device)
        return PerturbedBatch(t, density, eps, kernel, conditional, factor, u, labels)

    def _start(self, x: Tensor, noise: Noise) -> Tensor:
        """u_0 given x, ``(B, k, *event)``: phase 0 is ``x``, plus noise of ``start_cov``."""
        start = x.new_zeros(len(x), self.sde.phases, *self.event)
        if self.sde.start_cov:
            root = Operator(semidefinite_factor(self.sde.start_cov))
            start = root(noise.stream("start")(start))
        start[:, 0] += x
        return start

    def target(self, batch: PerturbedBatch) -> Tensor:
        """The noise to predict: eps_d ``(B, r, *event)``, or ``R^{-1} L eps`` of all k phases."""
        if batch.factor is None:
            return batch.eps[:, -self.sde.driven :]
        frame = torch.linalg.solve(batch.factor, batch.kernel.chol)
        return act_on_phases(frame.to(batch.u), batch.eps)

    def weight(self, batch: PerturbedBatch, weighting: Weighting) -> Tensor:
        """W of the loss ``1/2 e^T W e``: ``(B, r, r)``, or ``(B, k, k)`` for the whole noise.

        An error e of the whole noise causes the driven error ``e_d = P e``, so W becomes
        ``P^T W P``; ``unweighted`` is twice the identity on all k phases.
        """
        sde = self.sde
        driven = weight_matrix(
            sde, batch.t, batch.conditional, weighting, self.parameterisation.sigma_data
        )
        if batch.factor is None:
            return driven
        if weighting == "unweighted":
            return 2 * torch.eye(sde.phases).to(driven).expand_as(batch.factor)
        to_driven = whole_noise_operator(batch.kernel, batch.factor, sde.driven)
        return to_driven.mT @ driven @ to_driven

    def objective(self, density: Tensor, weight: Tensor, error: Tensor) -> Loss:
        """The loss, ``mean of 1/2 e^T W e / density`` over rows, with its parts; see `Sgm.loss`.

        Args:
            density: density of each time, ``(B,)``.
            weight: W, ``(B, r, r)``, or ``(B, k, k)`` if the network predicts the whole noise.
            error: e, ``(B, r, *event)``, or ``(B, k, *event)`` likewise.
        """
        density = density.to(error)
        score = (weighted_error(weight, error) / density).mean() / math.prod(self.event)
        square = error.detach().square().flatten(1).mean(1)
        plain = (square / density).mean() / (self.sde.horizon - self.t_min)
        total = score / self.times(self.weighting).total
        return Loss(total, {"score": score.detach(), "noise": plain})
