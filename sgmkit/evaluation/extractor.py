"""What a feature extractor is: it turns images into vectors, which metrics such as FID compare."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Extractor(ABC):
    """Computes features of data, for metrics such as FID.

    A subclass states `event` and `width`, and defines `fingerprint` and `features`; one that
    classifies also states `classes` and defines `head`.

    Features and logits are float32, on the device of the data, without a graph. The features of a
    row do not depend on the other rows of its batch, up to the rounding of the network.

    Attributes:
        event: shape of the data that it takes; the only one, unless `supports` is overridden.
        width: number of features, d.
        classes: number of classes whose logits `head` computes; 0 if it has no classes.
        unnamed: options that do not appear in the names of metrics, because they do not change the
            features: the path of the weights, for example.
    """

    event: tuple[int, ...]
    width: int
    classes: int = 0
    unnamed: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash, one line, of everything that decides the features, weights included.

        Features are kept on disk under this name: if it does not change, they are not computed
        anew.
        """

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, d)`` of data ``x (B, *event)`` in [-1, 1]."""

    def supports(self, event: tuple[int, ...]) -> str | None:
        """None if data of this shape have features; else the reason why not, with the way out."""
        if tuple(event) == tuple(self.event):
            return None
        name, shape = type(self).__name__, tuple(self.event)
        return (
            f"{name} takes images of shape {shape}, not {tuple(event)}: "
            "choose an extractor for this shape with extractor=NAME"
        )

    def head(self, features: Tensor) -> Tensor | None:
        """Class logits ``(B, classes)`` of ``features (B, d)``; None if it has no classes."""
        return None

    def logits(self, x: Tensor) -> Tensor | None:
        """Class logits ``(B, classes)`` of ``x (B, *event)``; None if it has no classes."""
        return self.head(self.features(x)) if self.classes else None
