"""Whether the autoencoder of another run fits a model, and taking it over."""

import torch
from torch import Tensor, nn

from sgmkit import Autoencoder, BadValue, SeededNoise
from sgmkit_lsgm.latent_variable import LatentVariableModel


def check_same_data(mine: LatentVariableModel, other: LatentVariableModel, complaint: str) -> None:
    """Refuse the autoencoder of data of another shape, or of another law of the data.

    Args:
        complaint: how the message of the `BadValue` begins.
    """
    for noun, theirs, own in (
        ("data", other.observation.event, mine.observation.event),
        ("a decoder", other.observation.name, mine.observation.name),
    ):
        if theirs != own:
            here, there = _text(own), _text(theirs)
            raise BadValue(f"{complaint}of {noun} {there}, where this is of {here}")


def copy_state(
    mine: nn.Module, other: nn.Module, prefixes: tuple[str, ...], complaint: str, advice: str
) -> None:
    """Copy those tensors of the state of ``other`` whose names begin with one of ``prefixes``.

    Raises:
        BadValue: where a name or a shape differs, with nothing copied.
    """
    own, theirs = (
        {name: value for name, value in part.state_dict().items() if name.startswith(prefixes)}
        for part in (mine, other)
    )
    for name in sorted({*own, *theirs}):
        here, there = (tuple(x[name].shape) if name in x else "none" for x in (own, theirs))
        if here != there:
            raise BadValue(f"{complaint}: {name!r} is {there} there and {here} here; {advice}")
    mine.load_state_dict(theirs, strict=False)


@torch.no_grad()
def same_outputs(mine: Autoencoder, other: Autoencoder) -> bool:
    """Whether both give the same outputs for a few items: some options change no shape."""
    training, like = mine.training, next(mine.parameters())
    outputs = [_outputs(part.to(like).eval(), like) for part in (other, mine)]
    mine.train(training)
    return all(
        x.shape == y.shape and torch.allclose(x, y, 1e-4, 1e-5)
        for x, y in zip(*outputs, strict=True)
    )


def _outputs(autoencoder: Autoencoder, like: Tensor) -> list[Tensor]:
    """Latents of two items of noise, and the decoder's output for them."""
    noise = SeededNoise(0, range(2))
    x = noise.stream("items")(like.new_empty(2, *autoencoder.in_shape))
    code = autoencoder.encode(x, noise.stream("encode"))
    latents = [part for c in code for part in (c.mean, c.std, c.z)]
    return [*latents, autoencoder.decode([c.z for c in code])]


def _text(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)
