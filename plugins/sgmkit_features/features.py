"""Features of samples and of data: read a few images at a time, and computed once."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Context, Dataset, Evaluator, Extractor, Incompatible, Value
from sgmkit_features.cache import cached, content, digest
from sgmkit_features.frechet import Statistics, statistics

CHUNK = 512
"""Images at a time: an extractor that needs fewer cuts them further."""

INCEPTION = cast(Extractor, "features/inception")  # a name, of which the registry makes one


@dataclass(frozen=True)
class Images:
    """Images that can be read again, a chunk at a time.

    Args:
        count: how many.
        key: digest of their content, in this order.
        read: gives them anew, in chunks ``(n, *event)``.
        role: who they are; a `Bank` remembers one set of each role.
    """

    count: int
    key: str
    read: Callable[[], Iterable[Tensor]]
    role: str

    @classmethod
    def of(cls, x: Tensor, role: str) -> "Images":
        """Images in memory, ``(n, *event)``."""
        return cls(len(x), content([x]), lambda: x.split(CHUNK), role)


@dataclass(frozen=True)
class Bank:
    """Features of images, from memory or disk where they have been computed before.

    Args:
        extractor: computes them.
        device: where it does.
        memo: remembers the latest of each role.
    """

    extractor: Extractor
    device: torch.device
    memo: dict[Any, Any]

    def features(self, images: Images) -> Tensor:
        """Features of all ``images``, ``(n, d)`` float32 on the CPU."""

        def make() -> dict[str, Tensor]:
            with torch.no_grad(), _full_precision():
                parts = [self.extractor.features(x.to(self.device)).cpu() for x in images.read()]
            return {"features": torch.cat(parts).float()}

        return self._remembered("features", images, make)["features"]

    def statistics(self, images: Images) -> Statistics:
        """What FID needs of ``images``; kept on disk, so that they need no features again."""

        def make() -> dict[str, Tensor]:
            found = statistics(self.features(images))
            count = torch.tensor(found.count)
            return {"count": count, "mean": found.mean, "cov": found.cov, "rows": found.rows}

        found = self._remembered("statistics", images, make)
        return Statistics(int(found["count"]), found["mean"], found["cov"], found["rows"])

    def _remembered(
        self, what: str, images: Images, make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        told = self.extractor.fingerprint
        place, key = ("features", what, told, images.role), digest(told, images.key)
        if self.memo.get(place, ("", {}))[0] != key:
            self.memo[place] = (key, cached(what, key, make))
        return self.memo[place][1]


@dataclass(frozen=True)
class FeatureMetric(Evaluator):
    """A number from features of samples; the extractor is part of its name.

    Samples that are not finite are never dropped: the value is then nan, with the reason.
    """

    extractor: Annotated[Extractor, Doc("what computes the features")] = INCEPTION

    floor = True

    def _bank(self, ctx: Context) -> Bank:
        """Features in this context; raises `Incompatible` where the data has none."""
        if reason := self.extractor.supports(ctx.dataset.event):
            raise Incompatible(reason)
        return Bank(self.extractor, ctx.model.state_like().device, ctx.memo)

    def _nothing(self, n: int, reason: str) -> list[Value]:
        return [Value(metric.name, float("nan"), n=n, reason=reason) for metric in self.metrics]


@dataclass(frozen=True)
class PairMetric(FeatureMetric):
    """A number from features of samples and of data.

    With ``reference=test``, as the other distances have it: ``m`` samples against as many test
    items, fresh for each seed, m the smaller number of the two. With ``reference=train``, as most
    papers have it: all samples against all training items as they are, unflipped; the floor is then
    test data, which the reference does not hold. The row's ``n`` is the number of samples.
    """

    reference: Annotated[
        Literal["test", "train"], Doc("as many test items, or all training items")
    ] = "test"

    least: ClassVar[int] = 2
    """Fewest samples, and data, that it works with."""

    @abstractmethod
    def measure(self, bank: Bank, x: Images, y: Images, ctx: Context) -> Iterable[Value]:
        """One row for each metric, from samples and data, at least `least` of each."""

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row for each metric."""
        bank, samples = self._bank(ctx), ctx.samples
        if self.reference == "train":
            y = _train_items(ctx.dataset, ctx.memo)
            samples = samples if ctx.cell else ctx.reference(len(samples))
        else:
            data = ctx.reference(len(samples))
            samples = samples[: len(data)]
            y = Images.of(data[: len(samples)], "test")
        if reason := trouble(samples, self.least):
            return self._nothing(len(samples), reason)
        if y.count < self.least:
            return self._nothing(len(samples), f"needs at least {self.least} data")
        return self.measure(bank, Images.of(samples, "samples"), y, ctx)


def _full_precision() -> AbstractContextManager[None]:
    """Convolutions on a GPU in float32, which PyTorch rounds to ten bits unless told."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False)


def trouble(samples: Tensor, least: int) -> str:
    """Why ``samples (n, *event)`` cannot be judged, or nothing."""
    bad = int((~samples.flatten(1).isfinite().all(1)).sum())
    if bad:
        return f"{bad} of {len(samples)} samples are not finite"
    return "" if len(samples) >= least else f"needs at least {least} samples"


def _train_items(data: Dataset, memo: dict[Any, Any]) -> Images:
    """All training items, as they are: never more than a chunk of them in memory."""
    size, name = data.size("train"), type(data).__name__
    if size is None:
        raise Incompatible(f"{name} has no training items, only fresh draws: say reference=test")

    def read() -> Iterator[Tensor]:
        for index in torch.arange(size).split(CHUNK):
            yield data.pick("train", index).x

    place = "content of train"
    if place not in memo:
        memo[place] = content(read())
    return Images(size, memo[place], read, "train")
