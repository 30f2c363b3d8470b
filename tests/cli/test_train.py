"""`sgmkit train`: where a run goes, what resumes it, and one line for each mistake."""

import os
from pathlib import Path

import pytest
import torch
from support.train_fixtures import TINY, last_bytes, train

from sgmkit.cli import app as cli
from sgmkit.training.run import Run

CORES = len(os.sched_getaffinity(0))
SETTINGS = (
    "options: steps, batch, lr, warmup, lr_end, clip, ema, betas, eps, weight_decay, accumulate, "
    "precision, checkpoint_every, keep, log_every, samples_every"
)
WRONG = {
    "--steps 0": "--steps takes a whole number of at least 1; '0' is not one",
    "--seed x": "--seed takes a whole number of at least 0; 'x' is not one",
    "--devices 0": "--devices takes a whole number of at least 1; '0' is not one",
    "--nodes x": "--nodes takes a whole number of at least 1; 'x' is not one",
    "--strategy dpp": "--strategy takes auto or ddp, not 'dpp'; did you mean 'ddp'?",
    "--precision 8": (
        "option 'precision' of train: input should be '32', 'bf16-mixed' or '64', not 8"
    ),
    "--set train.lrr=1": f"unknown option 'lrr' for train; did you mean 'lr'? ({SETTINGS})",
    "--set lr": "--set takes key.sub=value, not 'lr'",
    "--recipe none.toml": "cannot read recipe 'none.toml': No such file or directory",
    "--model tny": "no model named 'tny'; did you mean 'tiny'? {model}",
    "--set model.network.widht=3": (
        "unknown option 'widht' for network 'line'; did you mean 'width'? (options: width, dropout)"
    ),
    "--set train.accumulate=3": (
        "train.batch=8 is not a multiple of 3 = 1 x 3 (devices x train.accumulate): take 6 or 9"
    ),
    "--set data.count=0": (
        "option 'count' of dataset 'points': input should be greater than or equal to 1, not 0"
    ),
    "--out a-file": "'a-file' is a file; choose another --out",
    "--out full": "'full' is not empty and holds no run; choose another --out",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, words, capsys):
    from sgmkit import registry

    Path("a-file").write_text("x")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("x")
    before = sorted(str(path) for path in Path().rglob("*"))
    assert cli.main([*TINY, *words.split()]) == 2
    shown = f"(sgmkit list model shows all {len(registry.offers('model'))})"
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"sgmkit: {WRONG[words].replace('{model}', shown)}\n")
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_devices_that_are_not_there(tiny, monkeypatch, capsys):
    assert cli.main([*TINY, "--devices", str(CORES + 1)]) == 2
    cores = f"{CORES} CPU core{'s' * (CORES != 1)}"
    assert capsys.readouterr().err == (
        f"sgmkit: --devices {CORES + 1}: this machine has {cores}; ask for at most {CORES}\n"
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert cli.main([*TINY, "--devices", "3"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: --devices 3: this machine has 2 GPUs; ask for at most 2\n"
    )
    assert os.listdir() == []


def test_a_run_is_named_by_what_it_is(tiny, capsys):
    assert cli.main(TINY) == 0
    (path,) = Path("runs").iterdir()
    run = Run(path)
    assert path.name == f"tiny-vp-points-{run.experiment.hash[:8]}"
    assert capsys.readouterr().out.startswith(f"{path}: 12 steps, loss 0.")
    assert cli.main([*TINY, "--steps", "3"]) == 2  # the same run, however far it goes
    assert capsys.readouterr().err == (
        f"sgmkit: '{path}' holds a run: --resume continues it, --out writes elsewhere\n"
    )
    assert cli.main([*TINY, "--resume"]) == 0
    assert (
        capsys.readouterr().out
        == f"{path}: 12 steps are done already; a larger --steps continues\n"
    )
    assert cli.main([*TINY, "--seed", "1"]) == 0
    assert len(list(Path("runs").iterdir())) == 2


def test_what_is_not_said_again_stays_as_it_was(tiny):
    whole = train("--sde", "cld", "--set", "train.batch=4", out="whole")
    train("--sde", "cld", "--set", "train.batch=4", "--steps", "5")
    assert cli.main(["train", "--resume", "--out", "run", "--steps", "12"]) == 0
    assert last_bytes(Run("run")) == last_bytes(whole)
    assert Run("run").experiment == whole.experiment


def test_a_recipe_trains_and_resumes(tiny):
    one = train("--steps", "5", out="one")
    recipe = ["--recipe", "one/experiment.toml"]
    assert cli.main(["train", *recipe, "--out", "two"]) == 0
    assert last_bytes(Run("two")) == last_bytes(one)
    assert cli.main(["train", *recipe, "--out", "two", "--resume", "--steps", "7"]) == 0
    assert Run("two").step == 7


OTHERS = {
    "--set train.lr=0.5": "train.lr=0.01, not 0.5",
    "--sde cld": "model.sde=sdes/vp, not sdes/cld",
    "--set model.network.dropout=0.1": "model.network.dropout=0.3, not 0.1",
    "--seed 3": "seed=0, not 3",
    "--recipe other.toml --set train.batch=8": "data=train_parts/points, not datasets/two-moons",
}


@pytest.mark.parametrize("words", OTHERS)
def test_another_recipe_does_not_resume_a_run(tiny, words, capsys):
    run = train("--steps", "4")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    Path("other.toml").write_text(
        'data = "two-moons"\n[model]\nname="tiny"\nnetwork="line:dropout=0.3"\n'
        "[train]\nlr=0.01\nwarmup=5\n"
    )
    capsys.readouterr()
    assert cli.main(["train", "--resume", "--out", "run", "--steps", "12", *words.split()]) == 2
    assert capsys.readouterr() == (
        "",
        f"sgmkit: 'run' was trained with {OTHERS[words]}: "
        "leave that unchanged, or train another run with --out\n",
    )
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_there_must_be_something_to_resume(tiny, capsys):
    for path in ("typo", "empty"):
        Path("empty").mkdir(exist_ok=True)
        assert cli.main(["train", "--resume", "--out", path, "--steps", "3"]) == 2
        assert capsys.readouterr().err == (
            f"sgmkit: nothing to resume in '{path}': leave out --resume to start a training there\n"
        )
    assert cli.main([*TINY, "--resume", "--out", "empty"]) == 0  # killed before it wrote a thing
    assert last_bytes(Run("empty")) == last_bytes(train(out="whole"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_one_line(tiny, capsys):
    Path("locked").mkdir(mode=0o500)
    assert cli.main([*TINY, "--out", "locked/run"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: cannot write in 'locked/run': Permission denied; choose another --out\n"
    )


def test_a_run_below_a_file_is_one_line(tiny, capsys):
    Path("a-file").write_text("x")
    assert cli.main([*TINY, "--out", "a-file/run"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: cannot write in 'a-file/run': Not a directory; choose another --out\n"
    )


REAL = ["--steps", "4", "--set", "train.batch=8", "--set", "train.checkpoint_every=2"]
CASES = {
    "mlp": ["--data", "two-moons", "--network", "mlp:width=16:depth=1", "--sde", "cld"],
    "unet": ["--network", "unet:channels=8:multipliers=(1,):blocks=1", "--sde", "vp"],
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_that_comes_with_it_trains(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    command = ["train", "--model", "sgm", *CASES[case], *REAL]
    assert cli.main([*command, "--out", "whole"]) == 0
    assert cli.main([*command, "--out", "run", "--steps", "3"]) == 0
    assert cli.main([*command, "--out", "run", "--resume"]) == 0
    assert last_bytes(Run("run")) == last_bytes(Run("whole"))
    model = Run("run").load()
    assert model.event == Run("run").experiment.dataset.event
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert Path("run/samples/step-00000004.png").read_bytes()[:4] == b"\x89PNG"
