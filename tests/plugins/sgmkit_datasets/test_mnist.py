"""MNIST from small files in the official format: what is read, found, fetched and refused."""

import gzip
import os

import numpy as np
import pytest
import torch
from support.file_server import serving
from support.idx_files import contents, idx, levels, use_as_official

from sgmkit import SeededNoise, create
from sgmkit.cli import app as cli
from sgmkit.data import sha256
from sgmkit.errors import IncompleteFile, MissingFiles, UserError
from sgmkit.testing import run_checks
from sgmkit_datasets import mnist
from sgmkit_datasets.mnist import Mnist, read_idx

NAMES = list(mnist.FILES)
AGAIN = "delete it, and it is downloaded again"
PUT = "or name the data directory with mnist:root=DIR or SGMKIT_DATA"


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def official(monkeypatch):
    monkeypatch.delenv("SGMKIT_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return use_as_official(monkeypatch)


@pytest.fixture
def root(official, tmp_path):
    write(tmp_path / "mnist", official)
    return str(tmp_path)


# The format -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 2, 3), (0, 2, 2)])
def test_an_array_is_read_as_it_was_written(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape) + np.uint8(240)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx(array)))
    tensor = read_idx(path, len(shape))
    assert tensor.dtype == torch.uint8
    assert torch.equal(tensor, torch.from_numpy(array))


WHOLE = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
MAGIC = "' is not an idx file of unsigned bytes in 3 dimensions: it begins with "
BROKEN = {
    "two dimensions": (b"\0\0\x08\x02" + WHOLE[4:], UserError, f"{MAGIC}00 00 08 02; {AGAIN}"),
    "floats": (b"\0\0\x0d\x03" + WHOLE[4:], UserError, f"{MAGIC}00 00 0d 03; {AGAIN}"),
    "another file": (b"\x89PNG" + WHOLE, UserError, f"{MAGIC}89 50 4e 47; {AGAIN}"),
    "nothing": (b"", IncompleteFile, f"' is cut short: 0 of 16 bytes; {AGAIN}"),
    "half a header": (WHOLE[:10], IncompleteFile, f"' is cut short: 10 of 16 bytes; {AGAIN}"),
    "one short": (WHOLE[:-1], IncompleteFile, f"' is cut short: 39 of 40 bytes; {AGAIN}"),
    "one more": (WHOLE + b"x", UserError, f"' has 41 bytes, where its header says 40; {AGAIN}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_other_files_are_refused(tmp_path, case):
    data, error, message = BROKEN[case]
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(error) as caught:
        read_idx(path, 3)
    assert str(caught.value) == f"'{path}{message}"


def test_what_gzip_cannot_read_is_refused(tmp_path):
    path, packed = tmp_path / "x.gz", gzip.compress(WHOLE, mtime=0)
    wrong = bytearray(packed)
    wrong[-8] ^= 1  # the checksum of the content
    for data, error, message in (
        (packed[:-9], IncompleteFile, "' is cut short: its gzip stream does not end"),
        (WHOLE, UserError, r"' is not a whole gzip file (Not a gzipped file (b'\x00\x00'))"),
        (bytes(wrong), UserError, f"' is not a whole gzip file (CRC check failed {_crc(wrong)})"),
        (packed[:10] + b"\xff" * 20, UserError, "' is not a whole gzip file (Error -3 while"),
    ):
        path.write_bytes(data)
        with pytest.raises(error) as caught:
            read_idx(path, 3)
        assert str(caught.value).startswith(f"'{path}{message}")
        assert str(caught.value).endswith(AGAIN)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError) as caught:
        read_idx(path, 3)
    assert str(caught.value) == f"cannot read '{path}': Is a directory; check its permissions"


def _crc(packed):
    stored = int.from_bytes(packed[-8:-4], "little")
    return f"{stored:#x} != {stored ^ 1:#x}"


# The data ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "name", "first"), [("train", "train", 0), ("test", "t10k", 30)])
def test_items_are_those_of_the_files(root, split, name, first):
    data, (images, labels) = Mnist(root), levels(name)
    items = data.items(split)
    n = len(labels)
    assert data.size(split) == n
    assert items.x.shape == (n, 1, 28, 28)
    assert items.x.dtype == torch.float32
    expected = images[:, None].astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(items.x.numpy(), expected, rtol=0, atol=1e-7)
    assert (float(items.x.min()), float(items.x.max())) == data.value_range
    assert items.y.dtype == torch.int64
    assert items.y.tolist() == labels.tolist()
    assert items.ids.tolist() == list(range(first, first + n))
    assert (data.event, data.levels, data.likelihood) == ((1, 28, 28), 256, "discretised")
    assert data.level_width == pytest.approx(2 / 255)
    assert data._content.images.dtype == torch.uint8


def test_mnist_conforms(root):
    for options in ({}, {"flip": True, "dequantise": True}, {"binarise": True}):
        results = run_checks("dataset", "mnist", root=root, **options)
        assert [x for x in results if not x.ok] == []
        assert {"check_take_noise", "check_items", "check_levels"} <= {x.check for x in results}


def test_training_sees_flips_and_dequantised_levels(root):
    index, noise = torch.tensor([3, 3, 0, 29]), SeededNoise(1, range(4))
    plain = Mnist(root).take("train", index, noise)
    seen = Mnist(root, flip=True, dequantise=True).take("train", index, noise)
    assert torch.equal(seen.ids, plain.ids)
    assert torch.equal(seen.y, plain.y)
    for row, item in zip(seen.x, plain.x, strict=True):
        off = [float((row - x).abs().max()) for x in (item, item.flip(-1))]
        assert min(off) <= 1 / 255 + 1e-7 < max(off)


# The files --------------------------------------------------------------------------------


def test_where_files_are_looked_for(official, tmp_path, monkeypatch):
    write(tmp_path / "here", official)
    write(tmp_path / "data" / "mnist", official)
    monkeypatch.chdir(tmp_path)
    assert Mnist(str(tmp_path / "here")).size("train") == 30
    assert Mnist("data/mnist").size("train") == 30
    assert Mnist().size("train") == 30
    monkeypatch.setenv("SGMKIT_DATA", "here")
    (tmp_path / "data").rename(tmp_path / "away")
    assert Mnist().size("train") == 30
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Mnist("~/away").size("train") == 30


def test_files_are_read_once_and_again_when_they_change(root, official, monkeypatch, tmp_path):
    first = Mnist(root)
    assert Mnist(root)._content is first._content
    path = tmp_path / "mnist" / NAMES[1]
    path.write_bytes(official[NAMES[3]])
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="is not the official file"):
        Mnist(root)


