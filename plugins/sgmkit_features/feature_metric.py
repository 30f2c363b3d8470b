"""The bases of metrics on features: on those of samples alone, or of samples and of data."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Context, Dataset, Evaluator, Extractor, Incompatible, Value
from sgmkit_features.bank import CHUNK, Bank, Images
from sgmkit_features.cache import content

INCEPTION = cast(Extractor, "features/inception")
"""A name; the registry builds the extractor from it."""


@dataclass(frozen=True)
class FeatureMetric(Evaluator):
    """A metric on features of samples; the extractor is part of the metric's name in results.

    Samples that are not finite are never dropped: the value is then NaN, with the reason.
    """

    extractor: Annotated[Extractor, Doc("network that computes the features")] = INCEPTION

    floor = True

    def _bank(self, ctx: Context) -> Bank:
        """The bank that computes features in this context.

        Raises:
            Incompatible: if the extractor does not take data of this shape.
        """
        if reason := self.extractor.supports(ctx.dataset.event):
            raise Incompatible(reason)
        return Bank(self.extractor, ctx.model.state_like().device, ctx.memo)

    def _no_values(self, n: int, reason: str) -> list[Value]:
        return [Value(metric.name, float("nan"), n=n, reason=reason) for metric in self.metrics]


@dataclass(frozen=True)
class PairMetric(FeatureMetric):
    """A metric on features of samples and of data.

    With ``reference=test``, as in the other distances, ``m`` samples are compared with ``m`` test
    items, where m is the smaller of the two numbers; the test items are drawn anew for each seed.
    With ``reference=train``, as in most papers, all samples are compared with all training items,
    which are not flipped or otherwise changed; the floor row then compares test data with them. The
    ``n`` of a row is the number of samples.
    """

    reference: Annotated[
        Literal["test", "train"],
        Doc("compare with as many test items (test), or with all training items (train)"),
    ] = "test"

    min_count: ClassVar[int] = 2
    """Smallest number of samples, and of data, for which the metric is defined."""

    @abstractmethod
    def measure(self, bank: Bank, x: Images, y: Images, ctx: Context) -> Iterable[Value]:
        """One row for each metric, from `min_count` or more of samples ``x`` and of data ``y``."""

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row for each metric."""
        bank, samples = self._bank(ctx), ctx.samples
        if self.reference == "train":
            y = _train_items(ctx.dataset, ctx.memo)
            # In a floor row the samples are training data, which the reference holds.
            samples = samples if ctx.cell else ctx.reference(len(samples))
        else:
            data = ctx.reference(len(samples))
            samples = samples[: len(data)]
            y = Images.of(data[: len(samples)], "test")
        if reason := ctx.flaw or too_few(samples, self.min_count):
            return self._no_values(len(samples), reason)
        if y.count < self.min_count:
            return self._no_values(
                len(samples), f"needs at least {self.min_count} reference images"
            )
        return self.measure(bank, Images.of(samples, "samples"), y, ctx)


def too_few(samples: Tensor, least: int) -> str:
    """Why ``samples (n, *event)`` are too few; an empty text if there are ``least`` of them."""
    return "" if len(samples) >= least else f"needs at least {least} samples"


def _train_items(data: Dataset, memo: dict[Any, Any]) -> Images:
    """All training items, never more than a chunk of them in memory."""
    size, name = data.size("train"), type(data).__name__
    if size is None:
        raise Incompatible(f"{name} has no training items, only fresh draws: use reference=test")

    def read() -> Iterator[Tensor]:
        for index in torch.arange(size).split(CHUNK):
            yield data.pick("train", index).x

    place = "content of train"
    if place not in memo:
        memo[place] = content(read())
    return Images(size, memo[place], read, "train")
