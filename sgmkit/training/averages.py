"""An exponential moving average of the weights, which sampling and metrics use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch import _foreach_copy_ as copy_all_  # pyright: ignore[reportPrivateImportUsage]
from torch import _foreach_lerp_ as lerp_all_  # pyright: ignore[reportPrivateImportUsage]


class Averages:
    """Exponential moving averages of weights, ``a <- d a + (1 - d) w`` after each step.

    After step n (counted from 1) the decay is ``d = min(decay, (1 + n) / (10 + n))``: the initial
    weights are forgotten soon, so a short training has a useful average too.

    Args:
        weights: parameters by name; there may be none.
        decay: the largest decay.
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
        """The averages by the names of the parameters."""
        return dict(zip(self.names, self.values, strict=True))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages in the place of the weights; afterwards the weights come back."""
        if not self.values:
            yield
            return
        own = [weight.clone() for weight in self.weights]
        copy_all_(self.weights, self.values)
        try:
            yield
        finally:
            copy_all_(self.weights, own)
