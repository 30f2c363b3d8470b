"""`sgmkit bench` on trained runs: which runs, judged by whom, and what their rows say."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from support.train_fixtures import train

from sgmkit.benching.results import load_results
from sgmkit.cli import app as cli
from sgmkit.cli.bench import _judges
from sgmkit.registry import resolve

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
    found = rows()
    assert set(found.run) == {"one@12", "two@12"}
    assert set(found.seed) == {0, 1}
    assert (found.nfe == 3).all()
    assert found.value.nunique() == 8  # two runs, two solvers, two seeds
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
    found = rows()
    assert len(found) == 8  # the rows of the weights before stay
    assert found.hash.nunique() == 8
    assert found.value.nunique() == 8
    assert set(found.run) == {"one@12", "one@16"}  # or a report would take them for one
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


def subject(data: str, event: tuple[int, ...], trained: bool = True) -> SimpleNamespace:
    source = "run" if trained else None
    return SimpleNamespace(source=source, event=event, data=resolve("dataset", data))


GREY, COLOUR = (1, 8, 8), (3, 32, 32)
JUDGES = {
    "own classifier": ([("digits", GREY), ("digits", GREY)], ["fid[classifier]", "nll"]),
    "two data sets": ([("digits", GREY), ("mnist", (1, 28, 28))], ["fid[inception]", "nll"]),
    "colour": ([("folder:root=x", COLOUR)], ["fid[inception]", "nll"]),
    "vectors": ([("eight-gaussians", (2,))], ["sliced-wasserstein", "energy-distance", "nll"]),
    "exact": (
        [("digits", GREY, False)],
        ["sliced-wasserstein", "energy-distance", "trajectory", "nll"],
    ),
}


@pytest.mark.parametrize("case", JUDGES)
def test_who_judges_by_default(case):
    subjects, wanted = JUDGES[case]
    judges = _judges([subject(*words) for words in subjects])
    names = []
    for judge in judges:
        told = judge.describe()
        within = f"[{told['extractor']['name'].split('/')[1]}]" if "extractor" in told else ""
        names.append(told["name"].split("/")[1] + within)
    assert names == wanted
    if case == "own classifier":
        assert judges[0].describe()["extractor"]["data"]["name"] == "datasets/digits"
