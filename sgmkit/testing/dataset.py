"""Checks of a data set: its draws have the stated shapes, law, range and splits."""

import math
from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor

from sgmkit.data import Batch, Dataset, Mixture, Split
from sgmkit.errors import BadValue
from sgmkit.noise import SeededNoise
from sgmkit.testing.result import Check, CheckFailed, global_rng_untouched, require

SPLITS: tuple[Split, ...] = get_args(Split)
COUNT = 64
"""Items that are drawn, if there are so many."""
DRAWS = 48
"""How often each item is binarised."""
LIMIT = 5.0
"""A moment may differ from that of the stated law by this many standard errors."""


def applicable(dataset: Dataset) -> Iterator[Check]:
    """The checks that apply to a data set, according to what it states."""
    yield from (check_draw, check_value_range, check_seeds, check_splits)
    if dataset.likelihood == "discretised" or dataset.levels is not None:
        yield check_levels
    if any(dataset.size(split) is not None for split in SPLITS):
        yield from (check_items, check_take, check_take_noise)
        if dataset.likelihood == "bernoulli":
            yield check_binarised
    yield check_take_refusals
    if dataset.mixture() is not None:
        yield check_mixture
    yield check_global_rng


def check_draw(dataset: Dataset) -> str:
    """``x (n, *event)`` is floating and finite; y is None or ``(n,)``; ids are ``(n,)`` int64."""
    for split in SPLITS:
        for n in (1, _count(dataset, split)):
            batch = _draw(dataset, split, n)
            shape, expected = tuple(batch.x.shape), (n, *dataset.event)
            require(shape == expected, f"x of {n} {split} items is {shape}, not {expected}")
            require(batch.x.dtype.is_floating_point, f"x is {batch.x.dtype}, not floating")
            require(bool(batch.x.isfinite().all()), f"x of {split} is not finite")
            labels = batch.y is None or tuple(batch.y.shape) == (n,)
            require(labels, "y is neither None nor of shape (n,)")
            good = tuple(batch.ids.shape) == (n,) and batch.ids.dtype == torch.int64
            require(good, f"ids are {tuple(batch.ids.shape)} {batch.ids.dtype}, not ({n},) int64")
    return f"event {dataset.event}, {dataset.likelihood}"


def check_value_range(dataset: Dataset) -> str:
    """Every value lies in value_range; only continuous data may leave it out."""
    if dataset.value_range is None:
        good = dataset.likelihood == "continuous"
        require(good, f"likelihood is {dataset.likelihood}, so value_range must be stated")
        return "unbounded"
    low, high = dataset.value_range
    x = _draw(dataset, "train", _count(dataset, "train")).x
    smallest, largest = float(x.min()), float(x.max())
    measured = f"values lie in [{smallest:g}, {largest:g}]"
    good = low <= smallest and largest <= high
    require(good, f"{measured}, not within the stated [{low:g}, {high:g}]")
    return f"{measured} of [{low:g}, {high:g}]"


def check_levels(dataset: Dataset) -> str:
    """Discretised data states its levels; draws lie on them, to 1/1000 of their distance."""
    levels, bounds = dataset.levels, dataset.value_range
    if levels is None or bounds is None or levels < 2:
        stated = f"levels are {levels}, value_range is {bounds}"
        raise CheckFailed(f"discretised data states both, and two levels at least: {stated}")
    width = (bounds[1] - bounds[0]) / (levels - 1)
    require(dataset.level_width == width, f"level_width is {dataset.level_width}, not {width:g}")
    for split in SPLITS:
        place = (_draw(dataset, split, _count(dataset, split)).x.double() - bounds[0]) / width
        off = float((place - place.round()).abs().max())
        require(off < 1e-3, f"values of {split} lie up to {off:.2g} level widths off the levels")
    return f"{levels} levels, {width:.3g} apart"


def check_seeds(dataset: Dataset) -> str:
    """The same seed gives the same draw, another seed another draw."""
    n = _count(dataset, "train")
    first, again, other = (_draw(dataset, "train", n, seed=seed) for seed in (1, 1, 2))
    require(torch.equal(first.x, again.x), "one seed gives two draws")
    require(not torch.equal(first.x, other.x), "two seeds give one draw")
    return "reproduced"


def check_splits(dataset: Dataset) -> str:
    """train and test differ: finite splits share no item, fresh draws share no point."""
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
    """A finite split lists its items in one order, and draws them without repetition."""
    for split in SPLITS:
        size, items = dataset.size(split), dataset.items(split)
        if size is None or items is None:
            good = size is None and items is None
            require(good, f"size and items of {split} must both be stated, or neither")
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


