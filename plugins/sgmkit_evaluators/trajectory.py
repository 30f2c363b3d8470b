"""The error of a solver along the probability flow, measured where it ends."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.evaluation import Context, Evaluator, Metric, Value
from sgmkit.solvers import Last, finish, integrate


@dataclass(frozen=True)
class Trajectory(Evaluator):
    """Root mean square distance, per coordinate, to an accurate solution from the same u_T.

    sqrt(E |x - x*|^2 / d), where x* is the flow's solution. Each sample is compared with its own
    reference. So the solver's error alone is measured, and a few hundred samples suffice. A
    stochastic solver does not follow the flow and has no value.
    """

    num: Annotated[int, Ge(2), Doc("how many samples are compared, the first ones")] = 128
    tol: Annotated[float, Gt(0), Doc("tolerance of the reference solution")] = 1e-7

    metrics = (Metric("trajectory", "lower", unit="data units"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row; its interval is over samples."""
        if ctx.cell is None or ctx.u_T is None:
            return [Value("trajectory", math.nan, reason="no solver ran")]
        if ctx.cell.solver.stochastic:
            reason = "a stochastic solver follows no path of the flow"
            return [Value("trajectory", math.nan, reason=reason)]
        like = ctx.model.state_like()
        start = ctx.u_T[: self.num].to(like.device, torch.float64)
        exact = self._reference(ctx, start, ctx.cell.last)
        squared = (ctx.samples[: self.num].to(exact) - exact).flatten(1).square().mean(1)
        mean, spread = float(squared.mean()), float(squared.std())
        half = 1.96 * spread / math.sqrt(len(squared))
        low, high = math.sqrt(max(mean - half, 0.0)), math.sqrt(mean + half)
        return [Value("trajectory", math.sqrt(mean), low, high, len(squared))]

    def _reference(self, ctx: Context, start: Tensor, last: Last) -> Tensor:
        """The decoded solution from ``start (n, k, *event)``; the cells of a seed share it."""
        start_hash = hashlib.sha256(start.cpu().numpy().tobytes()).hexdigest()
        key = ("trajectory", start_hash, self.tol, ctx.t_min, last)
        if key not in ctx.memo:
            with torch.inference_mode():
                rev = ctx.model.reverse(ctx.noise.select(torch.arange(len(start))))
                ends = rev.sde.horizon, ctx.t_min
                u = integrate(
                    lambda rows: rev.select(rows).velocity, start, *ends, self.tol, self.tol
                )
                u = finish(rev, u, torch.tensor(ctx.t_min, dtype=torch.float64), last)
                ctx.memo[key] = ctx.model.decode(u).cpu()
        return ctx.memo[key]
