"""An autoencoder from the run that trained it."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgmkit import Autoencoder, BadValue, SeededNoise
from sgmkit.training.run import Run

if TYPE_CHECKING:
    from sgmkit_lsgm.lsgm import Lsgm

PARTS = ("autoencoder.", "divergence.channel_")


def load_autoencoder(model: "Lsgm", path: str) -> None:
    """Put the averaged weights of a run's autoencoder in the model's.

    Raises:
        BadValue: for a run without one, or with one that is another function: of data or of
            latents of another shape, with another decoder, or with other options.
    """
    run = Run(path)
    theirs: Any = run.load()
    if not isinstance(getattr(theirs, "autoencoder", None), Autoencoder):
        raise BadValue(f"pretrained '{path}' has no autoencoder: name a run of the model lsgm")
    told = f"pretrained '{path}' has another autoencoder, "
    for what, there, here in (
        ("data", theirs.event, model.event),
        ("a decoder", theirs.observation.name, model.observation.name),
    ):
        if there != here:
            raise BadValue(f"{told}of {what} {_shown(there)}, where this is of {_shown(here)}")
    options = run.experiment.model.options["autoencoder"]
    advice = "give model.autoencoder the same options"
    found = {n: value for n, value in theirs.state_dict().items() if n.startswith(PARTS)}
    mine = {n: value for n, value in model.state_dict().items() if n.startswith(PARTS)}
    for name in sorted({*found, *mine}):
        here, there = (tuple(x[name].shape) if name in x else "none" for x in (mine, found))
        if here != there:
            apart = f"{name!r} is {there} there and {here} here"
            raise BadValue(f"{told}{options}: {apart}; {advice}")
    model.load_state_dict(found, strict=False)
    if not _same(theirs.autoencoder, model.autoencoder):
        raise BadValue(f"{told}{options}: with its weights this one answers otherwise; {advice}")


def _shown(what: object) -> str:
    return " x ".join(map(str, what)) if isinstance(what, tuple) else str(what)


@torch.no_grad()
def _same(one: Autoencoder, other: Autoencoder) -> bool:
    """Whether both say the same of a few items: options may differ in what no shape shows."""
    was, like = other.training, next(other.parameters())
    answers = [_answers(part.to(like).eval(), like) for part in (one, other)]
    other.train(was)
    return all(
        x.shape == y.shape and torch.allclose(x, y, 1e-4, 1e-5)
        for x, y in zip(*answers, strict=True)
    )


def _answers(autoencoder: Autoencoder, like: Tensor) -> list[Tensor]:
    """All that it says of noise: laws, draws and what the decoder makes of them."""
    noise = SeededNoise(0, range(2))
    x = noise.stream("items")(like.new_empty(2, *autoencoder.in_shape))
    code = autoencoder.encode(x, noise.stream("encode"))
    told = [part for c in code for part in (c.mean, c.std, c.z)]
    return [*told, autoencoder.decode([c.z for c in code])]
