"""Which data and which noise a step sees: functions of the seed and the number of the sample.

Sample number n is row ``n % batch`` of step ``n // batch``, whatever the number of devices and of
accumulated parts. No position and no generator need saving, so a run resumes by its step alone.
"""

import torch
from torch import Tensor

from sgmkit.data import Batch, Dataset
from sgmkit.noise import SeededNoise


class Order:
    """The item that each sample number sees: every epoch in an order of its own.

    Args:
        seed: decides all orders.
        items: number of items in an epoch.
    """

    def __init__(self, seed: int, items: int) -> None:
        self.seed, self.items = seed, items
        self._recent: dict[int, Tensor] = {}

    def epoch(self, number: int) -> Tensor:
        """All items in the order of an epoch, ``(items,)``; the last two epochs are kept."""
        if number not in self._recent:
            noise = SeededNoise(self.seed, [number]).stream("order")
            key = noise.uniform(torch.empty(1, self.items, dtype=torch.float64))[0]
            kept = list(self._recent.items())[-1:]
            self._recent = dict([*kept, (number, key.argsort(stable=True))])
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
    """The share of one process in each step's batch, part by part.

    Args:
        data: the training set.
        seed: of the training.
        batch: samples in a step, over all processes and parts.
        accumulate: parts of the share of a process.
        rank, processes: which share of how many, contiguous.
        device: where the data go.
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
        """Data of one part of a step, and the model's noise with one sample id per row."""
        first = step * self.batch + self._first + part * self.rows
        source = SeededNoise(self.seed, torch.arange(first, first + self.rows))
        if self._order is None:
            found = self.data.draw("train", self.rows, source.stream("data"))
        else:
            index = self._order(first, self.rows)
            found = self.data.take("train", index, source.stream("data"))
        x = found.x.to(self.device, non_blocking=True)
        y = None if found.y is None else found.y.to(self.device, non_blocking=True)
        return Batch(x, y, found.ids), source.stream("train")
