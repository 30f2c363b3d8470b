"""Checks of a data set: what is drawn has the stated form, law, range and split."""

import math
from collections.abc import Iterator
from typing import get_args

import torch
from torch import Tensor

from sgmkit.dataset import Batch, Dataset, Mixture, Split
from sgmkit.errors import BadValue
from sgmkit.noise import SeededNoise
from sgmkit.testing.result import Check, global_rng_untouched, require

SPLITS: tuple[Split, ...] = get_args(Split)
COUNT = 64
LIMIT = 5.0
"""Standard errors that a moment of the stated law may be off by."""


def applicable(dataset: Dataset) -> Iterator[Check]:
    """The checks that make sense for a data set, by its facts."""
    yield from (check_draw, check_value_range, check_seeds, check_splits)
    if any(dataset.size(split) is not None for split in SPLITS):
        yield check_items
    if dataset.mixture() is not None:
        yield check_mixture
    yield check_global_rng


def check_draw(dataset: Dataset) -> str:
    """``x (n, *event)`` is floating and finite; y is None or ``(n,)``; ids are ``(n,)`` int64."""
    for split in SPLITS:
        for n in (1, _count(dataset, split)):
            batch = _draw(dataset, split, n)
            shape, wanted = tuple(batch.x.shape), (n, *dataset.event)
            require(shape == wanted, f"x of {n} {split} items is {shape}, not {wanted}")
            require(batch.x.dtype.is_floating_point, f"x is {batch.x.dtype}, not floating")
            require(bool(batch.x.isfinite().all()), f"x of {split} is not finite")
            labels = batch.y is None or tuple(batch.y.shape) == (n,)
            require(labels, "y is neither None nor of shape (n,)")
            good = tuple(batch.ids.shape) == (n,) and batch.ids.dtype == torch.int64
            require(good, f"ids are {tuple(batch.ids.shape)} {batch.ids.dtype}, not ({n},) int64")
    return f"event {dataset.event}, {dataset.likelihood}"


def check_value_range(dataset: Dataset) -> str:
    """Every value lies in value_range; data of pixels states one."""
    if dataset.value_range is None:
        good = dataset.likelihood == "continuous"
        require(good, f"likelihood is {dataset.likelihood}, so value_range must be stated")
        return "unbounded"
    low, high = dataset.value_range
    x = _draw(dataset, "train", _count(dataset, "train")).x
    found = float(x.min()), float(x.max())
    good = low <= found[0] and found[1] <= high
    told = f"values lie in [{found[0]:g}, {found[1]:g}]"
    require(good, f"{told}, not within the stated [{low:g}, {high:g}]")
    return f"{told} of [{low:g}, {high:g}]"


def check_seeds(dataset: Dataset) -> str:
    """One seed gives one draw, another seed another."""
    n = _count(dataset, "train")
    first, again, other = (_draw(dataset, "train", n, seed=seed) for seed in (1, 1, 2))
    require(torch.equal(first.x, again.x), "one seed gives two draws")
    require(not torch.equal(first.x, other.x), "two seeds give one draw")
    return "reproduced"


def check_splits(dataset: Dataset) -> str:
    """train and test differ: no item in common where they are finite, other points where not."""
    n = min(_count(dataset, split) for split in SPLITS)
    train, test = (_draw(dataset, split, n) for split in SPLITS)
    require(not torch.equal(train.x, test.x), "train and test draw the same points")
    items = [dataset.items(split) for split in SPLITS]
    if items[0] is None or items[1] is None:
        return "fresh at every draw"
    common = set(items[0].ids.tolist()) & set(items[1].ids.tolist())
    require(not common, f"{len(common)} items are in both train and test")
    return " + ".join(str(len(part.ids)) for part in items if part is not None)


def check_items(dataset: Dataset) -> str:
    """A finite split lists its items in one order, draws them without repetition, and no more."""
    for split in SPLITS:
        size, items = dataset.size(split), dataset.items(split)
        if size is None or items is None:
            good = size is None and items is None
            require(good, f"size and items of {split} must both be given, or neither")
            continue
        require(len(items.x) == size, f"{split} has size {size}, but {len(items.x)} items")
        again = dataset.items(split)
        good = again is not None and torch.equal(items.ids, again.ids)
        require(good, f"the items of {split} change their order")
        require(len(items.ids.unique()) == size, f"ids of {split} are repeated")
        batch = _draw(dataset, split, _count(dataset, split))
        require(len(batch.ids.unique()) == len(batch.ids), f"draws of {split} repeat an item")
        place = (items.ids[None] == batch.ids[:, None]).to(torch.int64).argmax(1)
        good = torch.equal(items.ids[place], batch.ids) and torch.equal(items.x[place], batch.x)
        require(good, f"draws of {split} are not items of {split}")
        try:
            _draw(dataset, split, size + 1)
        except BadValue:
            continue
        require(False, f"{size + 1} of {size} {split} items are not refused")
    return ", ".join(f"{dataset.size(split)} {split}" for split in SPLITS)


def check_mixture(dataset: Dataset) -> str:
    """The stated mixture is one, and draws have its mean and covariance, to 5 standard errors."""
    law = dataset.mixture()
    if law is None:
        return "none stated"
    weights = law.weights.double()
    shape, wanted = tuple(law.means.shape), (len(weights), *dataset.event)
    require(shape == wanted, f"means of the mixture are {shape}, not {wanted}")
    good = bool((weights > 0).all()) and abs(float(weights.sum()) - 1) < 1e-9
    require(good, "weights of the mixture are not positive numbers that sum to one")
    require(bool((law.variances >= 0).all()), "a variance of the mixture is negative")
    worst = 0.0
    mean, cov = _moments(law)
    for split in SPLITS:
        n = min(2000, dataset.size(split) or 2000)
        apart = _draw(dataset, split, n).x.double().flatten(1) - mean
        for values in (apart, (apart[:, :, None] * apart[:, None, :] - cov).flatten(1)):
            error = values.std(0).clamp_min(1e-12) / math.sqrt(n)
            worst = max(worst, float((values.mean(0) / error).abs().max()))
    require(worst < LIMIT, f"a moment is {worst:.1f} standard errors off the stated law")
    return f"{len(weights)} components, moments at most {worst:.1f} standard errors off"


def check_global_rng(dataset: Dataset) -> str:
    """No global random generator is drawn from or seeded."""
    with global_rng_untouched():
        for split in SPLITS:
            _draw(dataset, split, _count(dataset, split))
    return "untouched"


def _moments(law: Mixture) -> tuple[Tensor, Tensor]:
    """Mean ``(N,)`` and covariance ``(N, N)`` of the flattened data, float64."""
    weights, means = law.weights.double(), law.means.double().flatten(1)
    variances = law.variances.double().expand(law.means.shape).flatten(1)
    mean = weights @ means
    apart = means - mean
    return mean, torch.diag(weights @ variances) + apart.mT @ (weights[:, None] * apart)


def _draw(dataset: Dataset, split: Split, n: int, seed: int = 1) -> Batch:
    return dataset.draw(split, n, SeededNoise(seed, range(n)))


def _count(dataset: Dataset, split: Split) -> int:
    size = dataset.size(split)
    return COUNT if size is None else min(COUNT, size)
