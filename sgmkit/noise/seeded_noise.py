"""Counter-based noise: every number is a function of what it is for, not of earlier draws.

A number of `SeededNoise` depends on (seed, stream, sample id, draw number, element) and on nothing
else. So sample 17 has the same noise in a batch of 1 or of 64, in any order and with any number of
processes, and solvers with the same seed are compared on paired noise. A ``torch.Generator`` cannot
do that: its n-th number goes to the n-th caller, and differs between devices.

Construction: BLAKE2b of the seed and the names of the stream gives four constants. The finaliser of
`counter`, applied to a sample id with these constants, gives the two 64-bit keys of the sample;
applied to these and the number of a draw, it gives the two keys of a row of numbers, which is the
flattened event of that draw. Draws of a kind that repeats are generated ahead in growing blocks,
which changes the cost and no number.

Limits: uniform numbers are the same everywhere; normal numbers go through the log, cos and sin of
numpy or torch, whose last bit may differ between devices and builds. Normal numbers are at most
6.66. Float32 and float64 numbers are made from the same integers and differ by rounding (up to
3e-4, where the radius of a Box-Muller pair is near zero); half precision is rounded float32. This
is no generator for cryptography.
"""

import hashlib
import math
import weakref
from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.noise.base import Noise, check_like, positions
from sgmkit.noise.counter import GOLDEN, fill_normal, fill_uniform, mix_in_place

_MOST_AHEAD = 256
"""Largest number of draws that are generated ahead."""
_GUESSED, _ANNOUNCED = 1 << 17, 1 << 20
"""Largest number of numbers generated ahead on a CPU: for draws that are guessed to follow, and for
draws that `SeededNoise.expect` announced."""
_BLOCK = 4 * _ANNOUNCED
"""Size in bytes of a block of memory for the latter in float32."""
_FREE: list[np.ndarray] = []
"""Blocks of memory that are not in use."""


def _sample_keys(seed: int, path: tuple[str, ...], ids: np.ndarray) -> np.ndarray:
    """Two independent 64-bit keys per sample, ``(2, N)``."""
    names = [name.encode() for name in path]
    text = b"".join(len(part).to_bytes(8, "little") + part for part in names)
    raw = hashlib.blake2b(seed.to_bytes(8, "little") + text, digest_size=32).digest()
    w = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, 32, 8)]
    start, inner = np.array(w).reshape(2, 2, 1)
    return mix_in_place(mix_in_place(start + ids * GOLDEN, inner), inner)


class _Stream:
    """The state of one stream, shared by all views of it (see `SeededNoise.select`)."""

    def __init__(self, seed: int, path: tuple[str, ...], ids: Tensor) -> None:
        self.seed, self.path, self.ids = seed, path, ids
        self.drawn = np.zeros(len(ids), np.int64)  # number of draws so far for each sample
        # The view that drew last, whose latest draws are not counted in `drawn` yet.
        self.owner: SeededNoise | None = None
        self.children: dict[str, _Stream] = {}

    @cached_property
    def keys(self) -> np.ndarray:
        """Two 64-bit keys per sample, ``(2, N)``; never needed if only sub-streams are used."""
        return _sample_keys(self.seed, self.path, self.ids.numpy())


