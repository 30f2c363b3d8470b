"""Tensors are kept on disk, and made again where a file is damaged."""

import os

import pytest
import safetensors.torch
import torch

from sgmkit_features import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_made_is_kept(folder):
    made = []

    def make():
        made.append(1)
        return {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(2.5)}

    first, again = cache.cached("things", "key", make), cache.cached("things", "key", make)
    assert made == [1]
    for tensors in (first, again):
        assert tensors.keys() == {"a", "b"}
        assert torch.equal(tensors["a"], torch.arange(6).reshape(2, 3))
        assert torch.equal(tensors["b"], torch.tensor(2.5))
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


def test_what_was_not_used_for_longest_goes_first(folder):
    def make():
        return {"a": torch.zeros(1000)}

    for age, key in ((300, "old"), (200, "older, but used"), (100, "young")):
        cache.cached("things", key, make)
        path = folder / "things" / f"{key}.safetensors"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    path = folder / "things" / "older, but used.safetensors"
    os.utime(path, (path.stat().st_mtime - 1000,) * 2)
    cache.cached("things", "older, but used", lambda: {})
    cache.cached("things", "new", make, limit=3 * path.stat().st_size)
    assert {p.stem for p in files(folder)} == {"older, but used", "young", "new"}


def test_content_is_that_of_the_whole_however_it_is_cut():
    x = torch.arange(24.0).reshape(6, 2, 2)
    assert cache.content([x]) == cache.content(x.split(4)) == cache.content([x[:1], x[1:]])
    assert cache.content([x]) == cache.content([x.mT.contiguous().mT])
    others = [x.double(), x.reshape(6, 4), x.flip(0), x[:5], x + 1e-6]
    assert len({cache.content([other]) for other in [x, *others]}) == 6
    numbers = (torch.zeros(3, dtype=kind) for kind in (torch.float32, torch.int32))
    assert len({cache.content([zeros]) for zeros in numbers}) == 2
