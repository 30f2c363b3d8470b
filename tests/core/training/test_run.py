"""A run directory: its weights come back exactly, and any other directory is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.train_fixtures import train

from sgmkit._util.hashing import fingerprint
from sgmkit.errors import IncompleteFile, UserError
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


def test_tensors_of_an_earlier_version_count_in_the_hash_and_are_dropped(tiny, monkeypatch):
    """The training goes on at the progress that they hold; the next checkpoint has none."""
    monkeypatch.setattr(tiny.Tiny, "retired", ("clock",))
    monkeypatch.setattr(tiny.Tiny, "recorded_progress", lambda _, old: float(old["clock"]))
    run = train("--steps", "8")
    tensors, facts = checkpoint.read(run.latest(), ("",))
    plain = run.content
    clock = torch.tensor(0.95, dtype=torch.float64)
    old = {**tensors, "model/clock": clock}
    checkpoint.write(run.latest(), old, replace(facts, progress=0.0, format=1))
    older = Run("run")
    state = older.load().state_dict()
    assert "clock" not in state
    assert older.content == fingerprint({**state, "clock": clock})
    assert older.content != fingerprint(state) == plain
    train("--resume")
    tensors, facts = checkpoint.read(run.latest(), ("",))
    assert "model/clock" not in tensors
    assert (facts.step, facts.progress, facts.format) == (12, 0.95, 2)


def test_a_run_stays_what_it_was_while_training_goes_on(tiny):
    train("--steps", "8")
    run = Run("run")
    content, step = run.content, run.step
    train("--resume", "--set", "train.keep=9")
    assert (run.content, run.step) == (content, step)
    assert fingerprint(run.load().state_dict()) == content
    assert (Run("run").content != content, Run("run").step) == (True, 12)


def test_runs_are_listed_by_name(tiny):
    for name in ("b", "a"):
        train("--steps", "1", out=f"runs/{name}")
    Path("runs/c").mkdir()
    assert [run.name for run in find_runs()] == ["a", "b"]
    assert find_runs("nowhere") == []


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
    complaint = "no checkpoint in 'run' yet; sgmkit train --resume --out run goes on"
    assert message(Run("run").load) == complaint
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
    complaint = (
        f"{path} is cut short or no checkpoint ({why}); delete it, and the one before serves"
    )
    for call in (run.latest, Run("run").load, lambda: Run("run").content):
        with pytest.raises(IncompleteFile):
            call()
        assert message(call) == complaint
    assert run.last_good() == (before, [complaint])


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
