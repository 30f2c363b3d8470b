"""An experiment: a training in which every choice is decided, so that its hash can name its run.

A recipe is a TOML file with the tables ``[model]``, ``[data]`` and ``[train]`` and a ``seed``; a
component inside another is a table inside its table. Flags and ``--set key.sub=value`` are edits of
these tables, and what is left open takes its default. The ``experiment.toml`` of a run is a recipe
in which nothing is left open. Importing this module does not import torch.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from sgmkit import registry
from sgmkit._util.hashing import describe_hash
from sgmkit.errors import BadValue, UnknownName
from sgmkit.registry import Resolved, defaults, resolve
from sgmkit.registry.options import Schema, near
from sgmkit.training import recipe_tree as tree

if TYPE_CHECKING:
    from sgmkit.data import Dataset
    from sgmkit.models import Model

TABLES = ("model", "data", "train", "seed", "versions")
DATA_FACTS = ("event", "likelihood", "levels")
"""Attributes of the data set that are passed to a model whose constructor has parameters of these
names."""
CHANGEABLE_SETTINGS = (
    *("steps", "accumulate", "precision"),
    *("checkpoint_every", "keep", "log_every", "samples_every"),
)
"""Settings that may change when a run is resumed, and that are left out of its hash: the number of
steps, how a step is computed, and what is written on the way."""


@dataclass(frozen=True)
class Settings:
    """How to train: the table ``[train]`` of a recipe.

    The optimiser is Adam (Kingma and Ba 2015), with decoupled weight decay where ``weight_decay``
    is set. The learning rate rises linearly over ``warmup`` steps, then falls as half a cosine to
    ``lr_end * lr`` (Loshchilov and Hutter 2017). Gradients are scaled to a norm of at most
    ``clip``. The averaged weights have the decay ``min(ema, (1 + n) / (10 + n))`` after n steps.
    """

    steps: Annotated[int, Ge(1), Doc("number of optimiser steps in all")] = 5000
    batch: Annotated[int, Ge(1), Doc("samples in a step, over all devices")] = 128
    lr: Annotated[float, Gt(0), Lt(float("inf")), Doc("learning rate")] = 1e-3
    warmup: Annotated[int, Ge(0), Doc("steps over which the learning rate rises from 0")] = 500
    lr_end: Annotated[
        float, Ge(0), Le(1), Doc("learning rate at the end of its cosine, times lr")
    ] = 1.0
    clip: Annotated[float, Ge(0), Doc("norm to which larger gradients are scaled; 0: none are")] = (
        1.0
    )
    ema: Annotated[float, Ge(0), Lt(1), Doc("largest decay of the averaged weights")] = 0.9999
    betas: Annotated[
        tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]],
        Doc("decays of Adam's moments"),
    ] = (0.9, 0.999)
    eps: Annotated[float, Gt(0), Doc("epsilon of Adam")] = 1e-8
    weight_decay: Annotated[float, Ge(0), Doc("decoupled weight decay, as in AdamW")] = 0.0
    accumulate: Annotated[int, Ge(1), Doc("parts of a batch that are computed one by one")] = 1
    precision: Annotated[Literal["32", "bf16-mixed", "64"], Doc("precision of the arithmetic")] = (
        "32"
    )
    checkpoint_every: Annotated[int, Ge(1), Doc("steps between checkpoints")] = 1000
    keep: Annotated[int, Ge(1), Doc("number of newest checkpoints to keep")] = 2
    log_every: Annotated[int, Ge(1), Doc("steps between lines of log.jsonl")] = 50
    samples_every: Annotated[int, Ge(0), Doc("steps between pictures of samples; 0: none")] = 1000


@dataclass(frozen=True)
class Experiment:
    """A training with nothing left open.

    Args:
        model: resolved model.
        data: resolved data set.
        settings: how to train.
        seed: decides the initial weights, the order of items and all noise.
    """

    model: Resolved
    data: Resolved
    settings: Settings
    seed: int = 0

    @classmethod
    def of(
        cls,
        recipe: Mapping[str, Any] | None = None,
        *,
        model: str = "",
        sde: str = "",
        network: str = "",
        data: str = "",
        sets: Sequence[str] = (),
    ) -> "Experiment":
        """An experiment from a recipe and what overrides it: flags, then ``key.sub=value`` edits.

        ``sde`` and ``network`` are those of the innermost model. A flag that names the component
        which the recipe has leaves its options in place; another component starts from its
        defaults.
        """
        tables = tree.copied(recipe or {})
        tree.choose(tables, "dataset", "data", data)
        tree.choose(tables, "model", "model", model)
        for kind, text in (("sde", sde), ("network", network)):
            tree.choose_inside(tables, kind, text)
        for edit in sets:
            tree.apply_edit(tables, edit)
        for name in tables:
            if name not in TABLES:
                listed = ", ".join(TABLES[:-1])
                raise UnknownName(f"no table {name!r} in a recipe{near(name, TABLES)} ({listed})")
        _check_trainable(tree.innermost(tables)["name"], inner=True)
        _check_trainable(tables["model"]["name"])
        spec = tables.get("data", defaults.DATASET)
        dataset = resolve("dataset", tree.completed("dataset", spec, defaults.DATASET))
        tree.complete_model(tables, lambda: _default_network(dataset))
        return cls(
            resolve("model", tables["model"]),
            dataset,
            _settings(tables.get("train", {})),
            _seed(tables.get("seed", 0)),
        )

    @property
    def dataset(self) -> "Dataset":
        """The data set, built at first use."""
        return _dataset(self.data)

    def build(self) -> "Model":
        """The model with its initial weights, which depend on the seed only."""
        from sgmkit.noise import seeded

        with seeded(self.seed, "init"):
            facts = {name: getattr(self.dataset, name) for name in DATA_FACTS}
            model: Model = self.model.build(**facts)
        return model.double() if self.settings.precision == "64" else model

    def describe(self) -> dict[str, Any]:
        """The whole experiment, JSON-able."""
        settings = {name: _plain(value) for name, value in asdict(self.settings).items()}
        components = {"model": self.model.describe(), "data": self.data.describe()}
        return {**components, "train": settings, "seed": self.seed}

    def identity(self) -> dict[str, Any]:
        """What decides the weights after a step: `describe` without `CHANGEABLE_SETTINGS`."""
        description = self.describe()
        settings = description["train"].items()
        train = {name: value for name, value in settings if name not in CHANGEABLE_SETTINGS}
        return {**description, "train": train}

    @property
    def hash(self) -> str:
        """Hash of the identity, sixteen hexadecimal digits."""
        return describe_hash(self.identity())

    @property
    def name(self) -> str:
        """Default name of its run directory, as ``sgm-vp-digits-3fa1c2d0``."""
        sde = self.model.innermost("sde")
        parts = [part.short for part in (self.model, sde, self.data) if part]
        return "-".join([*parts, self.hash[:8]]).replace("/", "-")

    def versions(self) -> dict[str, str]:
        """Versions of torch, sgmkit and of each distribution that a component comes from."""
        from importlib.metadata import version

        core = {name: version(name) for name in ("sgmkit", "torch")}
        return {**core, **self.model.versions(), **self.data.versions()}

    def to_toml(self) -> str:
        """A recipe that `Experiment.of` reads back as this."""
        import tomli_w

        return tomli_w.dumps({**tree.without_none(self.describe()), "versions": self.versions()})

    def difference(self, other: "Experiment") -> tuple[str, object, object] | None:
        """The first key in which two experiments differ, with both values; None if they do not."""
        mine, theirs = dict(_leaves(self.identity())), dict(_leaves(other.identity()))
        # Components come before their options: those of another component need not be compared.
        keys = sorted({*mine, *theirs}, key=lambda path: (path[-1] != "name", len(path), path))
        for key in keys:
            if mine.get(key) != theirs.get(key):
                return ".".join(key).removesuffix(".name"), mine.get(key), theirs.get(key)
        return None


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises `BadValue` where it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadValue(f"cannot read recipe '{path}': {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadValue(f"recipe '{path}' is not TOML: {error}") from None


@lru_cache(maxsize=2)
def _dataset(data: Resolved) -> "Dataset":
    return data.build()


def _default_network(data: Resolved) -> str:
    """Name of the default network for items of the data's shape."""
    vectors = len(_dataset(data).event) == 1
    return defaults.NETWORK_OF_VECTORS if vectors else defaults.NETWORK_OF_IMAGES


def _check_trainable(name: str, inner: bool = False) -> None:
    """Refuse a model that is not trainable before its other options are completed.

    A prior inside another model need not be trainable: its cross entropy trains the encoder.
    """
    from sgmkit.models import Prior

    model = registry.load("model", name)
    if not model.trainable and not (inner and issubclass(model, Prior)):
        raise BadValue(f"model {name!r} has nothing to train: sgmkit bench takes it as it is")


def _settings(table: object) -> Settings:
    if not isinstance(table, Mapping):
        raise BadValue(f"train is a table of settings, not {table!r}")
    return Settings(**Schema.read(Settings, "train", {}).values(table))


def _seed(value: object) -> int:
    text = str(value)
    if not text.isdecimal() or not int(text) < 1 << 63:
        raise BadValue(f"the seed is a whole number in [0, 2^63), not {value!r}")
    return int(text)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
