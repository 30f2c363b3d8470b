"""Negative log-likelihood of data under the model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.evaluator import Context, Evaluator, Metric, Value


@dataclass(frozen=True)
class Nll(Evaluator):
    """Mean negative log-likelihood of test data, nats per item, with its interval over items.

    ``nll-ode`` is the probability flow's value at the cut-off t_min; with auxiliary phases it is a
    bound for learned models. ``nll-exact`` and ``prior-mismatch`` (the mean of log p_T(u_T) -
    log prior(u_T)) are what only an exact model knows: for one data phase ``nll-ode`` is their
    sum. Densities are of the data as they are, without dequantisation.
    """

    num: Annotated[int, Ge(2), Doc("test items")] = 256
    tol: Annotated[float, Gt(0), Doc("tolerance of the flow")] = 1e-5

    metrics = (
        Metric("nll-ode", "lower", -math.inf, "nats"),
        Metric("nll-exact", "lower", -math.inf, "nats"),
        Metric("prior-mismatch", "", 0.0, "nats"),
    )
    scope = "model"

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Three rows; two of them without a value where the model is not exact."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        found = ctx.model.nll(x, noise, rtol=self.tol, atol=self.tol, t_min=ctx.t_min)
        yield _mean("nll-ode", found.nats)
        for metric, part in (("nll-exact", "exact"), ("prior-mismatch", "mismatch")):
            if part in found.parts:
                yield _mean(metric, found.parts[part])
            else:
                yield Value(metric, math.nan, reason="only an exact model knows it")


def _mean(metric: str, values: Tensor) -> Value:
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Value(metric, mean, mean - half, mean + half, len(values))
