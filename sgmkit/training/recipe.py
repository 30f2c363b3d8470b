"""What a training is: every choice decided, so that its description names its run. No torch.

A recipe is a TOML file with the tables ``[model]``, ``[data]`` and ``[train]`` and a ``seed``; a
component inside another is a table inside its table. Flags and ``--set key.sub=value`` are edits of
that tree, and what is left open takes its default. The ``experiment.toml`` of a run is a recipe in
which nothing is left open.
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
OF_DATA = ("event", "likelihood", "levels")
"""What a model whose constructor names it is told of the data set."""
MAY_CHANGE = (
    *("steps", "accumulate", "precision"),
    *("checkpoint_every", "keep", "log_every", "samples_every"),
)
"""Settings that may change when a run is resumed, and that its hash leaves out: how far to go, how
to compute a step, what to write on the way. An annealed loss takes its progress from ``steps``."""


@dataclass(frozen=True)
class Settings:
    """How to train: the table ``[train]``. A batch is that of all devices together.

    Adam (Kingma and Ba 2015), with decoupled decay where ``weight_decay`` is set; a linear warm-up,
    then half a cosine down to ``lr_end`` of the rate (Loshchilov and Hutter 2017); gradients scaled
    to a norm of at most ``clip``; averaged weights whose decay is ``min(ema, (1 + n) / (10 + n))``
    after n steps.
    """

    steps: Annotated[int, Ge(1), Doc("optimiser steps in all")] = 5000
    batch: Annotated[int, Ge(1), Doc("samples in a step, over all devices")] = 128
    lr: Annotated[float, Gt(0), Lt(float("inf")), Doc("learning rate")] = 1e-3
    warmup: Annotated[int, Ge(0), Doc("steps over which the rate rises from 0")] = 500
    lr_end: Annotated[
        float, Ge(0), Le(1), Doc("share of the rate at the end; half a cosine leads there")
    ] = 1.0
    clip: Annotated[float, Ge(0), Doc("largest norm of the gradient; 0: any")] = 1.0
    ema: Annotated[float, Ge(0), Lt(1), Doc("decay of the averaged weights")] = 0.9999
    betas: Annotated[
        tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]], Doc("of Adam")
    ] = (0.9, 0.999)
    eps: Annotated[float, Gt(0), Doc("of Adam")] = 1e-8
    weight_decay: Annotated[float, Ge(0), Doc("of AdamW")] = 0.0
    accumulate: Annotated[int, Ge(1), Doc("parts of a batch, one after the other")] = 1
    precision: Annotated[Literal["32", "bf16-mixed", "64"], Doc("of the arithmetic")] = "32"
    checkpoint_every: Annotated[int, Ge(1), Doc("steps between checkpoints")] = 1000
    keep: Annotated[int, Ge(1), Doc("newest checkpoints to keep")] = 2
    log_every: Annotated[int, Ge(1), Doc("steps between lines of log.jsonl")] = 50
    samples_every: Annotated[int, Ge(0), Doc("steps between sample grids; 0: none")] = 1000


@dataclass(frozen=True)
class Experiment:
    """A training with nothing left open.

    Args:
        model, data: resolved components.
        settings: how to train.
        seed: of the initial weights, the order of items and all noise.
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
        """From a recipe and what beats it: flags, then ``key.sub=value`` edits.

        ``sde`` and ``network`` go to the innermost model. A flag that names the component which
        the recipe has leaves its options in place; any other component starts from its defaults.
        """
        told = tree.copied(recipe or {})
        tree.choose(told, "dataset", "data", data)
        tree.choose(told, "model", "model", model)
        for kind, text in (("sde", sde), ("network", network)):
            tree.choose_inside(told, kind, text)
        for edit in sets:
            tree.put(told, edit)
        for name in told:
            if name not in TABLES:
                listed = ", ".join(TABLES[:-1])
                raise UnknownName(f"no table {name!r} in a recipe{near(name, TABLES)} ({listed})")
        _check_trainable(tree.innermost(told)["name"], inner=True)
        _check_trainable(told["model"]["name"])
        spec = tree.completed("dataset", told.get("data", defaults.DATASET), defaults.DATASET)
        law = resolve("dataset", spec)
        tree.fill(told, lambda: _network(law))
        trained = resolve("model", told["model"])
        settings = _settings(told.get("train", {}))
        return cls(trained, law, settings, _seed(told.get("seed", 0)))

    @property
    def dataset(self) -> "Dataset":
        """The data set, built at first use."""
        return _dataset(self.data)

    def build(self) -> "Model":
        """The model with its initial weights, which depend on the seed only."""
        from sgmkit.noise import seeded

        with seeded(self.seed, "init"):
            facts = {name: getattr(self.dataset, name) for name in OF_DATA}
            model: Model = self.model.build(**facts)
        return model.double() if self.settings.precision == "64" else model

    def describe(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        settings = {name: _plain(value) for name, value in asdict(self.settings).items()}
        told = {"model": self.model.describe(), "data": self.data.describe()}
        return {**told, "train": settings, "seed": self.seed}

    def identity(self) -> dict[str, Any]:
        """What decides the weights after a step: its description less `MAY_CHANGE`."""
        told = self.describe()
        train = {name: value for name, value in told["train"].items() if name not in MAY_CHANGE}
        return {**told, "train": train}

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of its identity."""
        return describe_hash(self.identity())

    @property
    def name(self) -> str:
        """What its run is called: ``sgm-vp-digits-3fa1c2d0``."""
        sde = self.model.innermost("sde")
        parts = [part.short for part in (self.model, sde, self.data) if part]
        return "-".join([*parts, self.hash[:8]]).replace("/", "-")

    def versions(self) -> dict[str, str]:
        """Version of torch, sgmkit and each distribution that has a part in this."""
        from importlib.metadata import version

        core = {name: version(name) for name in ("sgmkit", "torch")}
        return {**core, **self.model.versions(), **self.data.versions()}

    def to_toml(self) -> str:
        """A recipe that `Experiment.of` reads back as this."""
        import tomli_w

        return tomli_w.dumps({**tree.without_none(self.describe()), "versions": self.versions()})

    def difference(self, other: "Experiment") -> tuple[str, object, object] | None:
        """The first key in which two trainings differ, with both values; None where in none."""
        mine, theirs = dict(_leaves(self.identity())), dict(_leaves(other.identity()))
        # Components before their options: the options of another component say nothing.
        keys = sorted({*mine, *theirs}, key=lambda path: (path[-1] != "name", len(path), path))
        for key in keys:
            if mine.get(key) != theirs.get(key):
                return ".".join(key).removesuffix(".name"), mine.get(key), theirs.get(key)
        return None


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The tree of a TOML file."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadValue(f"cannot read recipe '{path}': {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadValue(f"recipe '{path}' is not TOML: {error}") from None


@lru_cache(maxsize=2)
def _dataset(data: Resolved) -> "Dataset":
    return data.build()


def _network(data: Resolved) -> str:
    """The default network for items of that shape."""
    vectors = len(_dataset(data).event) == 1
    return defaults.NETWORK_OF_VECTORS if vectors else defaults.NETWORK_OF_IMAGES


def _check_trainable(name: str, inner: bool = False) -> None:
    """Complain about a model that is not trainable, before asking what else it needs.

    A prior inside another model need not be: its cross entropy trains the encoder.
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
