"""The file of a checkpoint: named tensors and a few facts, in the safetensors format."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sgmkit._util.files import write_atomic
from sgmkit.errors import BadValue, IncompleteFile

if TYPE_CHECKING:
    from sgmkit.models import Model

FORMAT = 2
"""Version of the layout, stated in every file. Version 2 added `Facts.progress`."""
_READABLE = (1, FORMAT)
_METADATA_KEY = "sgmkit"


@dataclass(frozen=True)
class Facts:
    """Facts about a training that its checkpoint states beside the tensors.

    Args:
        step: optimiser steps done.
        samples: samples seen.
        seed: of the training.
        experiment: hash of the experiment.
        progress: share of the training that was over before the latest step, in [0, 1], as
            `State.progress`. Files of format 1 do not state it.
        format: version of the file's layout.
    """

    step: int
    samples: int
    seed: int
    experiment: str
    progress: float = 0.0
    format: int = FORMAT


def write(path: Path, tensors: Mapping[str, Tensor], facts: Facts) -> None:
    """Write a checkpoint to ``path`` atomically: whole or not at all.

    A process that is killed may leave a temporary file, whose name starts with a dot. Raises
    `OSError` where there is no room, with nothing left behind.
    """
    # Tied weights share memory, which the format refuses: so each tensor is copied.
    plain = {n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()}
    write_atomic(path, save(plain, {_METADATA_KEY: json.dumps(asdict(facts))}))


def facts_of(path: Path) -> Facts:
    """The facts of a checkpoint. Raises `IncompleteFile` where the file is not whole."""
    return read(path, ())[1]


def read(path: Path, parts: tuple[str, ...]) -> tuple[dict[str, Tensor], Facts]:
    """Read the tensors whose names start with one of ``parts``, to the CPU, and the facts.

    Raises:
        IncompleteFile: for a file that is not whole.
        BadValue: for a file that sgmkit did not write, or of an unknown format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = _facts(path, file.metadata() or {})
            names = [name for name in file.keys() if name.startswith(parts)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}, facts
    except SafetensorError as error:
        reason = str(error).splitlines()[0].rpartition("header: ")[2]
        raise IncompleteFile(
            f"{path} is cut short or no checkpoint ({reason}); delete it, and the one before serves"
        ) from None
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror or error}") from None


def _facts(path: Path, metadata: Mapping[str, str]) -> Facts:
    try:
        stated = json.loads(metadata[_METADATA_KEY])
        format = stated["format"]
    except (KeyError, TypeError, ValueError):
        raise BadValue(
            f"{path} is not a checkpoint of sgmkit; move it out of its directory"
        ) from None
    if format not in _READABLE:
        raise BadValue(
            f"{path} has format {format} and this sgmkit reads {_READABLE[0]} to {FORMAT}; "
            "use the sgmkit that wrote it"
        )
    return Facts(**stated)


def section(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``name/``, by the rest of their names."""
    start = f"{name}/"
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}


def load_weights(
    model: "Model", tensors: Mapping[str, Tensor], path: Path, average: bool = False
) -> None:
    """Load the weights of a checkpoint, or with ``average`` their averages, into ``model``.

    Raises `BadValue` where a name or a shape differs from the model's, and leaves the model as it
    was.
    """
    weights, averages = section(tensors, "model"), section(tensors, "average")
    for name in retired(model, tensors):
        del weights[name]
    trained = model.averaged_parameters()
    for stored, expected in ((weights, model.state_dict()), (averages, trained)):
        for name in sorted({*stored, *expected}):
            there, here = _shape(stored.get(name)), _shape(expected.get(name))
            if there != here:
                raise BadValue(
                    f"{path} is of another model than experiment.toml: {name!r} is {there} "
                    f"there and {here} here; put back the one that belongs to the other"
                )
    model.load_state_dict(weights)
    for name, mean in averages.items() if average else ():
        trained[name].data.copy_(mean)


def retired(model: "Model", tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint that only an earlier version of ``model`` had in its state."""
    stored = section(tensors, "model")
    return {name: stored[name] for name in model.retired if name in stored}


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
