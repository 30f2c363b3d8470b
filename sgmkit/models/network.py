"""What a network is: a map from one shape to another, conditioned on the time."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A map from ``(B, *in_shape)`` to ``(B, *out_shape)``, at a time for each row.

    The model that uses a network builds it, for only the model knows the shapes. The constructor of
    a subclass therefore takes ``in_shape`` and ``out_shape`` first and its own options after them:
    ``def __init__(self, in_shape, out_shape, width: int = 64)``. The k phases of a state come as
    channels: ``in_shape = (k C, *spatial)``, and ``out_shape = (r C, *spatial)`` for r driven
    phases.

    A network refuses shapes for which it does not work with a `ValueError` that names them.

    Args:
        in_shape: shape of one input, channels first.
        out_shape: shape of one output, channels first.

    Attributes:
        classes: number of class labels that the network knows; 0 if it takes none.
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
            c: the time, ``(B,)``: t over the horizon, in [0, 1]; or EDM's ``c_noise``, about -2 to
                2.
            y: labels ``(B,)`` int64 in [0, classes), or None.
        """
