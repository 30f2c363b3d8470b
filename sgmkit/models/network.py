"""What a network is: a map between two shapes that is told the time."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """From ``(B, *in_shape)`` to ``(B, *out_shape)`` at a time, ``(B,)``.

    A model builds it when it knows its shapes, so that a subclass has ``in_shape`` and
    ``out_shape`` first and its options after them: ``def __init__(self, in_shape, out_shape,
    width: int = 64)``. The k phases of a state come as channels, ``in_shape = (k C, *spatial)``,
    and ``out_shape = (r C, *spatial)``.

    It refuses shapes that it cannot serve with a `ValueError` that names them.

    Args:
        in_shape: of one input, channels first.
        out_shape: of one output, channels first.

    Attributes:
        classes: number of labels that it tells apart; 0 where it takes none.
    """

    classes: int = 0

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)

    @abstractmethod
    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        """The output, ``(B, *out_shape)``.

        Args:
            z: input of about unit variance, ``(B, *in_shape)``.
            c: the time as the model tells it, ``(B,)``: t over the horizon, in [0, 1]; or EDM's
                ``c_noise``, about -2 to 2.
            y: labels ``(B,)`` int64 in [0, classes), or None.
        """
