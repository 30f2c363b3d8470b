"""The inception score, on class logits of any extractor that has them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Context, Incompatible, Metric, Value
from sgmkit_features.features import FeatureMetric, Images, trouble


@dataclass(frozen=True)
class InceptionScore(FeatureMetric):
    """``exp E KL(p(y|x) || p(y))``: high for certain classes, and for many (Salimans et al. 2016).

    The mean over ``splits`` equal parts of the samples, in their order. It knows no data: the floor
    row says what data gets, which is no limit. Its upper bound is the number of classes. It is
    biased upwards where a part has few samples for each class; the interval is about what is
    expected of parts of this size.
    """

    splits: Annotated[int, Ge(1), Doc("parts that a score is computed of")] = 10

    metrics = (Metric("isc", "higher", ideal=math.inf, unit="classes"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row."""
        bank, samples = self._bank(ctx), ctx.samples
        if not self.extractor.classes:
            name = type(self.extractor).__name__
            raise Incompatible(f"{name} tells no classes apart: choose another extractor")
        if reason := trouble(samples, 2 * self.splits):
            return self._nothing(len(samples), reason)
        logits = self.extractor.head(bank.features(Images.of(samples, "samples")))
        if logits is None:
            raise Incompatible(f"{type(self.extractor).__name__} has classes and no head")
        value, variance = score(logits, self.splits)
        half = 1.96 * math.sqrt(variance)
        return [Value("isc", value, value - half, value + half, len(samples))]


def score(logits: Tensor, splits: int) -> tuple[float, float]:
    """The score of class logits ``(n, classes)``, in float64; the variance that chance gives it.

    In a part, a sample moves the logarithm of the score by its own divergence less their mean,
    over the size of the part: what it does to p(y) is of second order (the delta method).
    """
    logs, n = logits.double().log_softmax(1), len(logits)
    values, variance = [], 0.0
    for part in logs.tensor_split([i * n // splits for i in range(1, splits)]):
        mean = part.logsumexp(0) - math.log(len(part))
        divergence = (part.exp() * (part - mean)).sum(1)
        values.append(math.exp(divergence.mean()))
        variance += values[-1] ** 2 * float(divergence.var()) / len(part)
    return sum(values) / splits, variance / splits**2
