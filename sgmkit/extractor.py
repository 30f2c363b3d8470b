"""What a feature extractor is: images turned into vectors that metrics compare."""

from abc import ABC, abstractmethod

from torch import Tensor


class Extractor(ABC):
    """Features of data, for metrics such as FID.

    Attributes:
        width: number of features, d.
        classes: number of classes that `logits` tells apart; 0 where it has none.
    """

    width: int
    classes: int = 0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all that decides its features, weights included: part of every cache key."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, d)`` of data ``x (B, *event)`` in [-1, 1]."""

    def logits(self, x: Tensor) -> Tensor | None:
        """Class logits ``(B, classes)`` of ``x (B, *event)``, or None where it has no classes."""
        return None
