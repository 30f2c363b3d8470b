"""A run directory: its weights come back as they were, and what is no run is told in one line."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.train_fixtures import train

from sgmkit._util.hashing import fingerprint
from sgmkit.errors import BadValue, IncompleteFile, UserError
from sgmkit.training import checkpoint
from sgmkit.training.run import Run, find_runs


def test_the_averaged_weights_are_in_place(tiny):
    run = train()
    tensors, _ = checkpoint.read(run.latest(), ("model/", "average/"))
    mean, last = run.load(), run.load(which="last")
    for name, value in last.state_dict().items():
        assert torch.equal(value, tensors[f"model/{name}"])
        average = tensors.get(f"average/{name}", value)  # buffers and fixed weights have none
        assert torch.equal(mean.state_dict()[name], average)
    assert not torch.equal(mean.scale, last.scale)
    assert not mean.training
    assert not any(p.requires_grad for p in mean.parameters())
    assert (run.step, run.name) == (12, "run")
    assert run.experiment.settings.batch == 8


def test_weights_of_double_precision_stay_so(tiny):
    run = train("--precision", "64")
    assert {p.dtype for p in run.load().parameters()} == {torch.float64}
    tensors, _ = checkpoint.read(run.latest(), ("average/",))
    assert torch.equal(run.load().scale, tensors["average/scale"])


def test_content_is_of_the_weights_that_are_used(tiny):
    run = train()
    assert run.content == fingerprint(run.load().state_dict())
    assert run.content != fingerprint(run.load(which="last").state_dict())
    shutil.copytree("run", "copy")
    assert Run("copy").content == run.content
    assert train("--steps", "11", out="other").content != run.content
    state = run.load().state_dict()
    digests = {fingerprint(state)}
    digests.add(fingerprint({**state, "scale": state["scale"].double()}))
    digests.add(fingerprint({**state, "scale": state["scale"].reshape(1)}))
    digests.add(fingerprint({("b" + k if k == "scale" else k): v for k, v in state.items()}))
    assert len(digests) == 4


def test_a_run_stays_what_it_was_while_training_goes_on(tiny):
    train("--steps", "8")
    run = Run("run")
    content, step = run.content, run.step
    train("--resume", "--set", "train.keep=9")
    assert (run.content, run.step) == (content, step)
    assert fingerprint(run.load().state_dict()) == content
    assert (Run("run").content != content, Run("run").step) == (True, 12)


def test_runs_are_found_by_name(tiny):
    for name in ("b", "a"):
        train("--steps", "1", out=f"runs/{name}")
    Path("runs/c").mkdir()
    assert [run.name for run in find_runs()] == ["a", "b"]
    assert find_runs("nowhere") == []


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


def test_what_is_no_run_is_one_line(tiny):
    Path("empty").mkdir()
    for path in ("empty", "nowhere"):
        assert message(lambda path=path: Run(path)) == (
            f"'{path}' is not a run directory (no experiment.toml); sgmkit train makes one"
        )


def test_a_run_without_a_checkpoint_is_one_line(tiny):
    train("--model", "tiny:spoil=0", code=2)
    told = "no checkpoint in 'run' yet; sgmkit train --resume --out run goes on"
    assert message(Run("run").load) == told
    assert Run("run").last_good() == (None, [])


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (0, "header too small"),
        (100, "invalid header length"),
        (-1, "incomplete metadata, file not fully covered"),
    ],
)
def test_a_cut_checkpoint_is_one_line(tiny, size, why):
    run = train()
    before, path = run.checkpoints()
    path.write_bytes(path.read_bytes()[:size])
    told = f"{path} is cut short or no checkpoint ({why}); delete it, and the one before serves"
    for call in (run.latest, Run("run").load, lambda: Run("run").content):
        with pytest.raises(IncompleteFile):
            call()
        assert message(call) == told
    assert run.last_good() == (before, [told])


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
@pytest.mark.parametrize(("name", "told"), [("scale", SCALE), ("extra", EXTRA)])
def test_a_checkpoint_of_another_model_is_one_line(tiny, part, name, told, capsys):
    run = train()
    path = spoilt(run, **{f"{part}/{name}": torch.zeros(2)})
    full = (
        f"{path} is of another model than experiment.toml: {told}; "
        "put back the one that belongs to the other"
    )
    with pytest.raises(BadValue):
        run.load()
    assert message(Run("run").load) == full
    capsys.readouterr()
    train("--resume", "--steps", "20", code=2)  # resuming says the same
    assert capsys.readouterr().err == f"sgmkit: {full}\n"


def test_a_description_that_does_not_resolve_is_one_line(tiny):
    run = train()
    file = run.path / "experiment.toml"
    text = file.read_text()
    file.write_text(text.replace("train_parts/tiny", "train_parts/tine"))
    assert message(lambda: Run("run").experiment).startswith(
        "no model named 'train_parts/tine'; did you mean 'train_parts/tiny'?"
    )
    file.write_text(text[: len(text) // 2])
    assert message(lambda: Run("run").experiment).startswith(f"recipe '{file}' is not TOML: ")


def test_tied_weights_are_kept(tmp_path):
    shared = torch.arange(3.0)
    facts = checkpoint.Facts(1, 2, 3, "x")
    checkpoint.write(tmp_path / "a", {"model/a": shared, "model/b": shared, "c": shared[:2]}, facts)
    found, told = checkpoint.read(tmp_path / "a", ("model/",))
    assert told == facts
    assert sorted(found) == ["model/a", "model/b"]
    assert torch.equal(found["model/b"], shared)
