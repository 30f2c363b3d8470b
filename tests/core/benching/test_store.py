"""Results on disk: nothing is lost, nothing half-written is read, and order never matters."""

import json
import math
import os
import re
import subprocess
import sys

import pytest
from support.report_rows import message

from sgmkit.benching.results import load_results
from sgmkit.benching.rows import Row
from sgmkit.benching.store import Store
from sgmkit.errors import UnknownName, UserError

CELL = {"sde": {"name": "cld", "gamma": 0.04}, "steps": 50, "seed": 0}


def row(**changes):
    return Row(
        **{"metric": "energy", "solver": "euler", "value": 0.5, "seed": 0, "hash": "ab12"} | changes
    )


def test_rows_come_back_as_they_were(tmp_path):
    store = Store(tmp_path / "new" / "results")
    rows = [
        row(ci_low=-math.inf, ci_high=math.inf, steps=50, nfe=50.0, options="churn=0.5"),
        row(metric="mmd", value=math.nan, status="n/a", reason="γ | no", seed=1, params=7),
    ]
    store.write("ab12", CELL, rows)
    back = store.rows("ab12")
    assert back[0] == rows[0]
    assert math.isnan(back[1].value)
    assert repr(back[1]) == repr(rows[1])  # nan is not equal to itself
    payload = json.loads(
        (tmp_path / "new/results/ab12.json").read_text(), parse_constant=pytest.fail
    )
    assert payload["format"] == 1
    assert payload["cell"] == CELL
    assert payload["rows"][1]["value"] is None
    assert store.read("ab12") == payload
    assert store.valid("ab12")


def test_absent_cell(tmp_path):
    store = Store(tmp_path)
    assert store.read("ab12") is None
    assert store.rows("ab12") == []
    assert not store.valid("ab12")


