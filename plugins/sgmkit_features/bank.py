"""Features of samples and of data: computed a few images at a time, and only once."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgmkit import Extractor
from sgmkit_features.cache import cached, content, digest
from sgmkit_features.frechet import Statistics, statistics

CHUNK = 512
"""Images that are in memory at a time; an extractor that needs fewer cuts them further."""


@dataclass(frozen=True)
class Images:
    """Images that can be read several times, a chunk at a time.

    Args:
        count: number of images.
        key: digest of their content, in this order.
        read: starts reading them from the first, in chunks ``(n, *event)``.
        role: "samples", "test" or "train"; a `Bank` remembers one set of images of each role.
    """

    count: int
    key: str
    read: Callable[[], Iterable[Tensor]]
    role: str

    @classmethod
    def of(cls, x: Tensor, role: str, chunk: int = CHUNK) -> "Images":
        """Images in memory, ``(n, *event)``."""
        return cls(len(x), content([x]), lambda: x.split(chunk), role)


@dataclass(frozen=True)
class Bank:
    """Features of images, from memory or disk if they were computed before.

    Args:
        extractor: computes the features.
        device: on which it does so.
        memo: where the latest features of each role are remembered; shared by all cells of a seed.
    """

    extractor: Extractor
    device: torch.device
    memo: dict[Any, Any]

    def features(self, images: Images) -> Tensor:
        """Features of all ``images``, ``(n, d)`` float32 on the CPU."""

        def compute() -> dict[str, Tensor]:
            with torch.no_grad(), _full_precision():
                parts = [self.extractor.features(x.to(self.device)).cpu() for x in images.read()]
            return {"features": torch.cat(parts).float()}

        return self._remembered("features", images, compute)["features"]

    def statistics(self, images: Images) -> Statistics:
        """What FID needs of ``images``; on disk, so that later runs need no features for it."""

        def compute() -> dict[str, Tensor]:
            moments = statistics(self.features(images))
            return {
                "count": torch.tensor(moments.count),
                "mean": moments.mean,
                "cov": moments.cov,
                "rows": moments.rows,
            }

        tensors = self._remembered("statistics", images, compute)
        return Statistics(int(tensors["count"]), tensors["mean"], tensors["cov"], tensors["rows"])

    def _remembered(
        self, folder: str, images: Images, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Tensors from memory, else from ``folder`` of the disk cache, else computed."""
        fingerprint = self.extractor.fingerprint
        key = digest(fingerprint, images.key)
        place = ("features", folder, fingerprint, images.role)
        if self.memo.get(place, ("", {}))[0] != key:
            self.memo[place] = (key, cached(folder, key, compute))
        return self.memo[place][1]


def _full_precision() -> AbstractContextManager[None]:
    """Convolutions on a GPU in float32; by default PyTorch rounds their factors to ten bits."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False)