def check_take(dataset: Dataset) -> str:
    """take returns the items at the given positions; only the noise may change their values."""
    outcomes = set()
    for split, index, items in _places(dataset):
        first, other = (_take(dataset, split, index, range(len(index)), seed) for seed in (1, 2))
        require(torch.equal(first.ids, items.ids[index]), f"ids taken of {split} are other items'")
        good = _same(first.y, None if items.y is None else items.y[index])
        require(good, f"labels taken of {split} are not those of the items")
        form, expected = ((tuple(x.shape), x.dtype) for x in (first.x, items.x[index]))
        require(form == expected, f"x taken of {split} is {form}, not {expected}")
        random = not _same(first.x, other.x)
        good = random or _same(first.x, items.x[index])
        require(good, f"x taken of {split} is not that of the items, nor does noise change it")
        outcomes.add("items as the noise changes them" if random else "items as they are")
        kept = other.x.clone()
        first.x.zero_()
        good = _same(kept, _take(dataset, split, index, range(len(index)), 2).x)
        require(good, f"writing to what was taken changes the {split} items")
    return ", ".join(sorted(outcomes))


def check_take_noise(dataset: Dataset) -> str:
    """Each row of take depends on its own position and noise only, not on other rows or calls."""
    for split, index, _ in _places(dataset):
        whole = _take(dataset, split, index, range(len(index)))
        again = _take(dataset, split, index, range(len(index)))
        require(torch.equal(whole.x, again.x), f"the same noise takes another batch of {split}")
        rows = torch.arange(len(index)).flip(0)[::3]
        part = _take(dataset, split, index[rows], rows.tolist())
        good = torch.equal(part.x, whole.x[rows])
        require(good, f"x taken of {split} depends on the other rows of its batch")
    return "row by row"


def check_binarised(dataset: Dataset) -> str:
    """take draws Bernoulli data as -1 and 1, each pixel with the probability of its grey.

    Pixels are independent, and drawn anew at every access. So the mean over draws of a pixel, and
    the sum over the pixels of an item, less their expectations and in units of their standard
    errors, have a mean square of one. If a draw were kept instead, that of a pixel would be the
    number of draws.
    """
    bounds, measured = dataset.value_range, ""
    require(bounds == (-1, 1), f"binarised data has value_range (-1, 1), not {bounds}")
    for split, index, items in _places(dataset):
        ids, share = range(len(index)), (items.x[index].double() + 1) / 2
        taken = [_take(dataset, split, index, ids, seed).x for seed in range(DRAWS)]
        ends = all(bool((x.abs() == 1).all()) for x in taken)
        require(ends, f"x taken of {split} has other values than -1 and 1")
        apart = torch.stack([(x.double() + 1) / 2 - share for x in taken])
        variance = share * (1 - share)
        sure = float(apart[:, variance == 0].abs().sum())
        require(sure == 0, f"where a pixel of {split} is -1 or 1, another is taken")
        grey = variance > 0
        if not bool(grey.any()):
            continue
        pixels = (apart.mean(0)[grey] / (variance[grey] / DRAWS).sqrt()).square()
        whole = apart.flatten(2).sum(2) / variance.flatten(1).sum(1).clamp_min(1e-12).sqrt()
        bias = abs(float(whole.mean())) * math.sqrt(whole.numel())
        require(bias < LIMIT, f"means of {split} are {bias:.1f} standard errors off the items")
        for unit, squares in (("pixels", pixels), ("items", whole.square())):
            error = float(squares.std()) / math.sqrt(squares.numel())
            ratio = float(squares.mean())
            good = abs(ratio - 1) < max(0.1, LIMIT * error)
            require(good, f"draws of {unit} of {split} scatter {ratio:.2g} times as they should")
        measured = f"{DRAWS} draws, {bias:.1f} standard errors off"
    return measured or "no greys"


def check_take_refusals(dataset: Dataset) -> str:
    """take refuses positions that do not exist, by their number, and all if draws are fresh."""
    for split in SPLITS:
        size = dataset.size(split)
        for position in (0,) if size is None else (-1, size):
            try:
                _take(dataset, split, torch.tensor([position]), [0])
            except BadValue as error:
                named = size is None or str(position) in str(error)
                require(named, f"position {position} of {split} is refused, but not named: {error}")
                continue
            why = "fresh draws have none" if size is None else f"there are {size}"
            require(False, f"position {position} of {split} is not refused; {why}")
    return "refused"


def check_mixture(dataset: Dataset) -> str:
    """The stated mixture is valid; draws have its mean and covariance, to 5 standard errors."""
    law = dataset.mixture()
    if law is None:
        return "none stated"
    weights = law.weights.double()
    shape, expected = tuple(law.means.shape), (len(weights), *dataset.event)
    require(shape == expected, f"means of the mixture are {shape}, not {expected}")
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
        for split, index, _ in _places(dataset):
            _take(dataset, split, index, range(len(index)))
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


def _take(
    dataset: Dataset, split: Split, index: Tensor, ids: Sequence[int], seed: int = 1
) -> Batch:
    return dataset.take(split, index, SeededNoise(seed, ids))


def _places(dataset: Dataset) -> Iterator[tuple[Split, Tensor, Batch]]:
    """Positions in each finite split, in no order, some repeated, first and last among them."""
    for split in SPLITS:
        size, items = dataset.size(split), dataset.items(split)
        if size is not None and items is not None:
            index = (size - 1 + 29 * torch.arange(_count(dataset, split))) % size
            yield split, torch.cat([index, torch.tensor([0, size - 1, 0])]), items


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and torch.equal(a, b)


def _count(dataset: Dataset, split: Split) -> int:
    size = dataset.size(split)
    return COUNT if size is None else min(COUNT, size)
