"""The base of distances between samples and data: equal numbers of flat, finite rows of each."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.evaluation import Context, Evaluator, Value, not_finite


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval."""

    value: float
    ci_low: float
    ci_high: float


class Distance(Evaluator):
    """A distance between ``m`` samples and ``m`` data, m the smaller number of the two.

    Events are flattened and compared in float64 on the CPU. The row's ``n`` is m. Samples or data
    that are not finite are never dropped: the value is then NaN, with the reason.
    """

    metric: ClassVar[str]
    floor = True

    @abstractmethod
    def estimate(self, x: Tensor, y: Tensor, ctx: Context) -> Estimate:
        """The distance between the rows of ``x (m, d)`` and ``y (m, d)``, float64, m >= 2."""

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row."""
        x, y = _flat(ctx.samples), _flat(ctx.reference(len(ctx.samples)))
        m = min(len(x), len(y))
        x, y = x[:m], y[:m]
        reason = ctx.flaw or not_finite(y, "data")
        if not reason and m < 2:
            reason = "needs at least 2 samples"
        if reason:
            return [Value(self.metric, float("nan"), n=m, reason=reason)]
        distance = self.estimate(x, y, ctx)
        return [Value(self.metric, distance.value, distance.ci_low, distance.ci_high, m)]


def _flat(x: Tensor) -> Tensor:
    """``(n, *event)`` to ``(n, d)``, float64 on the CPU, so that no device changes a number."""
    return x.detach().to("cpu", torch.float64).reshape(len(x), -1)
