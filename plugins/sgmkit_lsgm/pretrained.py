"""An autoencoder from the run that trained it."""

from typing import TYPE_CHECKING

from sgmkit import BadValue
from sgmkit.checkpoint import read, section
from sgmkit.run import Run

if TYPE_CHECKING:
    from sgmkit_lsgm.lsgm import Lsgm

PARTS = ("autoencoder.", "divergence.channel_")


def load_autoencoder(model: "Lsgm", path: str) -> None:
    """Put the averaged weights of a run's autoencoder in the model's.

    Raises:
        BadValue: for a run without one, or with one of another shape, which it names.
    """
    run = Run(path)
    told, _ = read(run.latest(), ("model/", "average/"))
    found = {**section(told, "model"), **section(told, "average")}
    found = {name: value for name, value in found.items() if name.startswith(PARTS)}
    mine = {n: value for n, value in model.state_dict().items() if n.startswith(PARTS)}
    if not found:
        raise BadValue(f"pretrained '{path}' has no autoencoder: name a run of the model lsgm")
    for name in sorted({*found, *mine}):
        here, there = (tuple(x[name].shape) if name in x else "none" for x in (mine, found))
        if here != there:
            options = run.experiment.model.options.get("autoencoder")
            raise BadValue(
                f"pretrained '{path}' has another autoencoder, {options}: {name!r} is {there} "
                f"there and {here} here; give model.autoencoder the same options"
            )
    model.load_state_dict(found, strict=False)
