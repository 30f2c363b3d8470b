"""`sgmkit bench` on trained runs: which runs, and what their rows say."""

from pathlib import Path

from support.train_fixtures import train

from sgmkit.benching.results import load_results
from sgmkit.cli import app as cli

QUICK = [
    *("bench", "--solvers", "euler,ddim", "--nfe", "3", "--samples", "20", "--seeds", "2"),
    *("--evaluators", "energy-distance"),
]


def rows(out: str = "results"):
    frame = load_results(out)
    return frame[frame.scope == "cell"]


def test_all_runs_by_default_or_those_named(tiny, capsys):
    train(out="runs/one")
    train("--seed", "1", out="runs/two")
    assert cli.main(QUICK) == 0
    frame = rows()
    assert set(frame.run) == {"one@12", "two@12"}
    assert set(frame.seed) == {0, 1}
    assert (frame.nfe == 3).all()
    assert frame.value.nunique() == 8  # two runs, two solvers, two seeds
    assert cli.main([*QUICK, "runs/two", "--out", "named"]) == 0
    assert set(rows("named").run) == {"two@12"}
    capsys.readouterr()
    assert cli.main(QUICK) == 0
    assert " 0 computed" in capsys.readouterr().out


def test_more_training_is_another_subject(tiny, capsys):
    run = train(out="runs/one")
    assert cli.main(QUICK) == 0
    assert cli.main(["train", "--resume", "--steps", "16", "--out", str(run.path)]) == 0
    assert cli.main(QUICK) == 0
    frame = rows()
    assert len(frame) == 8  # the rows of the weights before stay
    assert frame.hash.nunique() == 8
    assert frame.value.nunique() == 8
    assert set(frame.run) == {"one@12", "one@16"}  # or a report would take them for one
    capsys.readouterr()
    assert cli.main(QUICK) == 0
    assert " 0 computed" in capsys.readouterr().out


def test_a_run_has_its_parts(tiny, capsys):
    train(out="runs/one")
    capsys.readouterr()
    for words in (["--sde", "vp"], ["--data", "digits"], ["--model", "exact"]):
        assert cli.main([*QUICK, "runs/one", *words]) == 2
        assert capsys.readouterr().err == (
            "sgmkit: a run has its model, sde and data: name runs, or --model, --sde and --data\n"
        )
    assert cli.main([*QUICK, "runs/none"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: 'runs/none' is not a run directory (no experiment.toml); sgmkit train makes one\n"
    )
    assert not Path("results").exists()
