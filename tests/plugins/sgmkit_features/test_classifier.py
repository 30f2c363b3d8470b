"""The classifier: what it knows, that it is trained once, and what it refuses."""

from dataclasses import replace

import pytest
import torch

import sgmkit
from sgmkit import Incompatible
from sgmkit_datasets.digits import Digits
from sgmkit_features.classifier import Classifier


class Blank(Digits):
    """Digits without labels."""

    def items(self, split):
        return replace(super().items(split), y=None)


def test_the_classifier_knows_digits():
    """Better than 97 % of items that it was not trained on."""
    classifier, items = Classifier(Digits()), Digits().items("test")
    right = classifier.logits(items.x).argmax(1) == items.y
    assert classifier.classes == 10
    assert right.float().mean() > 0.97


def test_features_are_in_units_of_their_own_size():
    """So that distances do not depend on what the weights grew to."""
    features = Classifier(Digits()).features(Digits().items("train").x)
    assert float(features.square().mean()) == pytest.approx(1, rel=1e-4)


def test_it_is_trained_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path))
    options = {"width": 4, "images": 1}
    first, again = Classifier(Digits(), **options), Classifier(Digits(), **options)
    assert not list(tmp_path.iterdir())  # not before it is needed
    assert first.fingerprint == again.fingerprint
    assert capsys.readouterr().err == "training the classifier of Digits, once\n"
    x = Digits().items("test").x
    assert torch.equal(first.features(x), again.features(x))
    other = Classifier(Digits(), width=4, images=5000)
    assert other.fingerprint != first.fingerprint
    assert len(list((tmp_path / "classifiers").iterdir())) == 2


def test_its_features_are_of_clipped_images():
    classifier, x = Classifier(Digits()), Digits().items("test").x[:5]
    wild = torch.where(x == 1, 7.0, torch.where(x == -1, -3.0, x))
    assert torch.equal(classifier.features(wild), classifier.features(x))


def test_what_the_classifier_refuses():
    reason = Classifier(Digits()).supports((1, 28, 28))
    assert reason == (
        "the classifier of Digits takes (1, 8, 8), not (1, 28, 28): "
        "extractor=(classifier:data=NAME) trains one on the data NAME"
    )
    with pytest.raises(Incompatible) as caught:
        sgmkit.create("extractor", "classifier:data=two-moons")
    assert str(caught.value) == (
        "the classifier takes images (channels, height, width), not (2,), which TwoMoons has"
    )
    with pytest.raises(Incompatible) as caught:
        _ = Classifier(Blank()).classes
    assert str(caught.value) == "Blank has no labels to train a classifier on"
