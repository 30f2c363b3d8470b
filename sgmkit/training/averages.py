"""An exponential moving average of the weights: what sampling and metrics use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch import _foreach_copy_ as copy_all_  # pyright: ignore[reportPrivateImportUsage]
from torch import _foreach_lerp_ as lerp_all_  # pyright: ignore[reportPrivateImportUsage]


class Averages:
    """The classical average, one value for each of these weights; there may be none.

    After step n (from 1) the decay is ``min(decay, (1 + n) / (10 + n))``: early weights are
    forgotten, and a short training has a useful average too.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay, self.names = decay, list(weights)
        self.weights: list[Tensor] = [p.detach() for p in weights.values()]  # the same memory
        self.values = [weight.clone() for weight in self.weights]

    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        if self.values:
            lerp_all_(self.values, self.weights, 1 - decay)

    def named(self) -> dict[str, Tensor]:
        """The averages by parameter."""
        return dict(zip(self.names, self.values, strict=True))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with its averages for weights; its own come back bit for bit."""
        if not self.values:
            yield
            return
        own = [weight.clone() for weight in self.weights]
        copy_all_(self.weights, self.values)
        try:
            yield
        finally:
            copy_all_(self.weights, own)
