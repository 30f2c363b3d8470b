"""Folders of images: what is found, decoded, split and labelled, and what is refused."""

import hashlib
import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_files import picture, save

from sgmkit import SeededNoise, create
from sgmkit.errors import BadValue, MissingFiles, UnknownName, UserError
from sgmkit.testing import run_checks
from sgmkit_datasets import folder, image_files
from sgmkit_datasets.folder import Folder
from sgmkit_datasets.image_files import decode

SUFFIXES = ".bmp, .jpeg, .jpg, .png, .webp"


@pytest.fixture
def photos(tmp_path):
    """Forty 12 x 12 pictures in two sub-folders; the name says which picture it is."""
    for i in range(40):
        save(tmp_path / "photos" / f"{'ab'[i % 2]}" / f"{i:02}.png", picture(i))
    return tmp_path / "photos"


def taken(data, ids):
    """Items by id, wherever they are, as levels ``(n, C, H, W)``."""
    return data._pixels(torch.tensor(ids))


def refused(error, **options):
    with pytest.raises(error) as caught:
        create("dataset", "folder", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_at_any_depth_are_listed(tmp_path):
    names = ["b.png", "a/x/y.JPG", "a/x.jpeg", "a.webp", "c.Bmp", "a-b/z.png", "B.png"]
    hidden = [".b.png", "a/._x.png", ".thumbs/z.png"]
    for name in [*names, *hidden]:
        save(tmp_path / name, picture(0))
    (tmp_path / "notes.txt").write_text("no image")
    assert image_files.find_images(tmp_path) == sorted(names)
    data = Folder(str(tmp_path), test=0.3)
    assert (data.size("train"), data.size("test")) == (5, 2)
    both = torch.cat([data.items(split).ids for split in ("train", "test")])
    assert sorted(both.tolist()) == list(range(7))


def test_names_are_bytes(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i))
    (tmp_path / "2.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    assert Folder(str(tmp_path)).items("train").x.shape == (2, 3, 64, 64)


def test_items_are_the_pictures(photos):
    data = Folder(str(photos), size=0)
    order = sorted(f"{'ab'[i % 2]}/{i:02}.png" for i in range(40))
    for split in ("train", "test"):
        items = data.items(split)
        assert items.x.shape == (data.size(split), 3, 12, 12)
        assert items.x.dtype == torch.float32
        assert items.y is None
        expected = np.stack([picture(int(order[i][2:4])) for i in items.ids.tolist()])
        expected = expected.transpose(0, 3, 1, 2) / 127.5 - 1
        np.testing.assert_allclose(items.x.numpy(), expected, rtol=0, atol=1e-7)
    assert (data.event, data.levels, data.likelihood) == ((3, 12, 12), 256, "discretised")


@pytest.mark.parametrize(("share", "count"), [(0.1, 4), (0.29, 12), (0.001, 1), (0.999, 39)])
def test_the_split_goes_by_name(photos, share, count):
    data = Folder(str(photos), test=share)
    names = sorted(f"{'ab'[i % 2]}/{i:02}.png" for i in range(40))
    chosen = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count]
    assert [names[i] for i in data.items("test").ids.tolist()] == sorted(chosen)
    assert data.size("train") == 40 - count


