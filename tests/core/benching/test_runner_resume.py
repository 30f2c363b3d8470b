"""A bench that is killed, interrupted or not alone loses nothing and ends in the same table."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from sgmkit.benching.results import load_results, without_timing
from sgmkit.cli import app as cli

WORDS = "bench --solvers euler,heun --nfe 5,10 --sde vp --samples 64 --seeds 6 --evaluators"
COMMAND = tuple(WORDS.split())
ENERGY = [*COMMAND, "energy-distance"]
CELLS = 2 * 2 * 6 + 6
# As from a terminal, even where the tests run in the background and SIGINT is ignored.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sgmkit.cli.app import main
print("here", flush=True)
sys.exit(main())
"""


class Bench:
    """A bench in a process of its own."""

    def __init__(self, where: Path, *command: str):
        self.where = where
        where.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START, *command],
            cwd=where,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # two threads are slow on a busy machine
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "here\n"

    def stop(self, files: int, how: signal.Signals) -> tuple[int, str, str]:
        """Send a signal as soon as there are so many results files; wait for the end."""
        while len(result_files(self.where)) < files and self.process.poll() is None:
            time.sleep(0.001)
        self.process.send_signal(how)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


def result_files(where: Path) -> list[str]:
    folder = where / "results"
    return sorted(path.name for path in folder.glob("*.json")) if folder.exists() else []


def finish(where: Path, monkeypatch, capsys, command=ENERGY) -> tuple[int, int]:
    """Run to the end in this process: how many cells were computed, and how many found."""
    monkeypatch.chdir(where)
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", printed.out)}
    assert counts["cells"] == CELLS == len(result_files(where))
    assert counts["not"] == counts["failed"] == 0
    return counts["computed"], counts["found"]


def report(where: Path, monkeypatch, capsys) -> str:
    """The csv report less its timing columns."""
    monkeypatch.chdir(where)
    assert cli.main(["report", "--format", "csv"]) == 0
    return without_timing(pd.read_csv(io.StringIO(capsys.readouterr().out))).to_csv()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of both evaluators: its directory."""
    where = tmp_path_factory.mktemp("whole")
    out = str(where / "results")
    assert cli.main([*COMMAND, "energy-distance,mmd", "--out", out]) == 0
    return where


def test_killed_again_and_again_it_ends_in_the_same_table(tmp_path, whole, monkeypatch, capsys):
    kept: dict[str, bytes] = {}
    for files in (1, 9, 20):
        code, out, err = Bench(tmp_path, *ENERGY).stop(files, signal.SIGKILL)
        assert (code, out, err) == (-signal.SIGKILL, "", "")
        now = {name: (tmp_path / "results" / name).read_bytes() for name in result_files(tmp_path)}
        assert files <= len(now) < CELLS
        assert kept.items() <= now.items()  # nothing is computed or written twice
        kept = now
    # What a process leaves behind if it is killed while it writes: it is no result.
    (tmp_path / "results" / f".{'0' * 16}.json.1.aa.tmp").write_text('{"format": 1, "ce')
    missing = CELLS - len(kept)
    assert finish(tmp_path, monkeypatch, capsys) == (missing, len(kept))
    monkeypatch.chdir(whole)
    both = load_results()
    assert len(both) == 2 * CELLS
    done = load_results(tmp_path)
    alone = both[both.metric == "energy-distance"].reset_index(drop=True)
    assert without_timing(done).equals(without_timing(alone))
    assert finish(tmp_path, monkeypatch, capsys, [*COMMAND, "mmd"]) == (CELLS, 0)
    assert report(tmp_path, monkeypatch, capsys) == report(whole, monkeypatch, capsys)


def test_two_at_once_lose_nothing(tmp_path, whole, monkeypatch, capsys):
    one = Bench(tmp_path, *COMMAND, "energy-distance,mmd")
    other = Bench(tmp_path, *COMMAND, "mmd")
    for process in (one, other):
        code, out, err = process.end()
        assert (code, err) == (0, "")
        assert out.startswith(f"{CELLS} cells: ")
        assert out.endswith("0 failed (sgmkit report shows them)\n")
    names = os.listdir(tmp_path / "results")
    assert sorted(names) == [".lock", *result_files(tmp_path)]
    table = without_timing(load_results(tmp_path))
    assert table.equals(without_timing(load_results(whole)))
    assert report(tmp_path, monkeypatch, capsys) == report(whole, monkeypatch, capsys)
    command = [*COMMAND, "mmd,energy-distance"]
    assert finish(tmp_path, monkeypatch, capsys, command) == (0, CELLS)


def test_interrupted_it_says_how_to_go_on(tmp_path, whole, monkeypatch, capsys):
    code, out, err = Bench(tmp_path, *ENERGY).stop(3, signal.SIGINT)
    files = [name for name in os.listdir(tmp_path / "results") if name != ".lock"]
    assert 3 <= len(files) < CELLS
    assert sorted(files) == result_files(tmp_path)  # whole files only
    # Between the last file and its count there is a moment.
    expected = [
        f"sgmkit: interrupted: {n} of {CELLS} cells are in 'results'; "
        "the same command goes on from there\n"
        for n in (len(files), len(files) - 1)
    ]
    assert (code, out) == (2, "")
    assert err in expected
    assert finish(tmp_path, monkeypatch, capsys) == (CELLS - len(files), len(files))
    done = without_timing(load_results(tmp_path))
    both = load_results(whole)
    alone = both[both.metric == "energy-distance"].reset_index(drop=True)
    assert done.equals(without_timing(alone))


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.parametrize("library", ["_pydantic_core", "libtorch_cpu"])
def test_interrupted_during_imports_it_is_one_line(tmp_path, library):
    bench = Bench(tmp_path, *ENERGY)
    maps = Path(f"/proc/{bench.process.pid}/maps")
    while library not in maps.read_text() and bench.process.poll() is None:
        time.sleep(0.001)
    code, out, err = bench.stop(0, signal.SIGINT)
    assert (code, out, err) == (2, "", "sgmkit: interrupted\n")
    assert os.listdir(tmp_path) == []


def test_interrupted_before_the_cells_are_known_it_does_not_count_them(
    tmp_path, monkeypatch, capsys
):
    def stopped(plan):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sgmkit.benching.runner.Schedule.of", stopped)
    assert cli.main(ENERGY) == 2
    assert capsys.readouterr() == ("", "sgmkit: interrupted\n")
    assert os.listdir(tmp_path) == []
