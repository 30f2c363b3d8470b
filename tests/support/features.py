"""An extractor that counts, data that is read in pieces, and what metrics on features are given."""

import torch

from sgmkit import Batch, Cell, Context, SeededNoise
from sgmkit.data import Dataset
from sgmkit.testing.reference import ReferenceExtractor, ReferenceModel


class Counting(ReferenceExtractor):
    """Counts the rows that it is asked for, and the largest batch of them."""

    def __init__(self, name="one"):
        self.rows, self.largest, self.name = 0, 0, name

    @property
    def fingerprint(self):
        return self.name

    def features(self, x):
        self.rows += len(x)
        self.largest = max(self.largest, len(x))
        return super().features(x)


class Items(Dataset):
    """Items that are read in pieces, and never all at once."""

    event = (2,)

    def __init__(self, count=1200):
        self.count, self.read = count, []

    def size(self, split):
        return self.count

    def draw(self, split, n, noise):
        return self.pick(split, torch.arange(n))

    def pick(self, split, index):
        self.read.append(len(index))
        x = torch.stack([index.sin(), (2.0 * index).cos()], 1) + (split == "test")
        return Batch(x, None, index)


def points(n, seed=0):
    return SeededNoise(seed, range(n))(torch.empty(n, 2))


CELL = Cell(None, "none", None, 0.0)


def cell_context(samples, dataset, memo=None, cell=CELL):
    return Context(
        samples=samples,
        reference=lambda n: dataset.draw("test", n, SeededNoise(0, range(n))).x,
        model=ReferenceModel(),
        dataset=dataset,
        noise=SeededNoise(0, range(len(samples))),
        t_min=1e-3,
        cell=cell,
        memo={} if memo is None else memo,
    )
