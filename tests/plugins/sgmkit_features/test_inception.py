"""Inception with weights of chance: that of torch-fidelity, and where its file comes from."""

import hashlib

import pytest
import torch
from support.file_server import serving
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from sgmkit import BadValue
from sgmkit.errors import MissingFiles, UnknownName
from sgmkit.noise import seeded
from sgmkit.testing import run_checks
from sgmkit_features import inception
from sgmkit_features.inception import Inception

LAYERS = ["2048", "logits_unbiased"]


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
    ours = extractor.features((levels + between) / 127.5 - 1)
    assert torch.equal(ours, features)
    torch.testing.assert_close(extractor.head(ours), logits, rtol=1e-5, atol=1e-6)
    assert (extractor.width, extractor.classes) == (features.shape[1], logits.shape[1])


def test_inception_conforms(official, monkeypatch):
    """At 75 x 75 pixels; and whatever the number of images at a time."""
    monkeypatch.setattr(fidelity.FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    results = run_checks("extractor", "inception", weights=official)
    assert len(results) == 9
    assert [x for x in results if x.level != "ok"] == []
    batch = Inception.batch
    monkeypatch.setattr(Inception, "batch", 2)
    extractor, x = Inception(official), torch.linspace(-1, 1, 5 * 192).reshape(5, 3, 8, 8)
    parts = extractor.features(x)
    monkeypatch.setattr(Inception, "batch", batch)
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
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert str(caught.value) == (
        f"'{weights}' is not the official file: its SHA-256 is {digest[:8]}..., not 6726825d...; "
        f"put {inception.URL} in its place"
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnknownName) as caught:
        Inception(str(tmp_path / "none.pth"))
    assert str(caught.value) == (
        f"no file '{tmp_path / 'none.pth'}'; weights is the path of "
        f"weights-inception-2015-12-05-6726825d.pth ({inception.URL})"
    )


@pytest.fixture
def server(weights, tmp_path, monkeypatch):
    """A server of the weights; they are looked for there and in an empty cache directory alone."""
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with serving({inception.NAME: weights.read_bytes()}) as server:
        monkeypatch.setattr(inception, "MIRROR", server.url.rstrip("/"))
        yield server


def test_without_weights_and_network(tmp_path, monkeypatch):
    with serving({}) as gone:
        pass
    monkeypatch.setattr(inception, "MIRROR", gone.url.rstrip("/"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingFiles) as caught:
        Inception()
    assert str(caught.value) == (
        "inception needs weights-inception-2015-12-05-6726825d.pth, which cannot be downloaded "
        f"(127.0.0.1:{gone.server_port}: Connection refused): fetch {inception.URL} and put it "
        f"into '{tmp_path / 'cache'}', or name it with extractor=(inception:weights=FILE)"
    )
    assert not (tmp_path / "cache").exists()


def test_weights_that_arrive_broken_are_not_kept(server, tmp_path):
    server.files[inception.NAME] = b"an error page"
    with pytest.raises(MissingFiles) as caught:
        Inception()
    actual = hashlib.sha256(b"an error page").hexdigest()[:8]
    assert (
        f"cannot be downloaded (127.0.0.1:{server.server_port}: a file with SHA-256 {actual}... "
        "instead of 6726825d...): fetch "
    ) in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_weights_are_downloaded_once_and_resumed(server, official, tmp_path, capfd):
    server.cut = 1_000_000
    with pytest.raises(MissingFiles, match="the connection ended after 1000000 of"):
        Inception()
    server.cut = None
    for _ in range(2):
        assert Inception().fingerprint == Inception(official).fingerprint
    assert server.requests == [(inception.NAME, None), (inception.NAME, "bytes=1000000-")]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [inception.NAME]
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["downloading", "resuming"]
    assert lines[0].startswith(f"downloading {server.url}{inception.NAME} (")
