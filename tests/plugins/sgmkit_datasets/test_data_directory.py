"""Files of a data set: where they are looked for, and which of them is the official one."""

import hashlib

import pytest

from sgmkit.errors import MissingFiles, UserError
from sgmkit_datasets.data_directory import check_digest, data_folder, download_missing, stamp


def test_the_data_directory_itself_if_it_holds_a_file_else_its_sub_folder(tmp_path, monkeypatch):
    assert data_folder(str(tmp_path), "things", ["a", "b"]) == tmp_path / "things"
    (tmp_path / "b").write_bytes(b"")
    assert data_folder(str(tmp_path), "things", ["a", "b"]) == tmp_path
    monkeypatch.setenv("SGMKIT_DATA", str(tmp_path))
    assert data_folder(None, "things", ["a", "b"]) == tmp_path
    monkeypatch.delenv("SGMKIT_DATA")
    monkeypatch.chdir(tmp_path)
    assert str(data_folder(None, "things", ["a"])) == "data/things"


def test_files_that_are_there_are_not_missing(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    download_missing(tmp_path, "things", {"a": None}, ())
    with pytest.raises(MissingFiles) as caught:
        download_missing(tmp_path, "things", {"a": None, "b": None}, ())
    assert str(caught.value) == (
        f"things needs b, which cannot be downloaded (no mirror is known): put it into '{tmp_path}'"
        ", or name the data directory with things:root=DIR or SGMKIT_DATA"
    )


def test_a_file_is_known_by_its_digest(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"official")
    digest = hashlib.sha256(b"official").hexdigest()
    check_digest(path, digest)
    before = stamp(path)
    path.write_bytes(b"another one")
    assert stamp(path) != before
    with pytest.raises(UserError) as caught:
        check_digest(path, digest, "buy a new one")
    other = hashlib.sha256(b"another one").hexdigest()
    assert str(caught.value) == (
        f"'{path}' is not the official file: its SHA-256 is {other[:8]}..., not {digest[:8]}...; "
        "buy a new one"
    )
