"""Random words and numbers as functions of two keys and an index: splitmix64 and Box-Muller.

Word w of a row with keys a and b is the splitmix64 finaliser (Steele, Lea and Flood 2014) of
``a + w * GOLDEN``, with b added between its rounds. A word makes two normal numbers (Box-Muller),
elements 2w and 2w + 1 of the row, or one uniform number.

The code runs on numpy arrays, whose elementwise functions are cheaper on a CPU, and on tensors of
any other device: ``xp`` is the library, numpy or torch, where the functions have the same names.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any
"""A numpy array or a tensor: keys and words int64, numbers float32 or float64."""

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_ROUND_1, _ROUND_2 = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)


def mix_in_place(x: Array, key: Array | int = 0) -> Array:
    """Apply the finaliser to ``x`` in place, with ``key`` added between its two rounds."""
    xp = _library(x)
    spare, shift = xp.empty_like(x), _right_shift(xp)

    def xorshift(bits: int) -> None:  # a logical shift is an arithmetic one with the sign masked
        shift(x, bits, out=spare)
        xp.bitwise_and(spare, (1 << (64 - bits)) - 1, out=spare)
        xp.bitwise_xor(x, spare, out=x)

    xorshift(30)
    xp.multiply(x, _ROUND_1, out=x)
    xp.add(x, key, out=x)
    xorshift(27)
    xp.multiply(x, _ROUND_2, out=x)
    xorshift(31)
    return x


def words(a: Array, b: Array, count: int) -> Array:
    """``(R, count)`` random 64-bit words for the R rows with keys ``a`` and ``b``, ``(R,)``."""
    on_device = isinstance(a, Tensor)
    index = torch.arange(count, device=a.device) if on_device else np.arange(count, dtype=np.int64)
    if count < len(a):  # the longer axis innermost: loops over two numbers take ten times as long
        return mix_in_place(a + (index * GOLDEN)[:, None], b).T
    return mix_in_place(a[:, None] + index * GOLDEN, b[:, None])


def fill_normal(out: Array, a: Array, b: Array) -> None:
    """Fill ``out (R, n)`` with standard normal numbers.

    ``z = sqrt(-2 log v) (cos phi, sin phi)``: the lower 31 bits of a word make v in (0, 1), its
    upper half the angle phi in [-pi, pi).
    """
    xp, half = _library(out), out.shape[1] // 2
    word = words(a, b, out.shape[1] - half)
    radius, angle, wave = (xp.empty_like(word, dtype=out.dtype) for _ in range(3))
    angle[...] = word >> 32
    radius[...] = xp.bitwise_and(word, 0x7FFFFFFF, out=word)
    xp.add(radius, 0.5, out=radius)
    xp.multiply(radius, 2.0**-31, out=radius)
    xp.log(radius, out=radius)
    xp.multiply(radius, -2.0, out=radius)
    xp.sqrt(radius, out=radius)
    xp.multiply(angle, math.pi * 2.0**-31, out=angle)
    xp.multiply(xp.cos(angle, out=wave), radius, out=out[:, ::2])
    xp.multiply(xp.sin(angle, out=wave)[:, :half], radius[:, :half], out=out[:, 1::2])


def fill_uniform(out: Array, a: Array, b: Array, bits: int) -> None:
    """Fill ``out (R, n)`` with uniform numbers: centres of ``2^bits`` equal parts of (0, 1)."""
    xp = _library(out)
    word = words(a, b, out.shape[1])
    out[...] = (word >> (64 - bits)) & ((1 << bits) - 1)
    xp.add(out, 0.5, out=out)
    xp.multiply(out, 2.0**-bits, out=out)


def _library(x: Array) -> ModuleType:
    return torch if isinstance(x, Tensor) else np


def _right_shift(xp: Any) -> Any:
    """The bitwise shift to the right; numpy before version 2 does not have torch's name for it."""
    return np.right_shift if xp is np else torch.bitwise_right_shift
