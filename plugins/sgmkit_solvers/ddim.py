"""DDIM and gDDIM: the exponential step with the predicted data constant, with any noise."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE
from sgmkit.processes import denoise_operators, point_transition
from sgmkit.solvers import Scheme, Step, covariance_factor, one_stage_steps


@dataclass(frozen=True)
class DDIM(Scheme):
    """The exact reverse process of data that lie at the predicted point, for any number of phases.

    ``u_s = m_s x + Phi^ (u_t - m_t x) + P^{1/2} z`` with x = E[x | u_t]. For k = 1 and without
    noise this is DDIM (Song, Meng & Ermon 2021, eq. 12). For k > 1, and with noise, it is gDDIM
    (Zhang, Tao & Chen 2023, prop. 6) with the noise of the undriven phases taken from the predicted
    data. lam = 1 is DDPM's posterior. Data that are one point are reached in one step.
    """

    lam: Annotated[float, Ge(0), Doc("amount of noise: 0 is the flow, 1 the reverse SDE")] = 0.0

    citation = "Song, Meng & Ermon 2021, eq. 12; Zhang, Tao & Chen 2023, prop. 6"

    @property
    def stochastic(self) -> bool:
        return self.lam > 0

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        t, s = grid[:-1], grid[1:]
        kernel = sde.kernel(t)
        keep, spread = point_transition(sde, t, s, self.lam**2)
        gain = sde.kernel(s).mean[..., None] - keep @ kernel.mean[..., None]
        from_u, from_eps = denoise_operators(kernel, sde.driven, sde.data_var())
        parts = [keep + gain @ from_u, gain @ from_eps]
        if not self.lam:
            return one_stage_steps(t, *parts)
        return one_stage_steps(t, *parts, covariance_factor(spread), draws=1)
