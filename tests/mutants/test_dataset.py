"""Data sets that state or take their items wrongly, each in one way: every one must be found."""

from dataclasses import replace

import pytest
import torch
from support.mutants import finds

from sgmkit import SeededNoise
from sgmkit.data import binarise
from sgmkit.errors import BadValue
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixtures import EightGaussians


class NoLevels(Digits):
    levels = None

    def _batch(self, ids):
        return Digits()._batch(ids)


class OneLevel(NoLevels):
    levels = 1


class OtherLevels(NoLevels):
    levels = 16


class Wide(Digits):
    level_width = 2 / 17


class Dequantised(Digits):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=0.999 * batch.x)


class NextItem(Digits):
    def take(self, split, index, noise):
        x = super().take(split, (index + 1) % self.size(split), noise).x
        return replace(super().take(split, index, noise), x=x)


class Recounted(Digits):
    def take(self, split, index, noise):
        return replace(super().take(split, index, noise), ids=index)


class Unlabelled(Digits):
    def take(self, split, index, noise):
        return replace(super().take(split, index, noise), y=None)


class OtherLabels(Digits):
    def take(self, split, index, noise):
        batch = super().take(split, index, noise)
        return replace(batch, y=batch.y.flip(0))


class Doubled(Digits):
    def take(self, split, index, noise):
        batch = super().take(split, index, noise)
        return replace(batch, x=batch.x.double())


class Shared(Digits):
    """A memo of what was taken, handed out again."""

    def take(self, split, index, noise):
        memo = self.__dict__.setdefault("memo", {})
        key = (split, *index.tolist())
        return memo.setdefault(key, super().take(split, index, noise))


class Forward(Digits):
    """Flips by the number of calls."""

    def take(self, split, index, noise):
        calls = self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return Digits(flip=True).take(split, index, SeededNoise(calls, noise.ids))


class ByPlace(Digits):
    """Noise of the row's place in the batch."""

    def take(self, split, index, noise):
        return Digits(flip=True).take(split, index, SeededNoise(0, range(len(index))))


class Centred(Digits):
    def take(self, split, index, noise):
        batch = Digits(dequantise=True).take(split, index, noise)
        return replace(batch, x=batch.x - batch.x.mean(0))


class Global(Digits):
    def take(self, split, index, noise):
        batch = super().take(split, index, noise)
        return replace(batch, x=batch.x + torch.rand_like(batch.x))  # noqa: TID251


class FromTheEnd(Digits):
    def take(self, split, index, noise):
        return super().take(split, index % self.size(split), noise)


class Vague(Digits):
    def take(self, split, index, noise):
        try:
            return super().take(split, index, noise)
        except BadValue:
            raise BadValue("no such item") from None


class OfTensors(Digits):
    """Refuses as tensors do."""

    def take(self, split, index, noise):
        return self._batch(self._ids(split)[index])


class Fresh(EightGaussians):
    def take(self, split, index, noise):
        return self.draw(split, len(index), noise)


class Grey(Digits):
    """Says that it is binarised."""

    likelihood = "bernoulli"


class Shares(Digits):
    def take(self, split, index, noise):
        batch = super().take(split, index, noise)
        return replace(batch, x=(batch.x + 1) / 2)


class Halved(Digits):
    value_range = (0.0, 1.0)


class Squared(Digits):
    def take(self, split, index, noise):
        batch = Digits().take(split, index, noise)
        darker = ((batch.x + 1) / 2).square() * 2 - 1
        return replace(batch, x=binarise(darker, noise))


class Static(Digits):
    """Binarised once and for all."""

    def take(self, split, index, noise):
        return super().take(split, index, SeededNoise(0, range(len(index))))


class Sharp(Digits):
    def take(self, split, index, noise):
        batch = Digits().take(split, index, noise)
        return replace(batch, x=torch.where(batch.x > 0, 1.0, -1.0))


class Together(Digits):
    """One number for all pixels of an item."""

    def take(self, split, index, noise):
        batch = Digits().take(split, index, noise)
        u = noise.uniform(torch.empty(len(index), 1, 1, 1))
        return replace(batch, x=torch.where(2 * u - 1 < batch.x, 1.0, -1.0))


class Shaken(Digits):
    """Of pixels that are shifted by one."""

    def take(self, split, index, noise):
        batch = super().take(split, index, noise)
        return replace(batch, x=batch.x.roll(1, -1))


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (Grey(), "x taken of train has other values than -1 and 1"),
        (Shares(binarise=True), "x taken of train has other values than -1 and 1"),
        (Halved(binarise=True), "binarised data has value_range (-1, 1), not (0.0, 1.0)"),
        (Squared(binarise=True), "standard errors off the items"),
        (Static(binarise=True), "draws of pixels of train scatter 4"),
        (Sharp(binarise=True), "of train"),
        (Together(binarise=True), "draws of items of train scatter"),
        (Shaken(binarise=True), "where a pixel of train is -1 or 1, another is taken"),
    ],
    ids=lambda x: None if isinstance(x, str) else type(x).__name__,
)
def test_mutants_of_binarised_data(mutant, message):
    finds("dataset", mutant, "check_binarised", message)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (NoLevels, "check_levels", "levels are None, value_range is (-1.0, 1.0)"),
        (OneLevel, "check_levels", "levels are 1, value_range is (-1.0, 1.0)"),
        (OtherLevels, "check_levels", "values of train lie up to 0.5 level widths off the"),
        (Wide, "check_levels", "level_width is 0.11764705882352941, not 0.125"),
        (Dequantised, "check_levels", "values of train lie up to 0.008 level widths off the"),
        (NextItem, "check_take", "x taken of train is not that of the items, nor does noise"),
        (Recounted, "check_take", "ids taken of train are other items'"),
        (Unlabelled, "check_take", "labels taken of train are not those of the items"),
        (OtherLabels, "check_take", "labels taken of train are not those of the items"),
        (Doubled, "check_take", "x taken of train is ((67, 1, 8, 8), torch.float64), not ((67"),
        (Shared, "check_take", "writing to what was taken changes the train items"),
        (Forward, "check_take_noise", "the same noise takes another batch of train"),
        (ByPlace, "check_take_noise", "x taken of train depends on the other rows of its batch"),
        (Centred, "check_take_noise", "x taken of train depends on the other rows of its batch"),
        (Global, "check_take_noise", "the same noise takes another batch of train"),
        (Global, "check_global_rng", "it uses a global random generator"),
        (FromTheEnd, "check_take_refusals", "position -1 of train is not refused; there are 1500"),
        (Vague, "check_take_refusals", "position -1 of train is refused, but not named: no such"),
        (OfTensors, "check_take_refusals", "position -1 of train is not refused; there are 1500"),
        (Fresh, "check_take_refusals", "position 0 of train is not refused; fresh draws have"),
    ],
)
def test_mutants_of_data_sets(mutant, name, message):
    finds("dataset", mutant(), name, message)
