"""OMNIGLOT from small files in the official format: what is read, found, fetched and refused."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import savemat
from support.file_server import serving

from sgmkit import create
from sgmkit.cli import app as cli
from sgmkit.errors import MissingFiles, UserError
from sgmkit.testing import run_checks
from sgmkit_datasets import omniglot
from sgmkit_datasets.omniglot import Omniglot

AGAIN = "delete it, and it is downloaded again"
PLACE = "put the right one in its place"
PUT = "or name the data directory with omniglot:root=DIR or SGMKIT_DATA"
COUNTS = {"train": 20, "test": 8}


def pixels(split):
    """Levels ``(n, 28, 28)`` of no symmetry, all of them among them."""
    n = COUNTS[split]
    place = np.arange(n * 784).reshape(n, 28, 28)
    return (place * 7 + place // 256 + n).astype(np.uint8)


def shares(split):
    """What the papers' file has in a column: a picture by columns, in [0, 1], above its level."""
    levels = pixels(split).astype(np.float64)
    above = np.where(levels < 255, 0.7, 0.0)  # cut off, where rounding would give the next level
    flat = [[picture[i, j] for j in range(28) for i in range(28)] for picture in levels + above]
    return np.array(flat).T / 255


def mat(**arrays):
    held = {"data": shares("train"), "testdata": shares("test"), "target": np.eye(3)} | arrays
    file = io.BytesIO()
    savemat(file, {k: v for k, v in held.items() if v is not None}, do_compression=True)
    return file.getvalue()


def npz(**arrays):
    held = {"x_train": pixels("train"), "x_test": pixels("test")} | arrays
    file = io.BytesIO()
    np.savez_compressed(file, **{k: v for k, v in held.items() if v is not None})
    return file.getvalue()


CONTENTS = {"chardata": mat(), "omniglot28": npz()}
sources = pytest.mark.parametrize("source", CONTENTS)


def use_as_official(monkeypatch, source, data):
    """Make ``data`` the file that is expected, of so few items."""
    file = omniglot.FILES[source]
    digest = hashlib.sha256(data).hexdigest() if file.digest else None
    few = replace(file, digest=digest, items=tuple(COUNTS.values()))
    monkeypatch.setitem(omniglot.FILES, source, few)


