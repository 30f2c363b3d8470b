"""Killed at any moment, a training goes on and ends in the same bits; interrupted, it says how."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.train_fixtures import TINY, Job, last_bytes, log, train

from sgmkit.cli import app as cli
from sgmkit.training.run import Run

COMMAND = [*TINY, "--out", "run"]
POINTS = {
    "before the directory": ("pathlib:Path.mkdir", 1),
    "before the description": ("sgmkit._util.files:os.fsync", 1),
    "before the first step": ("sgmkit.training.loop:Training.step", 1),
    "before the first checkpoint": ("sgmkit.training.loop:Training.step", 3),
    "between log and first checkpoint": ("sgmkit.training.run:Run.save_checkpoint", 1),
    "in a checkpoint's bytes": 2000,
    "before a checkpoint is named": ("sgmkit._util.files:os.replace", 2),
    "after a checkpoint": ("sgmkit.training.loop:Training.step", 5),
    "in a step": ("sgmkit.training.averages:Averages.update", 6),
    "between log and checkpoint": ("sgmkit.training.run:Run.save_checkpoint", 2),
    "before an old checkpoint goes": ("pathlib:Path.unlink", 1),
    "before the last checkpoint": ("sgmkit.training.run:Run.save_checkpoint", 3),
}


@pytest.fixture
def whole(tiny):
    """The same training without interruption."""
    return train(out="whole")


@pytest.mark.parametrize("kill", POINTS.values(), ids=POINTS)
def test_killed_it_ends_in_the_same_bits(whole, kill):
    code, err = Job(COMMAND, kill).end()
    assert (code, err) == (-(signal.SIGXFSZ if isinstance(kill, int) else signal.SIGKILL), "")
    assert Job([*COMMAND, "--resume"]).end() == (0, "")
    run = Run("run")
    assert last_bytes(run) == last_bytes(whole)
    assert log(run) == log(whole)
    assert [line["step"] for line in log(run)] == [3, 4, 6, 8, 9, 12]
    # The one that should have gone when it was killed stays.
    assert [p.name for p in run.checkpoints()[-2:]] == [p.name for p in whole.checkpoints()]
    assert not [p for p in Path("run/checkpoints").iterdir() if p.suffix == ".tmp"]


def test_killed_again_and_again_it_ends_in_the_same_bits(whole):
    kills = [("sgmkit.training.loop:Training.step", n) for n in (3, 6, 5)]
    for kill, flags in zip(kills, ([], ["--resume"], ["--resume"]), strict=True):
        assert Job([*COMMAND, *flags], kill).end() == (-signal.SIGKILL, "")
    assert [p.name for p in Run("run").checkpoints()] == [
        f"step-0000000{n}.safetensors" for n in (4, 8)
    ]
    train("--resume")
    assert last_bytes(Run("run")) == last_bytes(whole)
    assert log(Run("run")) == log(whole)


def test_a_cut_checkpoint_is_named_and_the_one_before_it_serves(whole, capsys):
    assert Job(COMMAND, ("sgmkit.training.run:Run.save_checkpoint", 3)).end()[0] == -signal.SIGKILL
    good, newest = Run("run").checkpoints()
    newest.write_bytes(newest.read_bytes()[:-1])
    capsys.readouterr()
    train("--resume")
    assert capsys.readouterr().err == (
        f"{newest} is cut short or no checkpoint (incomplete metadata, file not fully covered); "
        f"delete it, and the one before serves: going on from {good}\n"
    )
    assert last_bytes(Run("run")) == last_bytes(whole)
    assert log(Run("run")) == log(whole)


def test_interrupted_it_ends_the_step_and_says_how_to_go_on(whole):
    job = Job([*COMMAND, "--set", "model.pause=0.05"])
    while not Path("run/log.jsonl").exists():
        time.sleep(0.001)
    os.kill(job.process.pid, signal.SIGINT)
    code, err = job.end()
    (newest,) = Run("run").checkpoints()[-1:]
    step = int(newest.stem[5:])
    assert 3 <= step < 12
    assert (code, err) == (
        2,
        f"sgmkit: interrupted: step {step} of 12 is in 'run'; "
        "sgmkit train --resume --out run continues it\n",
    )
    assert log(Run("run"))[-1]["step"] == step
    assert cli.main(["train", "--resume", "--out", "run"]) == 0
    slow = train("--set", "model.pause=0.001", out="slow")
    assert Run("run").content == slow.content == whole.content


def test_more_steps_extend_a_run(whole, capsys):
    train("--steps", "5", out="run")
    shutil.copytree("run", "short")
    assert cli.main(["train", "--resume", "--out", "run", "--steps", "12"]) == 0
    assert last_bytes(Run("run")) == last_bytes(whole)
    assert Run("run").experiment.settings.steps == 12
    capsys.readouterr()
    assert cli.main(["train", "--resume", "--out", "short"]) == 0
    assert capsys.readouterr() == (
        "short: 5 steps are done already; a larger --steps continues\n",
        "",
    )
    assert cli.main(["train", "--resume", "--out", "short", "--steps", "3"]) == 0
    assert Run("short").experiment.settings.steps == 5
