"""The inception score, on the class logits of any extractor that has classes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Context, Incompatible, Metric, Value
from sgmkit_features.bank import Images
from sgmkit_features.feature_metric import FeatureMetric, too_few


@dataclass(frozen=True)
class InceptionScore(FeatureMetric):
    """``exp E KL(p(y|x) || p(y))`` (Salimans et al. 2016).

    It is high if the class of each sample is certain and all classes occur. Reported is the mean
    over ``splits`` equal parts of the samples, in their order. The score does not look at the
    data: the floor row shows the score of the data, which is no limit. The upper bound is the
    number of classes. The value is biased upwards if a part has few samples for each class; the
    interval is for the expected value with parts of this size.
    """

    splits: Annotated[int, Ge(1), Doc("number of parts whose scores are averaged")] = 10

    metrics = (Metric("isc", "higher", ideal=math.inf, unit="classes"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row."""
        bank, samples = self._bank(ctx), ctx.samples
        name = type(self.extractor).__name__
        if not self.extractor.classes:
            raise Incompatible(f"{name} tells no classes apart: choose another extractor")
        if reason := ctx.flaw or too_few(samples, 2 * self.splits):
            return self._no_values(len(samples), reason)
        logits = self.extractor.head(bank.features(Images.of(samples, "samples")))
        if logits is None:
            raise Incompatible(f"{name} has classes but no head that computes their logits")
        value, variance = score(logits, self.splits)
        half = 1.96 * math.sqrt(variance)
        return [Value("isc", value, value - half, value + half, len(samples))]


def score(logits: Tensor, splits: int) -> tuple[float, float]:
    """The score of class logits ``(n, classes)``, and its variance; in float64.

    The variance is that of the delta method: in a part of s samples, each sample moves the
    logarithm of the score by (its own divergence - their mean) / s. What it does to p(y) has an
    effect of second order.
    """
    log_probs, n = logits.double().log_softmax(1), len(logits)
    values, variance = [], 0.0
    for part in log_probs.tensor_split([i * n // splits for i in range(1, splits)]):
        marginal = part.logsumexp(0) - math.log(len(part))  # log p(y)
        divergence = (part.exp() * (part - marginal)).sum(1)  # KL(p(y|x) || p(y)), (s,)
        values.append(math.exp(divergence.mean()))
        variance += values[-1] ** 2 * float(divergence.var()) / len(part)
    return sum(values) / splits, variance / splits**2