@pytest.fixture
def official(monkeypatch):
    monkeypatch.delenv("SGMKIT_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(omniglot, "MIRRORS", {})
    for source, data in CONTENTS.items():
        use_as_official(monkeypatch, source, data)


@pytest.fixture
def root(official, tmp_path):
    (tmp_path / "omniglot").mkdir()
    for source, data in CONTENTS.items():
        (tmp_path / "omniglot" / omniglot.FILES[source].name).write_bytes(data)
    return str(tmp_path)


# The data ---------------------------------------------------------------------------------


@sources
@pytest.mark.parametrize(("split", "first"), [("train", 0), ("test", 20)])
def test_items_are_those_of_the_files(root, source, split, first):
    data, levels = Omniglot(root, source), pixels(split)
    items, n = data.items(split), COUNTS[split]
    assert data.size(split) == n
    assert items.x.shape == (n, 1, 28, 28)
    expected = levels[:, None].astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(items.x.numpy(), expected, rtol=0, atol=1e-7)
    assert items.y is None
    assert items.ids.tolist() == list(range(first, first + n))
    assert (data.event, data.levels, data.likelihood) == ((1, 28, 28), 256, "discretised")
    assert data._content.images.dtype == torch.uint8


def test_the_official_sizes():
    """Of 1,623 characters by 20 drawers; the papers' file lacks some of the last five's."""
    sizes = {source: file.items for source, file in omniglot.FILES.items()}
    assert sizes == {"chardata": (24345, 8070), "omniglot28": (1623 * 15, 1623 * 5)}


def test_the_default_is_the_file_of_the_papers(root, tmp_path):
    (tmp_path / "omniglot" / "omniglot28.npz").unlink()
    assert Omniglot(root).size("test") == 8


def test_omniglot_conforms(root):
    for options in ({}, {"flip": True, "dequantise": True}, {"binarise": True}):
        for source in CONTENTS:
            results = run_checks("dataset", "omniglot", root=root, source=source, **options)
            assert [x for x in results if not x.ok] == []
            names = {x.check for x in results}
            assert {"check_take_noise", "check_items", "check_levels"} <= names
            assert ("check_binarised" in names) == ("binarise" in options)


# The files --------------------------------------------------------------------------------


@sources
def test_where_the_file_is_looked_for(root, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Omniglot("omniglot", source).size("train") == 20
    monkeypatch.setenv("SGMKIT_DATA", root)
    assert Omniglot(source=source).size("train") == 20


def test_a_file_is_read_once_and_again_when_it_changes(root, tmp_path):
    first = Omniglot(root)
    assert Omniglot(root)._content is first._content
    turned = shares("train")[:, ::-1]
    (tmp_path / "omniglot" / "chardata.mat").write_bytes(mat(data=turned) + b"")
    assert torch.equal(Omniglot(root)._content.images[:20], first._content.images[:20].flip(0))


def test_a_missing_file_is_named_and_where_it_belongs(official, tmp_path):
    for source, name in (("chardata", "chardata.mat"), ("omniglot28", "omniglot28.npz")):
        with pytest.raises(MissingFiles) as caught:
            create("dataset", "omniglot", root=str(tmp_path), source=source)
        assert str(caught.value) == (
            f"omniglot needs {name}, which cannot be downloaded (no mirror is known): put it into "
            f"'{tmp_path}/omniglot', {PUT}"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["", "omniglot"])
@pytest.mark.parametrize(("source", "other"), [tuple(CONTENTS), tuple(CONTENTS)[::-1]])
def test_the_other_file_is_offered_where_it_lies(official, tmp_path, source, other, folder):
    path = tmp_path / folder / omniglot.FILES[other].name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENTS[other])
    with pytest.raises(MissingFiles) as caught:
        Omniglot(str(tmp_path), source)
    assert str(caught.value).endswith(f"{PUT}; or omniglot:source={other} for '{path}'")
    assert Omniglot(str(tmp_path), other).size("train") == 20


def test_offline_a_command_ends_in_one_line(official, tmp_path, monkeypatch, capsys):
    with serving({}) as gone:
        pass
    monkeypatch.setattr(omniglot, "MIRRORS", {"chardata": (gone.url,)})
    monkeypatch.chdir(tmp_path)
    code = cli.main(["bench", "--solvers", "euler", "--sde", "vp", "--data", "omniglot"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err == (
        f"sgmkit: omniglot needs chardata.mat, which cannot be downloaded "
        f"(127.0.0.1:{gone.server_port}: Connection refused): put it into 'data/omniglot', {PUT}\n"
    )


def test_the_file_of_the_papers_is_downloaded_once(official, tmp_path, monkeypatch):
    with serving({"chardata.mat": CONTENTS["chardata"]}) as server:
        monkeypatch.setattr(omniglot, "MIRRORS", {"chardata": (server.url,)})
        server.cut = 100
        with pytest.raises(MissingFiles, match="the connection ended after 100 of"):
            Omniglot(str(tmp_path))
        server.cut = None
        assert Omniglot(str(tmp_path)).size("test") == 8
        assert Omniglot(str(tmp_path)).size("test") == 8
        assert server.requests == [("chardata.mat", None), ("chardata.mat", "bytes=100-")]
    (path,) = (tmp_path / "omniglot").iterdir()
    assert path.read_bytes() == CONTENTS["chardata"]


FLAT = np.zeros((20, 784))
MAT = "is not the MATLAB file of the papers"
NPZ = "is no archive of characters"
BROKEN = {
    "a page": ("chardata", b"<!DOCTYPE html>" * 20, f"{MAT} (Unknown mat file type"),
    "nothing": ("chardata", b"", f"{MAT} ("),
    "half": ("chardata", CONTENTS["chardata"][:1500], f"{MAT} ("),
    "no test": ("chardata", mat(testdata=None), f"{MAT}: it has no 'testdata'; {AGAIN}"),
    "turned": (
        "chardata",
        mat(data=FLAT),
        f"{MAT}: data is (20, 784) float64, not (784, 20) floats; {AGAIN}",
    ),
    "bytes": (
        "chardata",
        mat(data=FLAT.T.astype(np.uint8)),
        f"{MAT}: data is (784, 20) uint8, not (784, 20) floats; {AGAIN}",
    ),
    "levels": (
        "chardata",
        mat(testdata=255 * shares("test")),
        f"{MAT}: testdata is not all in [0, 1]; {AGAIN}",
    ),
    "no number": (
        "chardata",
        mat(data=shares("train") * np.nan),
        f"{MAT}: data is not all in [0, 1]; {AGAIN}",
    ),
    "no archive": ("omniglot28", b"PK" + bytes(50), f"{NPZ} ("),
    "cut": ("omniglot28", CONTENTS["omniglot28"][:-100], f"{NPZ} ("),
    "an object": (
        "omniglot28",
        npz(x_train=np.array([{}])),
        f"{NPZ} (Object arrays cannot be loaded when allow_pickle=False); {PLACE}",
    ),
    "other keys": ("omniglot28", npz(x_test=None), f"{NPZ}: it has no 'x_test'; {PLACE}"),
    "other sizes": (
        "omniglot28",
        npz(x_test=pixels("train")),
        f"{NPZ}: x_test is (20, 28, 28) uint8, not (8, 28, 28) bytes; {PLACE}",
    ),
    "floats": (
        "omniglot28",
        npz(x_test=pixels("test") / 255),
        f"{NPZ}: x_test is (8, 28, 28) float64, not (8, 28, 28) bytes; {PLACE}",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_other_files_are_refused_in_one_line(root, tmp_path, case, monkeypatch):
    source, data, message = BROKEN[case]
    use_as_official(monkeypatch, source, data)
    path = tmp_path / "omniglot" / omniglot.FILES[source].name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        Omniglot(root, source)
    text = str(caught.value)
    assert text.startswith(f"'{path}' {message}")
    assert text.endswith(AGAIN if source == "chardata" else PLACE)
    assert "\n" not in text


def test_another_archive_is_refused(root, tmp_path):
    path = tmp_path / "omniglot" / "omniglot28.npz"
    path.write_bytes(npz(x_test=pixels("test")[::-1]))
    with pytest.raises(UserError) as caught:
        Omniglot(root, "omniglot28")
    actual = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    digest = omniglot.FILES["omniglot28"].digest[:8]
    assert str(caught.value) == (
        f"'{path}' is not the official file: its SHA-256 is {actual}..., not {digest}...; {PLACE}"
    )