def test_crash_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write("ab12", CELL, [row(value=1.0)])

    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write("ab12", CELL, [row(value=2.0)])
    assert [r.value for r in store.rows("ab12")] == [1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["ab12.json"]


def test_what_a_killed_process_leaves_behind_is_ignored(tmp_path):
    store = Store(tmp_path)
    code = f"""
import os
from sgmkit.benching.rows import Row
from sgmkit.benching.store import Store
os.replace = lambda source, target: os._exit(9)
Store({str(tmp_path)!r}).write("cd34", {{}}, [Row(metric="lost")])
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=os.getcwd()).returncode == 9
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.cd34\.json\..*\.tmp", left.name)
    assert not store.valid("cd34")
    with pytest.raises(UnknownName, match="no results at"):
        load_results(tmp_path)
    (tmp_path / "._cd34.json").write_text("some file systems leave such")
    store.write("cd34", CELL, [row()])
    assert list(load_results(tmp_path)["metric"]) == ["energy"]


@pytest.mark.parametrize("keep", [0, 1, 20, 200, -3])
def test_a_file_cut_short(tmp_path, keep):
    store = Store(tmp_path)
    store.write("ab12", CELL, [row()])
    path = store.path("ab12")
    whole = path.read_text()
    cut = whole[:keep]
    path.write_text(cut)
    assert not store.valid("ab12")  # the bench computes it again
    with pytest.raises(UserError) as error:
        load_results(tmp_path)
    where = r"line \d+ column \d+"
    expected = rf"{re.escape(str(path))} is cut short or not a results file \({where}\); "
    assert re.fullmatch(expected + "delete it and run the bench again", message(error))
    store.write("ab12", CELL, [row()])
    assert path.read_text() == whole


def test_the_place_of_the_cut_is_named(tmp_path):
    path = tmp_path / "ab12.json"
    path.write_text('{"format": 1, "cell"')
    with pytest.raises(UserError) as error:
        load_results(path)
    assert message(error) == (
        f"{path} is cut short or not a results file (line 1 column 21); "
        "delete it and run the bench again"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", "{} is not a results file (no format); move it somewhere else"),
        ('{"format": 1}', "{} is not a results file (no cell); move it somewhere else"),
        (
            '{"format": 2, "cell": {}, "rows": []}',
            "{} has format 2 and this sgmkit reads 1; use the sgmkit that wrote it",
        ),
        (
            '{"format": 1, "cell": {}, "rows": [{"metric": 3}]}',
            "{} is cut short or not a results file (row 0: metric is 3); "
            "delete it and run the bench again",
        ),
        (
            '{"format": 1, "cell": {}, "rows": [{"metric": "x", "value": "high"}]}',
            "{} is cut short or not a results file (row 0: could not convert string to float: "
            "'high'); delete it and run the bench again",
        ),
    ],
)
def test_json_that_is_no_results_file(tmp_path, text, expected):
    path = tmp_path / "ab12.json"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_results(path)
    assert message(error) == expected.format(path)
    if "cut short" in expected:  # made again; nothing else is written over
        assert not Store(tmp_path).valid("ab12")
    else:
        with pytest.raises(UserError) as error:
            Store(tmp_path).valid("ab12")
        assert message(error) == expected.format(path)


def test_a_later_version_may_add_a_column(tmp_path):
    text = '{"format": 1, "cell": {}, "rows": [{"metric": "x", "value": 2, "colour": "red"}]}'
    (tmp_path / "ab12.json").write_text(text)
    assert Store(tmp_path).rows("ab12") == [Row(metric="x", value=2.0)]


def test_missing_path(tmp_path):
    with pytest.raises(UnknownName) as error:
        load_results(tmp_path / "nowhere")
    assert message(error) == f"no results at '{tmp_path}/nowhere'; run sgmkit bench first"


def test_check_writable_leaves_no_trace(tmp_path):
    Store(tmp_path / "a" / "b").check_writable()
    assert list(tmp_path.iterdir()) == []


def test_read_only_directory(tmp_path, monkeypatch):
    # As root, permissions do not bind: the system's answer is stood in for.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    for directory in (tmp_path, tmp_path / "a" / "b"):
        with pytest.raises(UserError) as error:
            Store(directory).check_writable()
        assert message(error) == (
            f"cannot write to results directory '{directory}': Permission denied; "
            "choose another with --out"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_read_only_directory_for_real(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied; choose another with --out"):
        Store(tmp_path).check_writable()


def test_results_directory_is_a_file(tmp_path):
    (tmp_path / "results").write_text("mine")
    store = Store(tmp_path / "results")
    with pytest.raises(UserError) as error:
        store.check_writable()
    assert message(error) == (
        f"cannot write to results directory '{tmp_path}/results': Not a directory; "
        "choose another with --out"
    )
    with pytest.raises(UserError, match="cannot write to results directory"):
        store.write("ab12", CELL, [row()])
    assert (tmp_path / "results").read_text() == "mine"


def test_disk_full(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as error:
        Store(tmp_path).write("ab12", CELL, [row()])
    assert message(error) == (
        f"cannot write to results directory '{tmp_path}': No space left on device; "
        "choose another with --out"
    )
    assert list(tmp_path.iterdir()) == []


def test_two_processes_lose_nothing(tmp_path):
    code = f"""
import sys
from sgmkit.benching.rows import Row
from sgmkit.benching.store import Store
who, store = int(sys.argv[1]), Store({str(tmp_path)!r})
for i in range(60):
    own = f"own{{who}}{{i:02}}"
    store.write(own, {{}}, [Row(metric="x", seed=who, hash=own)])
    store.write(f"both{{i:02}}", {{}}, [Row(metric="y", value=1.0, hash=f"both{{i:02}}")])
    assert store.valid(f"both{{i:02}}")
"""
    pair = [subprocess.Popen([sys.executable, "-c", code, str(who)]) for who in (0, 1)]
    assert [process.wait() for process in pair] == [0, 0]
    frame = load_results(tmp_path)
    assert frame.groupby("metric").size().to_dict() == {"x": 120, "y": 60}
    assert len(list(tmp_path.iterdir())) == 180


def test_import_is_light():
    code = (
        "import sys, sgmkit.benching.results, sgmkit.benching.store;"
        "sys.exit(bool({'torch', 'pandas', 'rich'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
