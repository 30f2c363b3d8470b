"""The base of extractors: which shapes it takes, and logits by way of features."""

import torch

from sgmkit import Extractor


class Doubling(Extractor):
    event, width, fingerprint = (2,), 2, "doubling"

    def features(self, x):
        return 2 * x


class Summing(Doubling):
    classes = 1

    def head(self, features):
        return features.sum(1, keepdim=True)


def test_one_shape_is_supported():
    assert Doubling().supports((2,)) is None
    assert Doubling().supports((3, 2)) == (
        "Doubling takes images of shape (2,), not (3, 2): "
        "choose an extractor for this shape with extractor=NAME"
    )


def test_logits_are_those_of_the_head_on_features():
    x = torch.tensor([[1.0, 2.0]])
    assert Doubling().head(x) is None
    assert Doubling().logits(x) is None
    assert Summing().logits(x).tolist() == [[6.0]]
