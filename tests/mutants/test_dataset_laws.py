"""Data sets with one defect each: the conformance suite must find every one."""

from dataclasses import replace

import pytest
import torch
from support.mutants import finds

from sgmkit import Batch, Mixture, SeededNoise
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixtures import EightGaussians


class Wider(EightGaussians):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=1.1 * batch.x)


class OneSplit(EightGaussians):
    def draw(self, split, n, noise):
        return super().draw("train", n, noise)


class OneSeed(EightGaussians):
    def draw(self, split, n, noise):
        return super().draw(split, n, SeededNoise(0, range(n)))


class GlobalData(EightGaussians):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=torch.rand_like(batch.x))  # noqa: TID251


class HeavyWeights(EightGaussians):
    def mixture(self):
        law = super().mixture()
        return Mixture(2 * law.weights, law.means, law.variances)


class Leaking(Digits):
    def items(self, split):
        return super().items("train")

    def size(self, split):
        return 1500


class Repeating(Digits):
    def draw(self, split, n, noise):
        batch = super().draw(split, min(n, self.size(split)), noise)
        first = torch.zeros(n, dtype=torch.int64)
        return Batch(batch.x[first], None, batch.ids[first])


class Unbounded(Digits):
    def draw(self, split, n, noise):
        rows = torch.arange(n) % self.size(split)
        return super().draw(split, min(n, self.size(split)), noise.select(rows.unique()))


class Bytes(Digits):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=batch.x.to(torch.int64))


class UnitRange(Digits):
    value_range = (0.0, 1.0)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (Wider, "check_mixture", "standard errors off the stated law"),
        (HeavyWeights, "check_mixture", "weights of the mixture are not"),
        (OneSplit, "check_splits", "train and test draw the same points"),
        (OneSeed, "check_seeds", "two seeds give one draw"),
        (GlobalData, "check_seeds", "one seed gives two draws"),
        (GlobalData, "check_global_rng", "it uses a global random generator"),
        (Leaking, "check_splits", "1500 items are in both train and test"),
        (Repeating, "check_items", "draws of train repeat an item"),
        (Unbounded, "check_items", "1501 of 1500 train items are not refused"),
        (Bytes, "check_draw", "x is torch.int64, not floating"),
        (UnitRange, "check_value_range", "not within the stated [0, 1]"),
    ],
)
def test_dataset_mutants(mutant, name, message):
    finds("dataset", mutant(), name, message)
