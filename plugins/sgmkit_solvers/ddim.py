"""The exponential step."""

from dataclasses import dataclass

from torch import Tensor

from sgmkit import Reverse, Solver
from sgmkit.linear import combine, operators
from sgmkit.score import denoise_operators


@dataclass(frozen=True)
class DDIM(Solver):
    """Exact probability flow of data at the predicted point, for any number of phases.

    ``u_s = m_s x + R_s R_t^{-1} (u_t - m_t x)`` with x = E[x | u_t]. For k = 1 it is DDIM (Song,
    Meng & Ermon 2021, eq. 12); for k > 1 it is gDDIM's step (Zhang, Tao & Chen 2023), with the
    noise of the undriven phases taken from the whitened channel. Data at one point are reached in
    one step.
    """

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        sde, t, s = rev.sde, grid[:-1], grid[1:]
        source, flow = sde.kernel(t), sde.point_flow(t, s)
        gain = sde.kernel(s).mean[..., None] - flow @ source.mean[..., None]
        from_u, from_eps = denoise_operators(source, sde.driven, sde.data_var())
        keep, push = operators(flow + gain @ from_u), operators(gain @ from_eps)
        for now, first, second in zip(t, keep, push, strict=True):
            u = combine((first, u), (second, rev.eps(u, now)))
        return u
