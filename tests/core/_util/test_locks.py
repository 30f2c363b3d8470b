"""A lock between processes: held by one at a time, and never a reason to stop."""

import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from sgmkit._util.locks import locked

COUNT = """
import sys
from pathlib import Path
from sgmkit._util.locks import locked
path = Path(sys.argv[1])
for _ in range(100):
    with locked(path / ".lock"):
        number = int((path / "number").read_text())
        (path / "number").write_text(str(number + 1))
"""


def test_one_process_at_a_time(tmp_path):
    (tmp_path / "number").write_text("0")
    pair = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert (tmp_path / "number").read_text() == "200"


def test_its_directory_is_made_and_the_lock_let_go(tmp_path):
    path = tmp_path / "new" / ".lock"
    with locked(path), pytest.raises(filelock.Timeout):
        filelock.FileLock(path).acquire(timeout=0)
    with filelock.FileLock(path).acquire(timeout=0):
        pass


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError()])
def test_without_locks_work_goes_on(tmp_path, monkeypatch, error):
    def refuse(self):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locked(tmp_path / ".lock"):
        worked = True
    assert worked


def test_where_no_file_can_be_made_work_goes_on(tmp_path):
    (tmp_path / "file").write_text("mine")
    with locked(tmp_path / "file" / ".lock"):
        worked = True
    assert worked
    assert Path(tmp_path / "file").read_text() == "mine"


def test_what_fails_inside_is_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), locked(tmp_path / ".lock"):
        raise RuntimeError("inside")
    with filelock.FileLock(tmp_path / ".lock").acquire(timeout=0):
        pass
