"""Randomness that libraries take from the global generator, made a function of what it is for.

Initial weights and dropout come from torch's global generator. Inside `seeded` that generator is
set from a seed and a purpose, and put back afterwards: what is drawn depends on neither the past
nor the number of processes, so nothing needs saving to resume.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Global torch randomness as a function of ``seed`` and ``purpose``; restored on leaving."""
    text = "/".join(map(str, (seed, *purpose))).encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
    # The generators themselves: torch.manual_seed asks every backend, which takes 50 times longer.
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
