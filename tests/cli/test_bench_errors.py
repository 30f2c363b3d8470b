"""What a user can get wrong: the whole message in one line, exit code 2, and nothing on disk moved.

The messages of ``list``, ``info`` and ``plugins`` are in test_cli_list.
"""

import os
import sys

import pytest

from sgmkit.cli import app as cli

QUICK = "--sde vp --samples 4 --seeds 1 --evaluators energy-distance"
HEUN = "options: churn, s_min, s_max, s_noise, alpha"
WHOLE = "whole numbers of at least 1, separated by commas"
REAL = "positive numbers, separated by commas"

NAMES = {
    "--solvers eulr": "no solver named 'eulr'; did you mean 'euler'? {solver}",
    "--solvers heun,solvers/heum": (
        "no solver named 'solvers/heum'; did you mean 'solvers/heun'? {solver}"
    ),
    "--solvers zzz": "no solver named 'zzz' {solver}",
    "--solvers heun --sde vpp": "no sde named 'vpp'; did you mean 'vp'? {sde}",
    "--solvers heun --data digit": "no dataset named 'digit'; did you mean 'digits'? {dataset}",
    "--solvers heun --model exacd": "no model named 'exacd'; did you mean 'exact'? {model}",
    "--solvers heun --grid logsn": "no grid named 'logsn'; did you mean 'logsnr'? {grid}",
    "--solvers heun --evaluators energy-distanc": (
        "no evaluator named 'energy-distanc'; did you mean 'energy-distance'? {evaluator}"
    ),
    "--solvers heun:churm=1": (
        f"unknown option 'churm' for solver 'heun'; did you mean 'churn'? ({HEUN})"
    ),
    "--solvers euler:churn=1": "unknown option 'churn' for solver 'euler' (it has none)",
    "--solvers heun --sde cld:gama=1": (
        "unknown option 'gama' for sde 'cld'; did you mean 'gamma'? "
        "(options: beta_0, beta_1, m_inv, gamma, numerical_eps)"
    ),
    "--solvers heun --data two-moons:stt=1": (
        "unknown option 'stt' for dataset 'two-moons'; did you mean 'std'? "
        "(options: components, std)"
    ),
    "--solvers heun --grid edm:row=1": (
        "unknown option 'row' for grid 'edm'; did you mean 'rho'? (options: rho)"
    ),
    "--solvers heun --last foo": "--last takes none or mean, not 'foo'",
    "--solvers heun --last meen": "--last takes none or mean, not 'meen'; did you mean 'mean'?",
    "--solvers heun --start exct": (
        "--start takes prior or exact, not 'exct'; did you mean 'exact'?"
    ),
}
VALUES = {
    "--solvers heun:churn=abc": (
        "option 'churn' of solver 'heun': input should be a valid number, not 'abc'"
    ),
    "--solvers heun:churn=-1": (
        "option 'churn' of solver 'heun': input should be greater than or equal to 0, not -1"
    ),
    "--solvers ssem:kick=foo": (
        "option 'kick' of solver 'ssem': input should be 'euler' or 'midpoint', not 'foo'"
    ),
    "--solvers rk45:rtol=0": (
        "option 'rtol' of solver 'rk45': input should be greater than 0, not 0"
    ),
    "--solvers heun --data two-moons:components=2.5": (
        "option 'components' of dataset 'two-moons': input should be a valid integer, not 2.5"
    ),
    "--solvers heun --model exact:bandwidth=-1": (
        "option 'bandwidth' of model 'exact': input should be greater than or equal to 0, not -1"
    ),
    "--solvers heun:churn": "heun:churn: expected key=value",
    "--solvers heun:churn=1:churn=2": "heun:churn=1:churn=2: option 'churn' is given twice",
    "--solvers heun:churn=(1": "heun:churn=(1: unbalanced brackets",
    "--solvers euler,,heun": "expected names separated by commas, not 'euler,,heun'",
    "--solvers heun --samples x": "--samples takes a whole number of at least 2; 'x' is not one",
    "--solvers heun --samples 3.": "--samples takes a whole number of at least 2; '3.' is not one",
    "--solvers heun --samples -5": "--samples takes a whole number of at least 2; '-5' is not one",
    "--solvers heun --samples 1": "--samples takes a whole number of at least 2; '1' is not one",
    "--solvers heun --seeds 0": "--seeds takes a whole number of at least 1; '0' is not one",
    "--solvers heun --steps 0": f"--steps takes {WHOLE}; '0' is not one",
    "--solvers heun --steps 5,-5": f"--steps takes {WHOLE}; '-5' is not one",
    "--solvers heun --steps 2.5": f"--steps takes {WHOLE}; '2.5' is not one",
    "--solvers heun --nfe 0": f"--nfe takes {WHOLE}; '0' is not one",
    "--solvers heun --nfe 5,": f"--nfe takes {WHOLE}; '' is not one",
    "--solvers heun --nfe 5 --steps 5": "give --nfe or --steps, not both",
    "--solvers rk45 --tol 0": f"--tol takes {REAL}; '0' is not one",
    "--solvers rk45 --tol 1e-3,-1": f"--tol takes {REAL}; '-1' is not one",
    "--solvers rk45 --tol nan": f"--tol takes {REAL}; 'nan' is not one",
    "--solvers rk45 --tol inf": f"--tol takes {REAL}; 'inf' is not one",
    "--solvers rk45 --tol x": f"--tol takes {REAL}; 'x' is not one",
    "--solvers heun --t-min 0": "--t-min takes a positive number; '0' is not one",
    "--solvers heun --t-min x": "--t-min takes a positive number; 'x' is not one",
    "--solvers heun --t-min 2": "t_min of 'vp' must lie between 0 and 1, not 2",
    "--solvers heun --t-min 1 --sde edm,cld:gamma=.1": (
        "t_min of 'cld:gamma=0.1' must lie between 0 and 1, not 1"
    ),
    "--solvers heun --model exact:t_min=3": "t_min of 'vp' must lie between 0 and 1, not 3",
    "--solvers heun --sde ve:sigma_min=60": "sde 've': sigma_max = 50.0 must exceed sigma_min",
}
USAGE = {
    "bench": "Missing option '--solvers' (sgmkit bench --help)",
    "bensh": "No such command 'bensh'. Did you mean 'bench'? (sgmkit --help)",
    "bench --solvers": "Option '--solvers' requires an argument (sgmkit --help)",
    "bench somewhere --solvers heun": (
        "'somewhere' is not a run directory (no experiment.toml); sgmkit train makes one"
    ),
    "bench somewhere --sde vp --solvers heun": (
        "a run has its model, sde and data: name runs, or --model, --sde and --data"
    ),
    "report some where --format": "Option '--format' requires an argument (sgmkit --help)",
    "check one two": "Got unexpected extra argument(s) (two) (sgmkit check --help)",
}
PATHS = {
    "report nowhere": "no results at 'nowhere'; run sgmkit bench first",
    "report empty": "no results at 'empty'; run sgmkit bench first",
    "report results gone.json": "no results at 'gone.json'; run sgmkit bench first",
    "report cut": (
        "cut/0123.json is cut short or not a results file (line 1 column 13); "
        "delete it and run the bench again"
    ),
    "report results cut/0123.json": (
        "cut/0123.json is cut short or not a results file (line 1 column 13); "
        "delete it and run the bench again"
    ),
    "report other": (
        "other/package.json is not a results file (no format); move it somewhere else"
    ),
    "report results --format tabel": (
        "no report format 'tabel'; did you mean 'table'? (table, markdown, latex, csv, json, html)"
    ),
    "report results --out file/report.md --format markdown": (
        "cannot write report to 'file/report.md': Not a directory; choose another with --out"
    ),
    f"bench --solvers euler {QUICK} --out file": (
        "cannot write to results directory 'file': Not a directory; choose another with --out"
    ),
    f"bench --solvers euler {QUICK} --out file/results": (
        "cannot write to results directory 'file/results': Not a directory; "
        "choose another with --out"
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with good results, a file cut short, and what is no results at all."""
    place = tmp_path_factory.mktemp("place")
    for name in ("empty", "cut", "other"):
        (place / name).mkdir()
    (place / "file").write_text("mine\n")
    (place / "cut" / "0123.json").write_text('{"format": 1')
    (place / "other" / "package.json").write_text('{"name": "x"}')
    args = ["bench", "--solvers", "euler", "--nfe", "2", *QUICK.split()]
    assert cli.main([*args, "--out", str(place / "results")]) == 0
    return place


def listing(place):
    """Everything under a directory: kind, time of change and content."""
    return {
        path.relative_to(place): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (place, *place.rglob("*"))
    }


def refused(place, monkeypatch, capsys, args):
    """The one line on standard error of a command that changes nothing and ends with 2."""
    monkeypatch.chdir(place)
    before = listing(place)
    assert len(before) > 7
    code = cli.main(args)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert listing(place) == before
    assert err.startswith("sgmkit: ")
    return err.removeprefix("sgmkit: ").removesuffix("\n")


def shown(kind):
    from sgmkit import components

    return f"(sgmkit list {kind} shows all {len(components(kind))})"


@pytest.mark.parametrize("args", [*NAMES, *VALUES])
def test_a_name_or_a_value_is_wrong(place, monkeypatch, capsys, args):
    kinds = ("solver", "sde", "dataset", "model", "grid", "evaluator")
    expected = {**NAMES, **VALUES}[args].format(**{kind: shown(kind) for kind in kinds})
    assert refused(place, monkeypatch, capsys, ["bench", *args.split()]) == expected


@pytest.mark.parametrize("text", ["", " "])
def test_no_solvers(place, monkeypatch, capsys, text):
    message = refused(place, monkeypatch, capsys, ["bench", "--solvers", text])
    assert message == f"expected names separated by commas, not {text!r}"


def test_no_tolerance_and_no_directory(place, monkeypatch, capsys):
    message = refused(place, monkeypatch, capsys, ["bench", "--solvers", "rk45", "--tol", ""])
    assert message == f"--tol takes {REAL}; '' is not one"
    message = refused(place, monkeypatch, capsys, ["bench", "--solvers", "rk45", "--out", ""])
    assert message == "--out takes the name of a directory, not ''"


@pytest.mark.parametrize("args", USAGE)
def test_the_command_itself_is_wrong(place, monkeypatch, capsys, args):
    assert refused(place, monkeypatch, capsys, args.split()) == USAGE[args]


@pytest.mark.parametrize("args", PATHS)
def test_a_path_is_wrong(place, monkeypatch, capsys, args):
    assert refused(place, monkeypatch, capsys, args.split()) == PATHS[args]


def bench(out):
    return ["bench", "--solvers", "euler", "--nfe", "3", *QUICK.split(), "--out", str(out)]


def test_results_directory_that_may_not_be_written(place, monkeypatch, capsys):
    """Told before any work. Where the tests run as root, the answer of the system is put on."""
    access = os.access
    writes = os.W_OK | os.X_OK
    readable = lambda path, mode: mode != writes and access(path, mode)  # noqa: E731
    monkeypatch.setattr(os, "access", readable)
    monkeypatch.setattr("sgmkit.benching.runner.compute", None)
    for out in ("results", "results/deeper/still"):
        assert refused(place, monkeypatch, capsys, bench(out)) == (
            f"cannot write to results directory '{out}': Permission denied; "
            "choose another with --out"
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_directory_that_may_really_not_be_written(place, monkeypatch, capsys):
    (place / "results").chmod(0o500)
    try:
        assert refused(place, monkeypatch, capsys, bench("results")) == (
            "cannot write to results directory 'results': Permission denied; "
            "choose another with --out"
        )
    finally:
        (place / "results").chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_results_directory_that_cannot_be_made(place, monkeypatch, capsys):
    """Nobody can make a directory there, and root is not told so before it tries."""
    message = refused(place, monkeypatch, capsys, bench("/proc/results"))
    why = "No such file or directory" if os.access("/proc", os.W_OK) else "Permission denied"
    assert message == (
        f"cannot write to results directory '/proc/results': {why}; choose another with --out"
    )


def test_a_disk_that_fills_up_keeps_what_is_there(place, monkeypatch, capsys):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sgmkit.benching.store.write_atomic", full)
    assert refused(place, monkeypatch, capsys, bench("results")) == (
        "cannot write to results directory 'results': No space left on device; "
        "choose another with --out"
    )