def test_all_missing_files_are_named_and_where_they_belong(official, tmp_path):
    files = dict(list(official.items())[1:3])
    with pytest.raises(MissingFiles) as caught:
        create("dataset", "mnist", root=str(tmp_path))
    assert str(caught.value) == (
        f"mnist needs {', '.join(NAMES)}, which cannot be downloaded (no mirror is known): "
        f"put them into '{tmp_path}/mnist', {PUT}"
    )
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "some", files)
    with pytest.raises(MissingFiles) as caught:
        Mnist(str(tmp_path / "some"))
    assert str(caught.value) == (
        f"mnist needs {NAMES[0]}, {NAMES[3]}, which cannot be downloaded (no mirror is known): "
        f"put them into '{tmp_path}/some', {PUT}"
    )


def test_offline_a_command_ends_in_one_line(official, tmp_path, monkeypatch, capsys):
    with serving({}) as gone:
        pass
    monkeypatch.setattr(mnist, "MIRRORS", (gone.url,))
    monkeypatch.chdir(tmp_path)
    code = cli.main(["bench", "--solvers", "euler", "--sde", "vp", "--data", "mnist"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err == (
        f"sgmkit: mnist needs {', '.join(NAMES)}, which cannot be downloaded "
        f"(127.0.0.1:{gone.server_port}: Connection refused): put them into 'data/mnist', {PUT}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_downloaded_once(official, tmp_path, monkeypatch):
    with serving(contents()) as server:
        monkeypatch.setattr(mnist, "MIRRORS", (server.url,))
        server.cut = 100
        with pytest.raises(MissingFiles) as caught:
            Mnist(str(tmp_path))
        assert f"the connection ended after 100 of {len(official[NAMES[0]])} bytes" in str(
            caught.value
        )
        server.cut = None
        assert Mnist(str(tmp_path)).size("test") == 12
        assert server.requests == [
            (NAMES[0], None),
            (NAMES[0], "bytes=100-"),
            *((name, None) for name in NAMES[1:]),
        ]
        Mnist(str(tmp_path))
        assert len(server.requests) == 5
    files = {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir()}
    assert files == official


def test_another_set_under_the_same_names_is_refused(root, tmp_path, official):
    """Fashion-MNIST has files of the same names and shapes."""
    path = tmp_path / "mnist" / NAMES[2]
    images = 255 - levels("t10k")[0]
    path.write_bytes(gzip.compress(idx(images), mtime=0))
    with pytest.raises(UserError) as caught:
        Mnist(root)
    digest = sha256(path)[:8]
    assert str(caught.value) == (
        f"'{path}' is not the official file: its SHA-256 is {digest}..., not "
        f"{mnist.FILES[NAMES[2]][:8]}...; {AGAIN}"
    )
    assert path.exists()
    path.write_bytes(official[NAMES[2]][:-20])
    with pytest.raises(IncompleteFile) as caught:
        Mnist(root)
    assert str(caught.value) == f"'{path}' is cut short: its gzip stream does not end; {AGAIN}"
