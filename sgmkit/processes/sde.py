r"""Forward processes: linear SDEs on a few phases, with exact transition kernels.

``du = F(t) u dt + G(t) dw`` on states ``u (B, k, *event)``; F and ``D = G G^T`` are k x k and act
on the phase axis. The data are phase 0; the r driven phases, which noise enters, come last. Time
runs from the data at 0 to the horizon T. Every ``t`` is ``()`` or ``(B,)``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sgmkit.processes.matrices import (
    Matrix,
    act_on_phases,
    as_matrix,
    ordered_transition,
    ou_transition,
    scaled_cholesky,
    semidefinite_factor,
    stacked_factor,
    triangular_inverse,
)


@dataclass(frozen=True)
class Kernel:
    """The perturbation kernel ``u_t | x ~ N(m_t x, S_t)`` at one or many times.

    Args:
        mean: ``m_t (*t, k)``.
        cov: ``S_t (*t, k, k)``.
        chol: the lower triangular L with ``L L^T = S_t`` and positive diagonal, ``(*t, k, k)``.
    """

    mean: Tensor
    cov: Tensor
    chol: Tensor

    @cached_property
    def whiten(self) -> Tensor:
        """``L^{-1} (*t, k, k)``. The whitened state is ``w = L^{-1} u = rho x + eps``."""
        return triangular_inverse(self.chol)

    @cached_property
    def rho(self) -> Tensor:
        """``rho = L^{-1} m_t (*t, k)``: coefficient of the data in each whitened phase."""
        return (self.whiten @ self.mean[..., None])[..., 0]

    @cached_property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio ``|rho|^2 = m^T S^{-1} m (*t)``: it decreases in t."""
        return self.rho.square().sum(-1)

    def perturb(self, x: Tensor, eps: Tensor) -> Tensor:
        """The state ``u_t = m_t x + L eps``, ``(B, k, *event)``.

        Args:
            x: data, ``(B, *event)``.
            eps: standard normal noise, ``(B, k, *event)``.
        """
        mean = self.mean[..., :, None].to(x)
        return act_on_phases(mean, x[:, None]) + act_on_phases(self.chol.to(x), eps)


class LinearSDE(ABC):
    """A forward process ``du = F(t) u dt + G(t) dw`` with k x k matrices on the phase axis.

    A subclass states `drift` F and `diffusion` D; transitions then come from the ODEs of the
    moments. Nearly every process is a `ClockedSDE` or a `ScheduleSDE`, whose transitions are closed
    forms. Constants are class attributes or properties; matrices are nested tuples of floats,
    ``(k, k)``.

    Attributes:
        phases: k.
        driven: r, the number of phases that noise enters: the last r.
        horizon: T, the largest time.
        t_min: the smallest time of training, sampling and likelihoods, unless another is chosen.
        start_cov: S0, the covariance of ``u_0`` given the data x; () is zero.
        precision: the inverse covariance of the stationary law, zero in phases without one; () if
            there is no stationary law.
        substeps: number of intervals in which a process without a closed form integrates the ODEs
            of its moments (fourth order).
    """

    phases: int = 1
    driven: int = 1
    horizon: float = 1.0
    t_min: float = 1e-3
    start_cov: Matrix = ()
    precision: Matrix = ()
    substeps: int = 512

    @abstractmethod
    def drift(self, t: Tensor) -> Tensor:
        """F(t), ``(*t, k, k)``, per unit of time."""

    @abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """D(t) = G G^T, ``(*t, k, k)``, per unit of time; zero but in the driven phases."""

    def noise_factor(self, t: Tensor) -> Tensor:
        """G(t) with ``G G^T = D``, ``(*t, k, r)``: the process adds ``G dw`` with w of size r."""
        noise = self.diffusion(t)[..., -self.driven :]
        root = torch.zeros_like(noise)
        block = noise[..., -self.driven :, :]
        factor = torch.linalg.cholesky_ex(block)[0] if self.driven > 1 else block.sqrt()
        root[..., -self.driven :, :] = factor
        return root

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The transition kernel ``u_t | u_s ~ N(Phi u_s, Q)``: Phi and Q, ``(*t, k, k)`` each.

        This default integrates the ODEs of the moments, see `matrices.ordered_transition`. For
        t < s, Phi is the inverse of the transition from t to s, and Q means nothing.
        """
        s, t = torch.broadcast_tensors(s, t)
        return ordered_transition(
            lambda now: (self.drift(now), self.diffusion(now)), s, t, self.substeps
        )

    def kernel(self, t: Tensor) -> Kernel:
        """The perturbation kernel ``u_t | x`` at t, with `start_cov` (hybrid score matching)."""
        phi, cov = self.transition(torch.zeros_like(t), t)
        start = as_matrix(semidefinite_factor(self.start_cov), self.phases, t)
        spread = phi @ start
        return Kernel(phi[..., 0], cov + spread @ spread.mT, self._factor(spread, cov))

    def kernel_from(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The kernel ``u_t | u_0 ~ N(Phi u_0, L L^T)``: Phi and L, ``(*t, k, k)`` each.

        Denoising score matching uses this kernel, given the whole start and not the data alone.
        """
        phi, cov = self.transition(torch.zeros_like(t), t)
        return phi, self._factor(torch.zeros_like(phi), cov)

    def prior_cov(self) -> Tensor:
        """Covariance of the prior N(0, prior_cov) at T, ``(k, k)``, float64 on the CPU.

        The stationary covariance if all phases have one, else that of ``u_T`` given x = 0.
        """
        end = torch.tensor(self.horizon, dtype=torch.float64)
        if self.precision:
            precision = as_matrix(self.precision, self.phases, end)
            if torch.linalg.matrix_rank(precision) == self.phases:
                return torch.linalg.inv(precision)
        return self.kernel(end).cov

    def data_var(self) -> float:
        """c, the variance that data should have: ``1 - S0_00``, so that phase 0 starts with 1."""
        return 1.0 - (self.start_cov[0][0] if self.start_cov else 0.0)

    def _factor(self, spread: Tensor, cov: Tensor) -> Tensor:
        """L with ``L L^T = spread spread^T + cov``, ``(*t, k, k)``."""
        if self.phases == 1:
            return torch.hypot(spread, cov.sqrt())
        return stacked_factor(spread, scaled_cholesky(cov))