class SeededNoise(Noise):
    """Noise that depends on (seed, stream, sample id, draw number, element) only.

    Args:
        seed: an integer in [0, 2^63).
        sample_ids: ``(B,)`` distinct int64 numbers, which choose the noise, whatever their order.
    """

    def __init__(self, seed: int, sample_ids: Sequence[int] | Tensor) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 63:
            raise BadValue(f"seed must be an integer in [0, 2^63), not {seed!r}")
        with torch.inference_mode(False):
            ids = _checked_ids(sample_ids)
            self._open(_Stream(seed, (), ids), np.arange(len(ids)), ids)

    def _open(self, stream: _Stream, index: np.ndarray, ids: Tensor) -> Self:
        self._stream, self._index, self.ids = stream, index, ids
        self._streams: dict[str, Self] = {}
        self._request: tuple[object, ...] = ()
        self._run = 0  # counted draws in a row with this request
        self._uncounted = 0  # draws that are not in the stream's counters yet
        self._expected = 0  # announced draws that are not generated yet
        self._ahead: list[Tensor] = []  # generated draws, the next one last
        return self

    def __call__(self, like: Tensor) -> Tensor:
        return self._draw(like, "normal")

    def uniform(self, like: Tensor) -> Tensor:
        return self._draw(like, "uniform")

    @torch.inference_mode(False)
    def select(self, index: Tensor) -> Self:
        chosen = positions(index, len(self.ids))
        part = self._index[chosen.numpy()]
        return object.__new__(type(self))._open(self._stream, part, self.ids[chosen])

    @torch.inference_mode(False)
    def stream(self, name: str) -> Self:
        if name not in self._streams:
            own = self._stream
            if name not in own.children:
                own.children[name] = _Stream(own.seed, (*own.path, name), own.ids)
            view = object.__new__(type(self))
            self._streams[name] = view._open(own.children[name], self._index, self.ids)
        return self._streams[name]

    def expect(self, draws: int) -> None:
        self._expected = draws

    def _draw(self, like: Tensor, law: str) -> Tensor:
        request = (law, like.shape, like.dtype, like.device)
        if self._stream.owner is not self or request != self._request:
            self._begin(like, request)
        if not self._ahead:
            self._refill(like, law)
        self._uncounted += 1
        return self._ahead.pop()

    def _begin(self, like: Tensor, request: tuple[object, ...]) -> None:
        """Start on another view or kind of draw: bring counters up to date, drop draws ahead."""
        check_like(like, len(self.ids))
        for view in (self._stream.owner, self):
            if view is not None:
                view._settle()
                view._ahead, view._run = [], 0
        self._stream.owner, self._request = self, request

    def _settle(self) -> None:
        """Add this view's latest draws to the counters of the stream."""
        self._stream.drawn[self._index] += self._uncounted
        self._run += self._uncounted
        self._uncounted = 0

    @torch.inference_mode(False)  # so that training can use the rest of the block
    def _refill(self, like: Tensor, law: str) -> None:
        """Generate as many draws as were announced or as were made in a row, within bounds.

        The bounds differ because a CPU needs blocks that fit its cache, a GPU few kernel launches.
        """
        self._settle()
        on_cpu, size = like.device.type == "cpu", max(1, like.numel())
        guessed = min(self._run, (_GUESSED if on_cpu else 1 << 22) // size)
        announced = min(self._expected, (_ANNOUNCED if on_cpu else 1 << 24) // size)
        draws = max(1, min(max(guessed, announced), _MOST_AHEAD))
        self._expected = max(0, self._expected - draws)
        block = self._generate(like, law, draws, (_GUESSED if on_cpu else 1 << 22) // 2)
        self._ahead = list(block.to(like.dtype).view(draws, *like.shape).unbind(0))[::-1]

    def _generate(self, like: Tensor, law: str, draws: int, piece: int) -> Tensor:
        """The next ``draws`` draws, ``(draws * B, n)`` with n the size of an event.

        In pieces of ``piece`` numbers: temporary arrays that stay in the cache, and that malloc
        reuses.
        """
        size, n = len(self._index), math.prod(like.shape[1:])
        block = _memory(draws * size, n, like)
        on_cpu = like.device.type == "cpu"
        out = block.numpy() if on_cpu else block
        keys, drawn = self._stream.keys[:, None, self._index], self._stream.drawn[self._index]
        several = max(1, piece // max(1, size * (n + 4)))  # a row's keys cost as much as 4 numbers
        rows = max(1, piece // max(1, n))
        for first in range(0, draws, several):
            number = np.arange(first, min(first + several, draws), dtype=np.int64)[:, None] + drawn
            pair = mix_in_place(keys + number * GOLDEN).reshape(2, -1)
            a, b = pair if on_cpu else torch.from_numpy(pair).to(like.device)
            filled = out[first * size :][: len(a)]
            for part in (slice(i, i + rows) for i in range(0, len(a), rows)):
                if law == "normal":
                    fill_normal(filled[part], a[part], b[part])
                else:
                    fill_uniform(filled[part], a[part], b[part], _bits(like.dtype))
        return block


def _memory(rows: int, n: int, like: Tensor) -> Tensor:
    """An uninitialised tensor ``(rows, n)``: float64 if ``like`` is, else float32.

    A large one on a CPU takes a block of `_FREE`, and gives it back when the last tensor that uses
    it is gone: the first write to fresh memory costs about as much as generating the numbers.
    """
    double = like.dtype == torch.float64
    size = rows * n * (8 if double else 4)
    if like.device.type != "cpu" or not _BLOCK // 4 <= size <= _BLOCK:
        dtype = torch.float64 if double else torch.float32
        return torch.empty(rows, n, dtype=dtype, device=like.device)
    memory = _FREE.pop() if _FREE else np.empty(_BLOCK, np.uint8)
    lent = memory[:size].view(np.float64 if double else np.float32).reshape(rows, n)
    weakref.finalize(lent, _return, memory).atexit = False
    return torch.from_numpy(lent)


def _return(memory: np.ndarray) -> None:
    if len(_FREE) < 4:
        _FREE.append(memory)


def _bits(dtype: torch.dtype) -> int:
    """Number of random bits of a uniform number, so that the centre of its part is exact."""
    return round(-math.log2(torch.finfo(dtype).eps))


def _checked_ids(sample_ids: Sequence[int] | Tensor) -> Tensor:
    """A copy of the ids on the CPU, ``(N,)`` int64, or `BadValue` for what cannot be ids."""
    try:
        ids = torch.as_tensor(sample_ids).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise BadValue(f"sample ids must be int64 numbers, not {sample_ids!r:.60}") from None
    if ids.ndim != 1 or (len(ids) and ids.dtype not in (torch.int64, torch.int32)):
        raise BadValue(f"sample ids must be (B,) int64, not {tuple(ids.shape)} {ids.dtype}")
    values, counts = ids.unique(return_counts=True)
    if len(values) < len(ids):
        raise BadValue(f"sample ids must be distinct: {int(values[counts > 1][0])} is repeated")
    return ids.to(torch.int64, copy=True)
