"""Steps that invert the forward transition: ancestral sampling and reverse diffusion."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE
from sgmkit.processes import full_score_operators
from sgmkit.solvers import Scheme, Step, covariance_factor, one_stage_steps


@dataclass(frozen=True)
class Ancestral(Scheme):
    """The posterior mean of u_s from u_t and the predicted data, ``Phi^{-1} (u + Q s)``, and noise.

    This is DDPM's step (Ho et al. 2020, alg. 2) and SMLD's (Song et al. 2021, app. F) for any
    number of phases; Phi and Q are the forward transition and s is the score of all phases. The
    covariance of the noise is one of DDPM's two choices: that of the posterior of u_s, which makes
    it `ddim` with lam = 1, or that of the forward step.
    """

    variance: Annotated[
        Literal["posterior", "forward"],
        Doc("covariance of the noise: of the posterior, or of the forward step"),
    ] = "posterior"

    stochastic = True
    citation = "Ho, Jain & Abbeel 2020, alg. 2; Song et al. 2021, app. F"

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        t, s = grid[:-1], grid[1:]
        phi, cov = sde.transition(s, t)
        back, kernel = torch.linalg.inv(phi), sde.kernel(t)
        of_u, of_eps = full_score_operators(kernel, sde.driven, sde.data_var())
        spread = cov
        if self.variance == "posterior":
            white = kernel.whiten.mT @ kernel.whiten
            # Posterior of u_s: Phi^{-1} (I - Q S_t^{-1}) is the gain on what u_t adds.
            gain = back - back @ cov @ white
            left = torch.eye(sde.phases).to(phi) - gain @ phi
            spread = left @ sde.kernel(s).cov @ left.mT + gain @ cov @ gain.mT
        return one_stage_steps(
            t, back + back @ cov @ of_u, back @ cov @ of_eps, covariance_factor(spread), draws=1
        )


@dataclass(frozen=True)
class ReverseDiffusion(Scheme):
    """The forward step reversed: ``2 u - Phi u + Q s``, and noise of covariance Q.

    Song et al. 2021, app. E. Without noise the score counts half: this is their discretisation of
    the probability flow.
    """

    eta: Annotated[float, Ge(0), Le(1), Doc("share of the noise: 0 is the flow")] = 1.0

    citation = "Song et al. 2021, app. E"

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        t, s = grid[:-1], grid[1:]
        phi, cov = sde.transition(s, t)
        of_u, of_eps = full_score_operators(sde.kernel(t), sde.driven, sde.data_var())
        pull = (1 + self.eta) / 2 * cov
        parts = [2 * torch.eye(sde.phases).to(phi) - phi + pull @ of_u, pull @ of_eps]
        if not self.eta:
            return one_stage_steps(t, *parts)
        return one_stage_steps(t, *parts, covariance_factor(self.eta * cov), draws=1)
