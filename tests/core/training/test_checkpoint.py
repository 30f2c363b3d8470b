"""Checkpoints: what they state, and what is refused or left when writing fails."""

import errno
import os

import pytest
import torch
from safetensors.torch import save_file
from support.train_fixtures import TINY, Job, last_bytes, tensors, train

from sgmkit.errors import BadValue, UserError
from sgmkit.training import checkpoint
from sgmkit.training.run import Run


def test_a_checkpoint_says_what_it_is(tiny):
    run = train()
    facts = checkpoint.facts_of(run.latest())
    assert facts == checkpoint.Facts(12, 96, 0, run.experiment.hash, progress=11 / 12)
    stored = tensors(run)
    assert {name.partition("/")[0] for name in stored} == {"model", "average", "optimiser"}
    assert "average/fixed" not in stored
    assert stored["model/network.seen"] == 96  # a buffer: kept as it is, not averaged
    assert "average/network.seen" not in stored
    assert len(run.checkpoints()) == 2
    assert len(train("--set", "train.keep=5", out="more").checkpoints()) == 3


def test_a_full_disk_leaves_what_was_there(tiny, monkeypatch, capsys):
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 5:  # the description and one checkpoint took four
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle)

    monkeypatch.setattr("sgmkit._util.files.os.fsync", full)
    run = train(code=2)
    assert capsys.readouterr().err == (
        "sgmkit: cannot write in 'run': No space left on device; once there is room, "
        "sgmkit train --resume --out run goes on\n"
    )
    assert sorted(os.listdir("run/checkpoints")) == ["step-00000004.safetensors"]
    train("--resume")
    monkeypatch.setattr("sgmkit._util.files.os.fsync", real)
    assert last_bytes(run) == last_bytes(train(out="whole"))


def test_a_file_that_ends_early_leaves_what_was_there(tiny):
    """No room in earnest: the system refuses the second half of the first checkpoint."""
    code, err = Job([*TINY, "--out", "run"], room=2000).end()
    assert (code, err) == (
        2,
        "sgmkit: cannot write in 'run': File too large; once there is room, "
        "sgmkit train --resume --out run goes on\n",
    )
    assert os.listdir("run/checkpoints") == []


def spoilt(run, **changes):
    """The newest checkpoint with some of its tensors replaced."""
    path = run.latest()
    tensors, facts = checkpoint.read(path, ("",))
    checkpoint.write(path, {**tensors, **changes}, facts)
    return path


def message(call):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_foreign_checkpoint_is_one_line(tiny):
    run = train()
    path = run.latest()
    save_file({"weight": torch.zeros(3)}, path)
    assert message(Run("run").load) == (
        f"{path} is not a checkpoint of sgmkit; move it out of its directory"
    )
    save_file({"weight": torch.zeros(3)}, path, {"sgmkit": '{"format": 3}'})
    assert message(Run("run").load) == (
        f"{path} has format 3 and this sgmkit reads 1 to 2; use the sgmkit that wrote it"
    )
    path.unlink()
    path.mkdir()
    assert message(Run("run").load).startswith(f"cannot read {path}: ")


SCALE = "'scale' is (2,) there and () here"


EXTRA = "'extra' is (2,) there and absent here"


@pytest.mark.parametrize("part", ["model", "average"])
@pytest.mark.parametrize(("name", "difference"), [("scale", SCALE), ("extra", EXTRA)])
def test_a_checkpoint_of_another_model_is_one_line(tiny, part, name, difference, capsys):
    run = train()
    path = spoilt(run, **{f"{part}/{name}": torch.zeros(2)})
    full = (
        f"{path} is of another model than experiment.toml: {difference}; "
        "put back the one that belongs to the other"
    )
    with pytest.raises(BadValue):
        run.load()
    assert message(Run("run").load) == full
    capsys.readouterr()
    train("--resume", "--steps", "20", code=2)  # resuming says the same
    assert capsys.readouterr().err == f"sgmkit: {full}\n"


def test_tied_weights_are_kept(tmp_path):
    shared = torch.arange(3.0)
    facts = checkpoint.Facts(1, 2, 3, "x")
    checkpoint.write(tmp_path / "a", {"model/a": shared, "model/b": shared, "c": shared[:2]}, facts)
    stored, stated = checkpoint.read(tmp_path / "a", ("model/",))
    assert stated == facts
    assert sorted(stored) == ["model/a", "model/b"]
    assert torch.equal(stored["model/b"], shared)
