"""Features are computed once for a content, in chunks, and remembered."""

import pytest
import torch
from support.features import Counting, points

from sgmkit.testing.reference import ReferenceExtractor
from sgmkit_features.bank import Bank, Images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bank(extractor):
    return Bank(extractor, torch.device("cpu"), {})


def test_features_are_computed_once_for_a_content(folder):
    extractor, x = Counting(), points(50)
    features = bank(extractor).features(Images.of(x, "samples"))
    assert torch.equal(features, x)
    assert torch.equal(bank(extractor).features(Images.of(x.clone(), "samples")), x)
    assert torch.equal(bank(Counting()).features(Images.of(x, "test")), x)
    assert extractor.rows == 50
    bank(extractor).features(Images.of(x + 1, "samples"))
    assert extractor.rows == 100
    other = Counting("two")
    bank(other).features(Images.of(x, "samples"))
    assert other.rows == 50


def test_memory_serves_where_the_disk_does_not(folder):
    folder.write_text("a file where the directory should be")
    extractor = Counting()
    shared = bank(extractor)
    for seed in (0, 0, 1, 1, 0):
        shared.features(Images.of(points(20, seed), "samples"))
        shared.features(Images.of(points(20, 7), "test"))
    assert extractor.rows == 20 + 3 * 20  # data once, and samples when they change
    assert len(shared.memo) == 2


@pytest.mark.parametrize("chunk", [7, 50, 1000])
def test_images_pass_in_chunks(folder, chunk):
    extractor, x = Counting(), points(50)
    assert torch.equal(bank(extractor).features(Images.of(x, "samples", chunk)), x)
    assert extractor.largest == min(chunk, 50)


def test_features_are_in_full_precision_on_a_gpu():
    """PyTorch's default for convolutions there has ten bits."""
    seen, cudnn = [], torch.backends.cudnn

    class Asking(ReferenceExtractor):
        def features(self, x):
            seen.append((cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic))
            return super().features(x)

    before = cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic
    bank(Asking()).features(Images.of(points(4, 11), "samples"))
    assert seen == [(True, False, True)]
    assert before == (cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic)


def test_statistics_on_disk_need_no_features(folder):
    extractor, x = Counting(), points(300)
    first = bank(extractor).statistics(Images.of(x, "test"))
    for path in (folder / "features").iterdir():
        path.unlink()
    again = bank(extractor).statistics(Images.of(x, "test"))
    assert extractor.rows == 300
    assert first.count == again.count == 300
    for name in ("mean", "cov", "rows"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not (folder / "features").exists() or not any((folder / "features").iterdir())
