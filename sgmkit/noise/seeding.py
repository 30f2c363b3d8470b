"""Torch's global generator, set from a seed and a purpose for as long as a block of code runs.

Initial weights and dropout are drawn from the global generator. Inside `seeded` they depend on the
seed and the purpose only, and not on what was drawn before or on the number of processes: a resumed
training need not restore any generator.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Set torch's global generators from ``seed`` and ``purpose``; restore them on leaving."""
    text = "/".join(map(str, (seed, *purpose))).encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
    # Not by torch.manual_seed: it visits every backend, which takes 50 times as long.
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():
        generators += torch.cuda.default_generators
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(number)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
