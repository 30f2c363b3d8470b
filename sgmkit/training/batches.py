"""Which data and noise each step sees: functions of the seed and of the sample's number.

Sample n is row ``n % batch`` of step ``n // batch``, for any number of devices and of accumulated
parts. So neither a position in the data nor the state of a generator is saved: a run resumes from
the number of its step alone.
"""

import torch
from torch import Tensor

from sgmkit.data import Batch, Dataset
from sgmkit.noise import SeededNoise


class Order:
    """The item that each sample number sees; every epoch has an order of its own.

    Args:
        seed: of the training; it decides the order of every epoch.
        items: number of items in an epoch.
    """

    def __init__(self, seed: int, items: int) -> None:
        self.seed, self.items = seed, items
        self._recent: dict[int, Tensor] = {}

    def epoch(self, number: int) -> Tensor:
        """All items in the order of an epoch, ``(items,)``. The last two epochs are remembered."""
        if number not in self._recent:
            noise = SeededNoise(self.seed, [number]).stream("order")
            key = noise.uniform(torch.empty(1, self.items, dtype=torch.float64))[0]
            newest = list(self._recent.items())[-1:]
            self._recent = dict([*newest, (number, key.argsort(stable=True))])
        return self._recent[number]

    def __call__(self, first: int, count: int) -> Tensor:
        """Items of samples ``first`` to ``first + count - 1``, ``(count,)``."""
        parts, end = list[Tensor](), first + count
        while first < end:
            number, place = divmod(first, self.items)
            stop = min(self.items, place + end - first)
            parts.append(self.epoch(number)[place:stop])
            first += stop - place
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Batches:
    """The share of one process in the batch of each step, part by part.

    Args:
        data: the training set.
        seed: of the training.
        batch: samples in a step, over all processes and parts.
        accumulate: number of parts into which the share of a process is divided.
        rank: number of the process; shares are contiguous.
        processes: number of processes.
        device: where the data are put.
    """

    def __init__(
        self,
        data: Dataset,
        seed: int,
        batch: int,
        accumulate: int = 1,
        rank: int = 0,
        processes: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.seed, self.batch, self.device = data, seed, batch, device
        self.rows = batch // (processes * accumulate)
        self._first = rank * accumulate * self.rows
        items = data.size("train")
        self._order = None if items is None else Order(seed, items)

    def __call__(self, step: int, part: int) -> tuple[Batch, SeededNoise]:
        """Data of one part of a step, and noise for the loss with one sample id for each row."""
        first = step * self.batch + self._first + part * self.rows
        source = SeededNoise(self.seed, torch.arange(first, first + self.rows))
        if self._order is None:
            items = self.data.draw("train", self.rows, source.stream("data"))
        else:
            index = self._order(first, self.rows)
            items = self.data.take("train", index, source.stream("data"))
        x = items.x.to(self.device, non_blocking=True)
        y = None if items.y is None else items.y.to(self.device, non_blocking=True)
        return Batch(x, y, items.ids), source.stream("train")
