"""Features are computed once for a content, and again where a file is damaged."""

import os

import pytest
import safetensors.torch
import torch

from sgmkit import Batch, Cell, Context, Incompatible, SeededNoise
from sgmkit.data import Dataset
from sgmkit.testing.reference import ReferenceData, ReferenceExtractor, ReferenceModel
from sgmkit_features import cache, features
from sgmkit_features.features import Bank, Images
from sgmkit_features.fid import Fid
from sgmkit_features.frechet import frechet
from sgmkit_features.kid import Kid


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counting(ReferenceExtractor):
    """Counts the rows that it is asked for, and the largest batch of them."""

    def __init__(self, name="one"):
        self.rows, self.largest, self.name = 0, 0, name

    @property
    def fingerprint(self):
        return self.name

    def features(self, x):
        self.rows += len(x)
        self.largest = max(self.largest, len(x))
        return super().features(x)


class Items(Dataset):
    """Items that are read in pieces, and never all at once."""

    event = (2,)

    def __init__(self, count=1200):
        self.count, self.read = count, []

    def size(self, split):
        return self.count

    def draw(self, split, n, noise):
        return self.pick(split, torch.arange(n))

    def pick(self, split, index):
        self.read.append(len(index))
        x = torch.stack([index.sin(), (2.0 * index).cos()], 1) + (split == "test")
        return Batch(x, None, index)


def normal(n, seed=0):
    return SeededNoise(seed, range(n))(torch.empty(n, 2))


def bank(extractor):
    return Bank(extractor, torch.device("cpu"), {})


CELL = Cell(None, "none", None, 0.0)


def context(samples, dataset, memo=None, cell=CELL):
    return Context(
        samples=samples,
        reference=lambda n: dataset.draw("test", n, SeededNoise(0, range(n))).x,
        model=ReferenceModel(),
        dataset=dataset,
        noise=SeededNoise(0, range(len(samples))),
        t_min=1e-3,
        cell=cell,
        memo={} if memo is None else memo,
    )


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


# Files ------------------------------------------------------------------------------------


def test_what_is_made_is_kept(folder):
    made = []

    def make():
        made.append(1)
        return {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(2.5)}

    first, again = cache.cached("things", "key", make), cache.cached("things", "key", make)
    assert made == [1]
    for found in (first, again):
        assert found.keys() == {"a", "b"}
        assert torch.equal(found["a"], torch.arange(6).reshape(2, 3))
        assert torch.equal(found["b"], torch.tensor(2.5))
    assert files(folder) == [folder / "things" / "key.safetensors"]
    cache.cached("things", "other", make)
    assert len(made) == 2


def cut(data):
    return data[:-5]


def empty(data):
    return b""


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def foreign(data):
    return safetensors.torch.save({"a": torch.zeros(3)})


def text(data):
    return b"not a safetensors file"


@pytest.mark.parametrize("damage", [cut, empty, flip, foreign, text], ids=lambda f: f.__name__)
def test_a_damaged_file_is_made_again(folder, damage):
    value = {"a": torch.ones(3)}
    cache.cached("things", "key", lambda: value)
    path = folder / "things" / "key.safetensors"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(cache.cached("things", "key", lambda: value)["a"], value["a"])
    assert path.read_bytes() == whole
    assert torch.equal(cache.cached("things", "key", lambda: {})["a"], value["a"])


def test_a_cache_that_cannot_be_written_is_no_error(folder):
    folder.write_text("a file where the directory should be")
    for _ in range(2):
        assert cache.cached("things", "key", lambda: {"a": torch.ones(2)})["a"].sum() == 2
    assert folder.read_text() == "a file where the directory should be"


def test_files_are_whole_or_not_there(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert cache.cached("things", "key", lambda: {"a": torch.ones(2)})["a"].sum() == 2
    assert files(folder) == []


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch):
    def make():
        return {"a": torch.zeros(1000)}

    for age, key in ((300, "old"), (200, "older, but used"), (100, "young")):
        cache.cached("things", key, make)
        path = folder / "things" / f"{key}.safetensors"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    path = folder / "things" / "older, but used.safetensors"
    os.utime(path, (path.stat().st_mtime - 1000,) * 2)
    cache.cached("things", "older, but used", lambda: {})
    monkeypatch.setattr(cache, "LIMIT", 3 * path.stat().st_size)
    cache.cached("things", "new", make)
    assert {p.stem for p in files(folder)} == {"older, but used", "young", "new"}


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SGMKIT_CACHE")
    assert cache.directory() == tmp_path / ".cache" / "sgmkit"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert str(cache.directory()) == "/elsewhere/sgmkit"
    monkeypatch.setenv("SGMKIT_CACHE", "~/mine")
    assert cache.directory() == tmp_path / "mine"