def test_folders_conform(photos):
    for options in ({}, {"flip": True, "dequantise": True, "labels": "folders", "channels": 1}):
        results = run_checks("dataset", "folder", root=str(photos), size=8, **options)
        assert [x for x in results if not x.ok] == []
        assert {"check_take_noise", "check_items", "check_levels"} <= {x.check for x in results}


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in the order of their ends."""
    names = []

    def counting(path, size, channels):
        names.append(path.name)
        return decode(path, size, channels)

    monkeypatch.setattr(folder, "decode", counting)
    return names


def test_images_are_decoded_when_they_are_needed_and_kept(photos, decoded):
    data = Folder(str(photos), size=8)
    index, noise = torch.tensor([5, 0, 5, 7, 0]), SeededNoise(0, range(5))
    assert decoded == []
    first = data.take("train", index, noise)
    names = [data._files[i] for i in data.items("train").ids[[0, 5, 7]].tolist()]
    assert sorted(decoded[:3]) == sorted(name[2:] for name in names)
    assert len(decoded) == data.size("train")  # `items` asked for the others
    again = data.take("train", index, noise)
    assert len(decoded) == data.size("train")
    assert torch.equal(first.x, again.x)
    assert data._cache.dtype == torch.uint8


def test_beyond_the_bound_nothing_is_kept(photos, decoded, monkeypatch):
    kept = Folder(str(photos), size=8)
    monkeypatch.setattr(Folder, "cache_limit", 40 * 3 * 8 * 8 - 1)
    data = Folder(str(photos), size=8)
    assert data._cache is None
    index, noise = torch.tensor([5, 0, 5, 7, 0]), SeededNoise(0, range(5))
    x = data.take("train", index, noise).x
    assert len(decoded) == 3  # each once
    assert torch.equal(x, data.take("train", index, noise).x)
    assert len(decoded) == 6
    assert torch.equal(x, kept.take("train", index, noise).x)
    assert torch.equal(data.items("test").x, kept.items("test").x)
    monkeypatch.setattr(Folder, "cache_limit", 40 * 3 * 8 * 8)
    assert Folder(str(photos), size=8)._cache is not None


def table(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def test_labels_of_folders(photos, tmp_path):
    data = Folder(str(photos), size=8, labels="folders")
    for split in ("train", "test"):
        items = data.items(split)
        assert items.y.dtype == torch.int64
        assert items.y.tolist() == [(i >= 20) * 1 for i in items.ids.tolist()]  # a/..., then b/...
    for name in ("10/x.png", "9/deep/er/x.png"):
        save(tmp_path / "numbers" / name, picture(0))
    numbers = Folder(str(tmp_path / "numbers"), labels="folders")
    assert numbers._classes.tolist() == [10, 9]


def test_labels_of_a_table(photos, tmp_path):
    names = sorted(f"{'ab'[i % 2]}/{i:02}.png" for i in range(40))
    words = [("cat", "dog", "ant")[i % 3] for i in range(40)]
    lines = [f"{word},{name},0.5" for word, name in zip(words, names, strict=True)]
    table(photos / "of.csv", "\ufefflabel,file,score", *reversed(lines), "cat,not-here.png,1")
    data = Folder(str(photos), labels="of.csv")
    assert data._classes.tolist() == [{"ant": 0, "cat": 1, "dog": 2}[word] for word in words]
    index = torch.tensor([3, 3, 1])
    batch = data.take("train", index, SeededNoise(0, range(3)))
    assert batch.y.tolist() == [data._classes[i] for i in batch.ids.tolist()]
    table(tmp_path / "numbers.csv", "file,label", *(f"{x},{7 * i}" for i, x in enumerate(names)))
    data = Folder(str(photos), labels=str(tmp_path / "numbers.csv"))
    assert data._classes.tolist() == [7 * i for i in range(40)]


TABLES = {
    "columns": (
        ["name,label", "a/00.png,1"],
        "labels file '{path}' has no columns 'file' and 'label'",
    ),
    "empty": ([], "labels file '{path}' has no columns 'file' and 'label'"),
    "none": (
        ["file,label", "a/00.png,1", "a/02.png,"],
        "labels file '{path}' has no label for 'a/02.png'; every image needs one",
    ),
    "two": (
        ["file,label", "a/00.png,1", "a/00.png,2"],
        "labels file '{path}' has 2 labels for 'a/00.png'; every image needs one",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_do_not_tell(photos, case):
    lines, message = TABLES[case]
    table(photos / "of.csv", *lines)
    error = refused(BadValue, root=str(photos), labels="of.csv")
    assert error == f"dataset 'folder': {message.format(path=photos / 'of.csv')}"


def test_labels_that_cannot_be_read(photos):
    path = photos / "of.csv"
    remedy = "name it relative to the folder of the images, or use labels=folders"
    assert refused(UnknownName, root=str(photos), labels="of.csv") == (
        f"cannot read labels file '{path}': No such file or directory; {remedy}"
    )
    path.write_bytes(b"file,label\na/00.png,\xff\n")
    assert refused(BadValue, root=str(photos), labels="of.csv") == (
        f"dataset 'folder': labels file '{path}' is no CSV text ('utf-8' codec can't decode byte "
        "0xff in position 20: invalid start byte)"
    )
    save(photos / "top.png", picture(0))
    assert refused(BadValue, root=str(photos), labels="folders") == (
        f"dataset 'folder': labels=folders, but 'top.png' is in no sub-folder of '{photos}'"
    )


def test_folders_that_are_none(tmp_path):
    assert refused(MissingFiles) == (
        "folder needs the folder that its images are in: folder:root=DIR"
    )
    (tmp_path / "file").write_text("mine")
    for name in ("gone", "file"):
        assert refused(UnknownName, root=str(tmp_path / name)) == (
            f"no directory '{tmp_path / name}'; name the folder of images: folder:root=DIR"
        )
    (tmp_path / "empty").mkdir()
    assert refused(BadValue, root=str(tmp_path / "empty")) == (
        f"dataset 'folder': no images in '{tmp_path}/empty' ({SUFFIXES}); "
        "train and test need one each"
    )
    save(tmp_path / "one" / "x.png", picture(0))
    assert refused(BadValue, root=str(tmp_path / "one")) == (
        f"dataset 'folder': only one image in '{tmp_path}/one' ({SUFFIXES}); "
        "train and test need one each"
    )
    assert refused(BadValue, root=str(tmp_path / "one"), size=-1) == (
        "option 'size' of dataset 'folder': input should be greater than or equal to 0, not -1"
    )


def test_mixed_sizes_need_a_size(tmp_path):
    for name, height, width in (("a.png", 6, 8), ("b.png", 6, 8), ("c.png", 8, 6)):
        save(tmp_path / name, picture(0, height, width))
    assert refused(BadValue, root=str(tmp_path), size=0) == (
        "dataset 'folder': images differ in size: 'a.png' is 8 x 6, 'c.png' 6 x 8; "
        "size=64 resizes and crops them"
    )
    assert Folder(str(tmp_path), size=5).items("train").x.shape == (2, 3, 5, 5)
    (tmp_path / "c.png").unlink()
    assert Folder(str(tmp_path), size=0, channels=1).event == (1, 6, 8)


def test_a_broken_image_is_named_when_it_is_needed(photos):
    packed = io.BytesIO()
    Image.fromarray(picture(0, 64, 64)).save(packed, "png")
    (photos / "a" / "00.png").write_bytes(packed.getvalue()[:-900])
    (photos / "a" / "02.png").write_text("no image")
    data = Folder(str(photos))
    assert len(taken(data, [5, 6])) == 2
    for position, name in ((0, "00.png"), (1, "02.png")):
        with pytest.raises(UserError) as caught:
            taken(data, [5, position])
        text = str(caught.value)
        assert text.startswith(f"'{photos}/a/{name}' cannot be read as an image (")
        assert text.endswith("); remove or replace it")
        assert "\n" not in text
    with pytest.raises(UserError, match=r"/a/0[02].png' cannot be read as an image"):
        Folder(str(photos), size=0)
