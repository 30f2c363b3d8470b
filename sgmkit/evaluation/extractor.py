"""What a feature extractor is: images turned into vectors that metrics compare."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Extractor(ABC):
    """Features of data, for metrics such as FID.

    Features and logits are float32, on the device of the data, and a function of each row alone,
    to the rounding of the network.

    Attributes:
        event: shape of data that it takes; the only one, unless `supports` says otherwise.
        width: number of features, d.
        classes: number of classes that `head` tells apart; 0 where it has none.
        unnamed: options that leave the features as they are, such as where weights lie: not part
            of its label in the names of metrics.
    """

    event: tuple[int, ...]
    width: int
    classes: int = 0
    unnamed: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all that decides its features, weights included: part of every cache key."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, d)`` of data ``x (B, *event)`` in [-1, 1]."""

    def supports(self, event: tuple[int, ...]) -> str | None:
        """Why data of this shape has no features, with the way out; None where it has."""
        if tuple(event) == tuple(self.event):
            return None
        return f"{type(self).__name__} takes {tuple(self.event)}, not {tuple(event)}"

    def head(self, features: Tensor) -> Tensor | None:
        """Class logits ``(B, classes)`` of ``features (B, d)``, or None where it has no classes."""
        return None

    def logits(self, x: Tensor) -> Tensor | None:
        """Class logits ``(B, classes)`` of ``x (B, *event)``, or None where it has no classes."""
        return self.head(self.features(x)) if self.classes else None
