"""The extractors: a classifier that is trained here, and Inception with weights of chance."""

import hashlib
import io
from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

import sgmkit
from sgmkit import BadValue, Batch, Incompatible, SeededNoise
from sgmkit.errors import MissingFiles, UnknownName
from sgmkit.noise import seeded
from sgmkit.testing import run_checks
from sgmkit_datasets.digits import Digits
from sgmkit_features import inception
from sgmkit_features.classifier import Classifier
from sgmkit_features.inception import Inception
from sgmkit_features.training import train, untrained

LAYERS = ["2048", "logits_unbiased"]


class Blank(Digits):
    """Digits without labels."""

    def items(self, split):
        return replace(super().items(split), y=None)


# The classifier ---------------------------------------------------------------------------


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


def test_training_is_deterministic():
    batch = Digits().items("train")
    few = Batch(batch.x[:200], batch.y[:200], batch.ids[:200])
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    one, two = (train(untrained(Digits.event, 8, 10), few, 500).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    start = untrained(Digits.event, 8, 10).state_dict()
    assert not any(torch.equal(one[name], start[name]) for name in one)


@pytest.mark.parametrize("event", [(1, 4, 4), (3, 7, 9), (1, 28, 28), (3, 64, 64)])
def test_networks_fit_any_images(event):
    x = SeededNoise(0, range(3))(torch.empty(3, *event))
    network = untrained(event, 16, 5)
    assert network(x).shape == (3, 16)
    assert network.head(network(x)).shape == (3, 5)


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


# Inception --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in the official format, with the weights that an untrained network has."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with pytest.MonkeyPatch.context() as patch, seeded(0, "weights of chance"):
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", LAYERS)
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def official(weights, monkeypatch):
    """That file, taken for the official one."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "SHA256", digest)
    return str(weights)


@pytest.mark.parametrize(("size", "channels"), [(299, 3), (75, 1)])
def test_inception_is_that_of_torch_fidelity(official, monkeypatch, size, channels):
    """Grey images and colours, rounded to bytes; features, and logits without the bias.

    The second time at 75 x 75 pixels, the fewest that the network takes, for the sake of time.
    """
    monkeypatch.setattr(fidelity.FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", size)
    extractor = Inception(official)
    theirs = fidelity.FeatureExtractorInceptionV3(
        "inception-v3-compat", LAYERS, feature_extractor_weights_path=official
    )
    levels = torch.arange(channels * 16 * 16).mul(89).remainder(256).to(torch.uint8)
    levels = levels.reshape(1, channels, 16, 16)
    features, logits = theirs(levels.expand(-1, 3, -1, -1))
    between = 0.4 * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(8)
    found = extractor.features((levels + between) / 127.5 - 1)
    assert torch.equal(found, features)
    torch.testing.assert_close(extractor.head(found), logits, rtol=1e-5, atol=1e-6)
    assert (extractor.width, extractor.classes) == (features.shape[1], logits.shape[1])


def test_inception_conforms(official, monkeypatch):
    """At 75 x 75 pixels; and whatever the number of images at a time."""
    monkeypatch.setattr(fidelity.FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    results = run_checks("extractor", "inception", weights=official)
    assert len(results) == 9
    assert [x for x in results if x.level != "ok"] == []
    batch = inception.BATCH
    monkeypatch.setattr(inception, "BATCH", 2)
    extractor, x = Inception(official), torch.linspace(-1, 1, 5 * 192).reshape(5, 3, 8, 8)
    parts = extractor.features(x)
    monkeypatch.setattr(inception, "BATCH", batch)
    torch.testing.assert_close(parts, extractor.features(x), rtol=1e-4, atol=1e-6)
    assert torch.equal(extractor.features(3 * x), extractor.features((3 * x).clamp(-1, 1)))


def test_inception_takes_images_only(official):
    extractor = Inception(official)
    assert extractor.supports((1, 8, 8)) is extractor.supports((3, 9, 7)) is None
    assert extractor.supports((2,)) == "Inception takes images of 1 or 3 channels, not (2,)"
    assert extractor.supports((4, 8, 8)) == (
        "Inception takes images of 1 or 3 channels, not (4, 8, 8)"
    )


def test_weights_run_no_code(tmp_path, monkeypatch):
    """A file with the digest of the official one, and code in it, as a pickle may have."""
    path, ran = tmp_path / "evil.pth", tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    torch.save({"a": Evil()}, path)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(Exception, match="Weights only load failed"):
        Inception(str(path)).features(torch.zeros(1, 3, 8, 8))
    assert not ran.exists()


def test_another_file_is_refused(weights):
    with pytest.raises(BadValue) as caught:
        Inception(str(weights))
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert str(caught.value) == (
        f"'{weights}' is not the official file: its SHA-256 is {found[:8]}..., not 6726825d...; "
        f"put {inception.URL} in its place"
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnknownName) as caught:
        Inception(str(tmp_path / "none.pth"))
    assert str(caught.value) == (
        f"no file '{tmp_path / 'none.pth'}'; weights is the path of "
        f"weights-inception-2015-12-05-6726825d.pth ({inception.URL})"
    )


def test_without_weights_and_network(tmp_path, monkeypatch, capsys):
    def refuse(url, timeout):
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(inception, "urlopen", refuse)
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingFiles) as caught:
        Inception()
    assert str(caught.value) == (
        "inception needs weights-inception-2015-12-05-6726825d.pth, which cannot be downloaded "
        f"(Name or service not known): fetch {inception.URL} and put it into "
        f"'{tmp_path / 'cache'}', or name it with extractor=(inception:weights=FILE)"
    )
    assert capsys.readouterr().err == f"downloading {inception.URL} (96 MB)\n"
    assert not (tmp_path / "cache").exists()


def test_weights_that_arrive_broken_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(inception, "urlopen", lambda *_, **__: io.BytesIO(b"an error page"))
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingFiles) as caught:
        Inception()
    found = hashlib.sha256(b"an error page").hexdigest()[:8]
    assert (
        f"cannot be downloaded (what came is not the official file: its SHA-256 is {found}..., "
        "not 6726825d...): fetch "
    ) in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_weights_are_downloaded_once(tmp_path, weights, official, monkeypatch):
    asked = []

    def serve(url, timeout):
        asked.append(url)
        return io.BytesIO(weights.read_bytes())

    monkeypatch.setattr(inception, "urlopen", serve)
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        assert Inception().fingerprint == Inception(official).fingerprint
    assert asked == [inception.URL]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [inception.NAME]
