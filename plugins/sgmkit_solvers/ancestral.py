"""Steps by the forward transition turned round: ancestral sampling and reverse diffusion."""

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
    """``Phi^{-1} (u + Q s)`` and noise: the mean of u_s given u_t and the predicted data.

    DDPM's step (Ho et al. 2020, alg. 2) and SMLD's (Song et al. 2021, app. F), for any number of
    phases, s being the score of all of them. The variance is that of u_s given u_t and the data,
    or that of the forward step, DDPM's two choices. The first is `ddim` with lam = 1.
    """

    variance: Annotated[
        Literal["posterior", "forward"], Doc("given u_t and the data, or of the forward step")
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
            gain = back - back @ cov @ white
            left = torch.eye(sde.phases).to(phi) - gain @ phi
            spread = left @ sde.kernel(s).cov @ left.mT + gain @ cov @ gain.mT
        return one_stage_steps(
            t, back + back @ cov @ of_u, back @ cov @ of_eps, covariance_factor(spread), draws=1
        )


@dataclass(frozen=True)
class ReverseDiffusion(Scheme):
    """The forward step's drift and noise turned round: ``2 u - Phi u + Q s`` and noise of Q.

    Song et al. 2021, app. E. Without noise the score counts half: their probability flow.
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
