"""Pictures during training: drawn with averaged weights, and without a trace in the training."""

import torch
from support.train_fixtures import last_bytes, train

from sgmkit import SeededNoise
from sgmkit.training.run import Run


def test_pictures_disturb_nothing(tiny, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "sgmkit.training.sample_pictures.save_grid", lambda x, path, _: drawn.append((path.name, x))
    )
    plain = train(out="plain")
    seen = train("--set", "train.samples_every=5", out="seen")
    assert last_bytes(plain) == last_bytes(seen)
    assert [name for name, _ in drawn] == [f"step-{n:08d}.png" for n in (5, 10, 12)]
    from sgmkit import create, time_grid

    model = Run("seen").load()  # the averaged weights
    grid = time_grid("logsnr", model.sde, 36, model.t_min)
    noise = SeededNoise(0, range(64)).stream("samples")
    assert torch.equal(drawn[-1][1], model.sample(64, create("solver", "ddim"), grid, noise).x)


def test_a_picture_is_a_file(tiny):
    run = train("--set", "train.samples_every=12")
    (picture,) = (run.path / "samples").iterdir()
    assert picture.name == "step-00000012.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
