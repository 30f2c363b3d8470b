"""A small classifier, trained once on labelled images: features that know digits."""

import sys
from functools import cached_property
from typing import Annotated, cast

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Batch, Dataset, Extractor, Incompatible
from sgmkit_features.cache import cached, content, digest
from sgmkit_features.training import PASSES, VERSION, Net, train, untrained

DIGITS = cast(Dataset, "datasets/digits")  # a name, of which the registry makes one


class Classifier(Extractor):
    """Three convolutions and two linear layers; the features are what the last one sees.

    Trained on the training items of ``data``, as they are, when it is first needed: on one thread
    of the CPU, from fixed seeds, so that a machine always gets the same weights. (Another kind of
    processor rounds otherwise, and gets others.) They are kept in the cache directory, by the
    content of the data and the options.

    Values outside [-1, 1] are clipped, as in any image. Images of another shape than those it was
    trained on are refused; of the same shape, features mean something where images look alike.

    Raises:
        Incompatible: for data that are no images, and in use, for data without labels.
    """

    def __init__(
        self,
        data: Annotated[Dataset, Doc("labelled images to train on")] = DIGITS,
        width: Annotated[int, Ge(1), Doc("number of features")] = 64,
        images: Annotated[
            int, Ge(1), Doc(f"training images seen; each is seen {PASSES} times at least")
        ] = 30_000,
    ) -> None:
        self._name = type(data).__name__
        self.event, self.width = tuple(data.event), width
        if len(self.event) != 3:
            raise Incompatible(
                f"the classifier takes images (channels, height, width), not {self.event}, which "
                f"{self._name} has"
            )
        self._data, self._images = data, images

    @property
    def classes(self) -> int:
        """The largest label, and one."""
        return self._network.head.out_features

    @property
    def fingerprint(self) -> str:
        """The weights, and the network they are for."""
        weights = sorted(self._network.state_dict().items())
        return digest("classifier", VERSION, [(name, content([x])) for name, x in weights])

    def supports(self, event: tuple[int, ...]) -> str | None:
        """Images of the shape that it was trained on."""
        if tuple(event) == self.event:
            return None
        return (
            f"the classifier of {self._name} takes {self.event}, not {tuple(event)}: "
            "extractor=(classifier:data=NAME) trains one on the data NAME"
        )

    def features(self, x: Tensor) -> Tensor:
        """``(B, width)`` of images ``x (B, *event)``."""
        with torch.no_grad():
            return self._network.to(x.device)(x.float().clamp(-1, 1))

    def head(self, features: Tensor) -> Tensor:
        """``(B, classes)``."""
        with torch.no_grad():
            return self._network.to(features.device).head(features)

    @cached_property
    def _network(self) -> Net:
        batch = self._data.items("train")
        if batch is None or batch.y is None:
            raise Incompatible(f"{self._name} has no labels to train a classifier on")
        network = untrained(self.event, self.width, int(batch.y.max()) + 1)
        told = content([batch.x]), content([batch.y]), self.width, self._images
        key = digest("classifier", VERSION, *told)
        weights = cached("classifiers", key, lambda: self._trained(network, batch))
        network.load_state_dict(weights)
        return network

    def _trained(self, network: Net, batch: Batch) -> dict[str, Tensor]:
        print(f"training the classifier of {self._name}, once", file=sys.stderr)
        return train(network, batch, self._images).state_dict()
