"""Losses and gradients that are not finite end a training, and are named."""

import pytest
from support.train_fixtures import log, tensors, train

WRONG = {
    "part": "loss part 'size' is nan",
    "loss": "the loss is inf",
    "gradient": "the gradient is nan",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_finite_stops_the_run(tiny, what, capsys):
    options = ["--model", f"tiny:spoil=0.5:what={what}"]
    run = train(*options, "--set", "train.log_every=100", code=2)
    good = "run/checkpoints/step-00000004.safetensors"
    assert capsys.readouterr().err == (
        f"sgmkit: step 7: {WRONG[what]}; the last good checkpoint is {good}; "
        "try a smaller train.lr in a new run\n"
    )
    assert [str(path) for path in run.checkpoints()] == [good]
    assert all(value.isfinite().all() for value in tensors(run).values())
    assert log(run)[-1]["step"] == 4


def test_what_is_not_finite_at_once_has_no_checkpoint(tiny, capsys):
    run = train("--model", "tiny:spoil=0", code=2)
    assert capsys.readouterr().err == (
        "sgmkit: step 1: loss part 'size' is nan; there is no checkpoint yet; "
        "try a smaller train.lr in a new run\n"
    )
    assert run.checkpoints() == []
