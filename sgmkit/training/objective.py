"""The training loss as the forward of a module, as data-parallel wrappers and autocast need it."""

from torch import Tensor, nn

from sgmkit.data import Batch
from sgmkit.models import Model
from sgmkit.noise import Noise


class Objective(nn.Module):
    """A module whose forward is the model's loss.

    Args:
        model: the model to be trained.
        parts: number of parts of a batch that are computed one after the other; each adds its share
            to the gradient.

    Attributes:
        names: names of the parts of the loss, once it was computed.
    """

    def __init__(self, model: Model, parts: int = 1) -> None:
        super().__init__()
        self.model, self._parts = model, parts
        self.names: tuple[str, ...] = ()

    def forward(
        self, x: Tensor, y: Tensor | None, ids: Tensor, noise: Noise, progress: float
    ) -> tuple[Tensor, ...]:
        """The loss to differentiate, then the values to log: the loss and its parts, each ``()``.

        Args:
            x: data of one part of a batch, ``(B, *event)``.
            y: labels, ``(B,)``, or None.
            ids: of the items, ``(B,)``.
            noise: of one sample id for each item.
            progress: share of the training that is over.
        """
        loss = self.model.loss(Batch(x, y, ids), noise, progress)
        self.names = tuple(loss.parts)
        values = (part.detach() for part in (loss.total, *loss.parts.values()))
        return loss.total / self._parts, *values