# Keys -------------------------------------------------------------------------------------


def test_content_is_that_of_the_whole_however_it_is_cut():
    x = torch.arange(24.0).reshape(6, 2, 2)
    assert cache.content([x]) == cache.content(x.split(4)) == cache.content([x[:1], x[1:]])
    assert cache.content([x]) == cache.content([x.mT.contiguous().mT])
    others = [x.double(), x.reshape(6, 4), x.flip(0), x[:5], x + 1e-6]
    assert len({cache.content([other]) for other in [x, *others]}) == 6
    numbers = (torch.zeros(3, dtype=kind) for kind in (torch.float32, torch.int32))
    assert len({cache.content([zeros]) for zeros in numbers}) == 2


def test_features_are_computed_once_for_a_content(folder):
    extractor, x = Counting(), normal(50)
    found = bank(extractor).features(Images.of(x, "samples"))
    assert torch.equal(found, x)
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
        shared.features(Images.of(normal(20, seed), "samples"))
        shared.features(Images.of(normal(20, 7), "test"))
    assert extractor.rows == 20 + 3 * 20  # data once, and samples when they change
    assert len(shared.memo) == 2


@pytest.mark.parametrize("chunk", [7, 50, 1000])
def test_images_pass_in_chunks(folder, monkeypatch, chunk):
    monkeypatch.setattr(features, "CHUNK", chunk)
    extractor, x = Counting(), normal(50)
    assert torch.equal(bank(extractor).features(Images.of(x, "samples")), x)
    assert extractor.largest == min(chunk, 50)


def test_features_are_in_full_precision_on_a_gpu():
    """PyTorch's default for convolutions there has ten bits."""
    seen, cudnn = [], torch.backends.cudnn

    class Asking(ReferenceExtractor):
        def features(self, x):
            seen.append((cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic))
            return super().features(x)

    before = cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic
    bank(Asking()).features(Images.of(normal(4, 11), "samples"))
    assert seen == [(True, False, True)]
    assert before == (cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic)


def test_statistics_on_disk_need_no_features(folder):
    extractor, x = Counting(), normal(300)
    first = bank(extractor).statistics(Images.of(x, "test"))
    for path in (folder / "features").iterdir():
        path.unlink()
    again = bank(extractor).statistics(Images.of(x, "test"))
    assert extractor.rows == 300
    assert first.count == again.count == 300
    for name in ("mean", "cov", "rows"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not (folder / "features").exists() or not any((folder / "features").iterdir())


def test_evaluators_of_a_cell_share_features(folder):
    extractor, dataset = Counting(), ReferenceData()
    ctx = context(normal(40), dataset)
    for evaluator in (Fid(extractor), Kid(extractor), Fid(extractor), Kid(extractor, size=10)):
        list(evaluator.evaluate(ctx))
    assert extractor.rows == 40 + 40


# Training data as the reference -----------------------------------------------------------


def test_training_items_are_read_in_pieces(folder):
    extractor, dataset, memo = Counting(), Items(), {}
    samples = normal(30)
    (found,) = Fid(extractor, "train").evaluate(context(samples, dataset, memo))
    assert dataset.read == 2 * [512, 512, 176]  # what they are, then their features
    assert (found.n, extractor.rows) == (30, 30 + 1200)
    x = Items().pick("train", torch.arange(1200)).x
    plain = bank(Counting("two")).statistics(Images.of(x, "test"))
    mine = bank(Counting("two")).statistics(Images.of(samples, "samples"))
    assert found.value == pytest.approx(frechet(mine, plain)[0], rel=1e-12)
    list(Fid(extractor, "train").evaluate(context(samples + 1, dataset, memo)))
    assert len(dataset.read) == 6  # a cell of the same seed
    list(Fid(extractor, "train").evaluate(context(samples, dataset)))
    assert dataset.read[6:] == [512, 512, 176]  # of another: known by their content
    assert extractor.rows == 30 + 1200 + 30


def test_the_floor_of_training_data_is_test_data(folder):
    """What a floor row is given is training data, which the reference holds."""
    dataset = Items(100)
    given = dataset.pick("train", torch.arange(50)).x
    (floor,) = Fid(Counting(), "train").evaluate(context(given, dataset, cell=None))
    test = dataset.pick("test", torch.arange(50)).x
    (cell,) = Fid(Counting(), "train").evaluate(context(test, dataset))
    assert floor == cell
    assert floor.value > 1  # the test items lie apart


def test_training_data_without_items_is_refused(folder):
    with pytest.raises(Incompatible) as caught:
        list(Fid(Counting(), "train").evaluate(context(normal(9), ReferenceData())))
    assert str(caught.value) == (
        "ReferenceData has no training items, only fresh draws: say reference=test"
    )
