"""The exponential step, with as much noise as wanted."""

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
    """The exact reverse process of data at the predicted point, for any number of phases.

    ``u_s = m_s x + Phi^ (u_t - m_t x) + P^{1/2} z`` with x = E[x | u_t]. Without noise, for k = 1,
    it is DDIM (Song, Meng & Ermon 2021, eq. 12); for k > 1, and with noise, gDDIM (Zhang, Tao &
    Chen 2023, prop. 6), the undriven phases' noise taken from the whitened channel. lam = 1 is
    DDPM's posterior. Data at one point are reached in one step.
    """

    lam: Annotated[float, Ge(0), Doc("noise: 0 is the flow, 1 the reverse SDE")] = 0.0

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
