"""A small classifier, trained once on labelled images: features for data such as digits."""

import sys
from functools import cached_property
from typing import Annotated, cast

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Batch, Dataset, Extractor, Incompatible
from sgmkit_features.cache import cached, content, digest
from sgmkit_features.classifier_training import (
    PASSES,
    VERSION,
    ClassifierNetwork,
    train,
    untrained,
)

DIGITS = cast(Dataset, "datasets/digits")
"""A name; the registry builds the data set from it."""


class Classifier(Extractor):
    """Three convolutions and two linear layers; the features are the inputs of the last layer.

    It is trained on the training items of ``data``, without flips or other changes, when it is
    first needed: on one thread of the CPU and from fixed seeds, so a machine always gets the same
    weights. (Another type of processor rounds differently and gets others.) The weights are kept in
    the cache directory, under a name that depends on the content of the data and the options.

    Values outside [-1, 1] are clipped, as in any image. Images of another shape than those it was
    trained on are refused. On other images of the same shape, features mean something as far as
    these look like the training images.

    Raises:
        Incompatible: if ``data`` are no images; and when it is used, if they have no labels.
    """

    def __init__(
        self,
        data: Annotated[Dataset, Doc("labelled images on which it is trained")] = DIGITS,
        width: Annotated[int, Ge(1), Doc("number of features")] = 64,
        images: Annotated[
            int, Ge(1), Doc(f"images seen in training; each is seen at least {PASSES} times")
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
        """One more than the largest label."""
        return self._network.head.out_features

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of the network's version."""
        weights = sorted(self._network.state_dict().items())
        return digest("classifier", VERSION, [(name, content([x])) for name, x in weights])

    def supports(self, event: tuple[int, ...]) -> str | None:
        """Only images of the shape that it was trained on are supported."""
        if tuple(event) == self.event:
            return None
        return (
            f"the classifier of {self._name} takes {self.event}, not {tuple(event)}: "
            "extractor=(classifier:data=NAME) trains one on the data NAME"
        )

    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, width)`` of images ``x (B, *event)``."""
        with torch.no_grad():
            return self._network.to(x.device)(x.float().clamp(-1, 1))

    def head(self, features: Tensor) -> Tensor:
        """Class logits ``(B, classes)`` of ``features (B, width)``."""
        with torch.no_grad():
            return self._network.to(features.device).head(features)

    @cached_property
    def _network(self) -> ClassifierNetwork:
        """The network with trained weights, from the cache or trained now."""
        batch = self._data.items("train")
        if batch is None or batch.y is None:
            raise Incompatible(f"{self._name} has no labels to train a classifier on")
        network = untrained(self.event, self.width, int(batch.y.max()) + 1)
        facts = content([batch.x]), content([batch.y]), self.width, self._images
        key = digest("classifier", VERSION, *facts)
        weights = cached("classifiers", key, lambda: self._trained(network, batch))
        network.load_state_dict(weights)
        return network

    def _trained(self, network: ClassifierNetwork, batch: Batch) -> dict[str, Tensor]:
        print(f"training the classifier of {self._name}, once", file=sys.stderr)
        return train(network, batch, self._images).state_dict()