def _slope(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Derivative of an elementwise function at ``t (*t)``, also in inference mode."""
    with torch.inference_mode(False), torch.enable_grad():
        point = t.clone().detach().requires_grad_()
        value = function(point)
        if not value.requires_grad:  # the function is constant
            return torch.zeros_like(t)
        return torch.autograd.grad(value.sum(), point)[0]


class ClockedSDE(LinearSDE):
    """``du = A u dtau + B^{1/2} dw`` on a clock tau(t): constant matrices, exact transitions.

    Attributes:
        drift_matrix: A, per unit of clock time; ``F = A dtau/dt``.
        noise_matrix: B, per unit of clock time, zero but in the driven phases; ``D = B dtau/dt``.
    """

    drift_matrix: Matrix
    noise_matrix: Matrix

    @abstractmethod
    def clock(self, t: Tensor) -> Tensor:
        """tau(t), ``(*t)``: increasing, zero at t = 0, differentiable by torch."""

    def clock_rate(self, t: Tensor) -> Tensor:
        """dtau/dt, ``(*t)``."""
        return _slope(self.clock, t)

    def drift(self, t: Tensor) -> Tensor:
        return as_matrix(self.drift_matrix, self.phases, t) * self.clock_rate(t)[..., None, None]

    def diffusion(self, t: Tensor) -> Tensor:
        return as_matrix(self.noise_matrix, self.phases, t) * self.clock_rate(t)[..., None, None]

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        drift = as_matrix(self.drift_matrix, self.phases, t)
        noise = as_matrix(self.noise_matrix, self.phases, t)
        return ou_transition(drift, noise, self.clock(t) - self.clock(s))


class ScheduleSDE(LinearSDE):
    """One phase with ``u_t | x ~ N(alpha(t) x, sigma(t)^2)``, for any two schedules."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of the data, ``(*t)``: one at t = 0, and positive up to and at T.

        If the schedule vanishes at t = 1, end a little earlier: ``horizon = 0.999``.
        """

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise, ``(*t)``, differentiable by torch.

        If it grows like sqrt(t), its slope at 0 is infinite: then override `diffusion` as well.
        """

    def drift(self, t: Tensor) -> Tensor:
        # F = d log alpha / dt
        return _slope(lambda r: self.alpha(r).log(), t)[..., None, None]

    def diffusion(self, t: Tensor) -> Tensor:
        # D = d sigma^2 / dt - 2 F sigma^2
        sigma = self.sigma(t)
        spread = 2 * sigma * (_slope(self.sigma, t) - self.drift(t)[..., 0, 0] * sigma)
        return spread[..., None, None]

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        # Phi = alpha_t / alpha_s and Q = sigma_t^2 - Phi^2 sigma_s^2
        phi = self.alpha(t) / self.alpha(s)
        kept = phi * self.sigma(s)
        cov = (self.sigma(t) - kept) * (self.sigma(t) + kept)
        return phi[..., None, None], cov[..., None, None]

    def kernel(self, t: Tensor) -> Kernel:
        sigma = self.sigma(t)[..., None, None]
        return Kernel(self.alpha(t)[..., None], sigma.square(), sigma)
