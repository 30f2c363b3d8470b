"""The handwritten digits that scikit-learn ships: real images with no download."""

import hashlib
from functools import cache
from typing import ClassVar

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from sgmkit.dataset import Batch, Dataset, Split
from sgmkit.errors import BadValue
from sgmkit.noise import Noise

TEST_ITEMS = 297


class Digits(Dataset):
    """1,797 digits of 8 x 8 pixels with 17 grey levels, 0 to 16, mapped to [-1, 1] in steps of 1/8.

    Half of the UCI "optical recognition of handwritten digits" data (Alpaydin and Kaynak, 1998).
    The split is fixed: the 297 items whose index in the original file, written in decimal, has the
    smallest SHA-256 digests are ``test``, the other 1,500 are ``train``. Classes are not balanced
    by design. The ids of a batch are indices in the original file, ``y`` the digits.
    """

    event = (1, 8, 8)
    likelihood = "discretised"
    value_range = (-1.0, 1.0)
    levels: ClassVar[int] = 17

    def size(self, split: Split) -> int:
        """1,500 items for ``train``, 297 for ``test``."""
        return len(_split_ids(split))

    def items(self, split: Split) -> Batch:
        """All items of ``split``, ``x (size, 1, 8, 8)``, in the order of the original file."""
        return _batch(_split_ids(split))

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` distinct items, ``x (n, 1, 8, 8)``, in an order that the noise decides.

        A Fisher-Yates shuffle, stopped after ``n`` items, one uniform number each: fewer items
        from the same noise are the first of more.
        """
        pool = _split_ids(split).tolist()
        if not 1 <= n <= len(pool):
            raise BadValue(
                f"cannot draw {n} distinct {split} items of digits; ask for 1 to {len(pool)}"
            )
        uniform = noise.stream(split).uniform(torch.empty(n, dtype=torch.float64))
        for place, u in enumerate(uniform.tolist()):
            other = place + int(u * (len(pool) - place))
            pool[place], pool[other] = pool[other], pool[place]
        return _batch(torch.tensor(pool[:n]))


def _batch(ids: Tensor) -> Batch:
    """The items with these indices in the original file."""
    x, y = _load()
    return Batch(x[ids], y[ids], ids)


@cache
def _load() -> tuple[Tensor, Tensor]:
    """The whole file: images ``(1797, 1, 8, 8)`` in [-1, 1] and labels ``(1797,)``."""
    levels, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(levels, dtype=torch.float32).reshape(-1, *Digits.event) / 8 - 1
    return x, torch.as_tensor(labels, dtype=torch.int64)


@cache
def _split_ids(split: Split) -> Tensor:
    """Indices of ``split`` in the original file, ascending: by digest, hence free of any RNG."""
    count = len(_load()[0])
    order = sorted(range(count), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    chosen = order[:TEST_ITEMS] if split == "test" else order[TEST_ITEMS:]
    return torch.tensor(sorted(chosen))
