"""`sgmkit sample`: pictures, arrays, the way to a sample, and one line for each mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.train_fixtures import TINY, last_bytes, train

from sgmkit import SeededNoise, create, time_grid
from sgmkit.cli import app as cli
from sgmkit.training.run import Run


def sampled(*words: str) -> np.lib.npyio.NpzFile:
    assert cli.main(["sample", "run", *words, "--out", "got.npz"]) == 0
    return np.load("got.npz", allow_pickle=False)


def test_arrays_and_what_they_are(tiny, capsys):
    run = train()
    capsys.readouterr()
    got = sampled("--num", "5", "--steps", "4", "--solver", "ddim", "--seed", "3", "--last", "mean")
    assert capsys.readouterr().out == "5 samples, 5 network calls each: got.npz\n"
    assert got["x"].shape == (5, 2)
    assert got["x"].dtype == np.float32
    assert got["nfe"].tolist() == [5] * 5
    about = json.loads(str(got["about"]))
    assert about == {
        **{"run": "run", "weights": run.content, "step": 12, "seed": 3, "last": "mean"},
        **{
            "solver": {"name": "solvers/ddim", "lam": 0.0},
            "grid": {"name": "solvers/logsnr"},
            "steps": 4,
        },
    }
    model, ids = run.load(), range(5)
    grid = time_grid("logsnr", model.sde, 4, model.t_min)
    want = model.sample(5, create("solver", "ddim"), grid, SeededNoise(3, ids), last="mean")
    assert torch.allclose(torch.from_numpy(got["x"]), want.x, rtol=1e-5, atol=1e-6)


def test_the_batch_changes_no_sample_and_the_seed_all(tiny):
    train()
    whole, parts, other = (
        sampled("--num", "11", "--steps", "3", "--solver", "euler", *more)["x"]
        for more in ((), ("--batch", "3"), ("--seed", "1"))
    )
    assert np.allclose(whole, parts, rtol=1e-5, atol=1e-6)
    assert np.abs(whole - other).min() > 0
    few = sampled("--num", "4", "--steps", "3", "--solver", "euler")["x"]
    assert np.allclose(few, whole[:4], rtol=1e-5, atol=1e-6)


def test_pictures_go_to_the_run_by_default(tiny, capsys):
    run = train()
    capsys.readouterr()
    words = ["--num", "9", "--steps", "3", "--solver", "heun:churn=2", "--seed", "7"]
    assert cli.main(["sample", "run", *words, "--trajectory"]) == 0
    grid = run.path / "samples" / "heun-churn=2-3-seed7.png"
    strip = run.path / "samples" / "heun-churn=2-3-seed7-trajectory.png"
    assert capsys.readouterr().out.splitlines() == [
        f"9 samples, 6 network calls each: {grid}",
        f"trajectories of 8 of them: {strip}",
    ]
    for path in (grid, strip):
        with Image.open(path) as image:
            assert min(image.size) > 50
            low, high = image.convert("L").getextrema()
            assert high - low > 100  # something is drawn
    first = grid.read_bytes()
    assert cli.main(["sample", "run", *words]) == 0
    assert grid.read_bytes() == first


WRONG = {
    "nowhere": "'nowhere' is not a run directory (no experiment.toml); sgmkit train makes one",
    "run --steps 0": "--steps takes a whole number of at least 1; '0' is not one",
    "run --num x": "--num takes a whole number of at least 1; 'x' is not one",
    "run --seed -1": "--seed takes a whole number of at least 0; '-1' is not one",
    "run --batch 0": "--batch takes a whole number of at least 1; '0' is not one",
    "run --t-min 0": "--t-min takes a positive number; '0' is not one",
    "run --t-min 2": "t_min must lie between 0 and the horizon 1, not 2",
    "run --last meen": "--last takes none or mean, not 'meen'; did you mean 'mean'?",
    "run --solver huen": "no solver named 'huen'; did you mean 'heun'? {solver}",
    "run --grid logsnt": "no grid named 'logsnt'; did you mean 'logsnr'? {grid}",
    "run --out a.jpg": "--out 'a.jpg' ends in neither .png nor .npz",
    "empty": "no checkpoint in 'empty' yet; sgmkit train --resume --out empty goes on",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, words, capsys):
    from sgmkit import registry

    run = train()
    Path("empty").mkdir()
    Path("empty/experiment.toml").write_bytes((run.path / "experiment.toml").read_bytes())
    before = sorted(str(path) for path in Path().rglob("*"))
    capsys.readouterr()
    assert cli.main(["sample", *words.split()]) == 2
    printed = capsys.readouterr()
    shown = {
        kind: f"(sgmkit list {kind} shows all {len(registry.offers(kind))})"
        for kind in ("solver", "grid")
    }
    assert (printed.out, printed.err) == ("", f"sgmkit: {WRONG[words].format(**shown)}\n")
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_a_solver_that_cannot_is_named(tiny, capsys):
    assert cli.main([*TINY, "--sde", "subvp", "--out", "run"]) == 0
    capsys.readouterr()
    assert cli.main(["sample", "run", "--solver", "ssem"]) == 2
    printed = capsys.readouterr().err
    assert printed == "sgmkit: ssem needs constant matrices on a clock, which SubVP has not\n"
    assert not (Path("run") / "samples").exists()


def test_a_checkpoint_that_ends_early_is_named(tiny, capsys):
    run = train()
    path, whole = run.checkpoints()[-1], last_bytes(run)
    path.write_bytes(whole[:-7])
    capsys.readouterr()
    assert cli.main(["sample", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sgmkit: {path} is cut short or no checkpoint (")
    assert line.endswith("); delete it, and the one before serves")
    path.write_bytes(whole)
    assert cli.main(["sample", "run", "--steps", "2", "--num", "2"]) == 0
    assert Run("run").step == 12
