"""Downloads from servers that break off, lie, or are not there."""

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.file_server import serving

from sgmkit.data import DownloadFailed, download, fetch, sha256
from sgmkit.errors import UserError

DATA = hashlib.shake_256(b"a file").digest(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = DATA[::-1]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving({"x.bin": DATA}) as server:
        yield server


@pytest.fixture
def second():
    with serving({"x.bin": DATA}) as server:
        yield server


@pytest.fixture
def part(tmp_path):
    return tmp_path / "x.bin.part"


def get(folder, *servers):
    fetch(folder, "x.bin", DIGEST, [server.url for server in servers])
    assert (folder / "x.bin").read_bytes() == DATA
    assert [path.name for path in folder.iterdir()] == ["x.bin"]


def fails(folder, *servers, error=DownloadFailed, **options):
    with pytest.raises(error) as caught:
        fetch(folder, "x.bin", DIGEST, [server.url for server in servers], **options)
    assert not (folder / "x.bin").exists()
    return str(caught.value)


def host(server):
    return f"127.0.0.1:{server.server_port}"


def test_a_file_arrives_whole_and_is_said_to(server, tmp_path, capfd):
    get(tmp_path / "data" / "mnist", server)
    assert server.requests == [("x.bin", None)]
    assert capfd.readouterr() == ("", f"downloading {server.url}x.bin (0.3 MB)\n")
    assert sha256(tmp_path / "data" / "mnist" / "x.bin") == DIGEST


def test_a_terminal_shows_a_bar(server, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    get(tmp_path, server)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capfd.readouterr().err)
    assert "x.bin ━" in shown
    assert "300.0/300.0 kB" in shown


def test_no_request_for_a_file_that_is_there(server, tmp_path):
    (tmp_path / "x.bin").write_bytes(DATA)
    get(tmp_path, server)
    assert server.requests == []


def test_a_partial_download_is_resumed(server, tmp_path, part, capfd):
    part.write_bytes(DATA[:123_456])
    get(tmp_path, server)
    assert server.requests == [("x.bin", "bytes=123456-")]
    assert capfd.readouterr().err == f"resuming {server.url}x.bin (0.3 MB)\n"


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path, part):
    server.ranges = False
    part.write_bytes(DATA[:123_456])
    get(tmp_path, server)
    assert server.requests == [("x.bin", "bytes=123456-")]


@pytest.mark.parametrize("length", [300_000, 123_456, 300_001])
def test_a_wrong_part_is_begun_anew(server, tmp_path, part, length):
    part.write_bytes((OTHER + b"x")[:length])
    get(tmp_path, server)
    assert server.requests == [("x.bin", f"bytes={length}-"), ("x.bin", None)]


def test_a_part_that_is_whole_needs_its_name_only(server, tmp_path, part):
    part.write_bytes(DATA)
    get(tmp_path, server)
    assert server.requests == [("x.bin", "bytes=300000-")]


def test_a_connection_that_ends_early_leaves_what_came(server, tmp_path, part):
    server.cut = 200_000
    message = fails(tmp_path, server)
    assert message == f"{host(server)}: the connection ended after 200000 of 300000 bytes"
    assert part.read_bytes() == DATA[:200_000]
    server.cut = None
    get(tmp_path, server)
    assert server.requests == [("x.bin", None), ("x.bin", "bytes=200000-")]


def test_after_ctrl_c_the_next_call_goes_on(server, tmp_path, part, monkeypatch):
    read, chunks = download._read, []

    def interrupted(response):
        if chunks:
            raise KeyboardInterrupt
        chunks.append(read(response))
        return chunks[0]

    with monkeypatch.context() as patch:
        patch.setattr(download, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, "x.bin", DIGEST, [server.url])
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin.part"]
    assert part.read_bytes() == chunks[0]
    get(tmp_path, server)
    assert server.requests == [("x.bin", None), ("x.bin", f"bytes={len(chunks[0])}-")]


def test_the_next_mirror_goes_on_where_the_first_one_stopped(server, second, tmp_path):
    server.cut = 200_000
    get(tmp_path, server, second)
    assert (server.requests, second.requests) == ([("x.bin", None)], [("x.bin", "bytes=200000-")])


def test_without_a_length_the_checksum_tells(server, tmp_path, part):
    server.lengths = False
    get(tmp_path, server)
    (tmp_path / "x.bin").unlink()
    server.cut = 200_000
    digest = hashlib.sha256(DATA[:200_000]).hexdigest()[:8]
    assert fails(tmp_path, server) == (
        f"{host(server)}: a file with SHA-256 {digest}... instead of {DIGEST[:8]}..."
    )


def test_without_a_checksum_the_length_tells(server, tmp_path, part):
    server.cut = 200_000
    with pytest.raises(DownloadFailed, match="the connection ended after 200000 of 300000 bytes"):
        fetch(tmp_path, "x.bin", None, [server.url])
    server.cut = None
    fetch(tmp_path, "x.bin", None, [server.url])
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert not part.exists()


def test_after_a_wrong_file_comes_the_next_mirror(server, second, tmp_path, part):
    server.files["x.bin"] = OTHER
    digest = hashlib.sha256(OTHER).hexdigest()[:8]
    message = f"{host(server)}: a file with SHA-256 {digest}... instead of {DIGEST[:8]}..."
    assert fails(tmp_path, server) == message
    assert list(tmp_path.iterdir()) == []
    get(tmp_path, server, second)


def test_every_mirror_says_why_not(server, second, tmp_path):
    server.files.clear()
    second.cut = 7
    assert fails(tmp_path, server, second) == (
        f"{host(server)}: HTTP status 404; "
        f"{host(second)}: the connection ended after 7 of 300000 bytes"
    )
    assert fails(tmp_path / "none") == "no mirror is known"


def test_nobody_answers(server, tmp_path):
    with serving({}) as gone:
        pass
    assert fails(tmp_path / "data" / "mnist", gone) == f"{host(gone)}: Connection refused"
    assert list(tmp_path.iterdir()) == []  # the folders it made are gone again
    (tmp_path / "data").mkdir()
    fails(tmp_path / "data" / "mnist", gone)
    assert [path.name for path in tmp_path.rglob("*")] == ["data"]


def test_a_silent_server_is_left(server, tmp_path):
    server.pause.clear()
    assert fails(tmp_path, server, timeout=0.1) == f"{host(server)}: timed out"


def test_what_cannot_be_written_is_no_fault_of_the_mirror(server, second, tmp_path, part):
    (tmp_path / "file").write_text("mine")
    for folder, why in (("file", "File exists"), ("file/data", "Not a directory")):
        message = fails(tmp_path / folder, server, error=UserError)
        assert message == f"cannot write '{tmp_path / folder}': {why}"
    assert server.requests == []
    part.symlink_to("/dev/full")
    message = fails(tmp_path, server, second, error=UserError)
    assert message == f"cannot write '{part}': No space left on device"
    assert second.requests == []


def test_of_several_at_once_one_downloads(server, tmp_path):
    server.pause.clear()
    threading.Timer(0.3, server.pause.set).start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: get(tmp_path, server), range(4)))
    assert server.requests == [("x.bin", None)]
