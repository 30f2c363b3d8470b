"""The exponential step."""

from dataclasses import dataclass

from torch import Tensor

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.linear import Operator, operators
from sgmkit.score import denoise_operators
from sgmkit.tables import tabled


@dataclass(frozen=True)
class DDIM(Solver):
    """Exact probability flow of data at the predicted point, for any number of phases.

    ``u_s = m_s x + R_s R_t^{-1} (u_t - m_t x)`` with x = E[x | u_t]. For k = 1 it is DDIM (Song,
    Meng & Ermon 2021, eq. 12); for k > 1 it is gDDIM's step (Zhang, Tao & Chen 2023), with the
    noise of the undriven phases taken from the whitened channel. Data at one point are reached in
    one step.
    """

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        for t, step in zip(grid[:-1], _table(rev.sde, grid), strict=True):
            u = step(u, rev.eps(u, t))
        return u


@tabled
def _table(sde: LinearSDE, grid: Tensor) -> list[Operator]:
    """Each step, on u and eps."""
    t, s = grid[:-1], grid[1:]
    source, flow = sde.kernel(t), sde.point_flow(t, s)
    gain = sde.kernel(s).mean[..., None] - flow @ source.mean[..., None]
    from_u, from_eps = denoise_operators(source, sde.driven, sde.data_var())
    return operators(flow + gain @ from_u, gain @ from_eps)
