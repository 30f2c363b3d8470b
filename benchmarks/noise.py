"""The cost of counter-based noise beside `torch.randn`: microseconds per draw, on one thread.

"in a run" is how a solver uses it: the same shape again and again, drawn from blocks that are
generated ahead. "one draw" is the first draw of a fresh stream, key derivation included. Times are
processor time, the minimum of many short repeats, since the machine may be busy with other things.
Takes less than two minutes.

    python benchmarks/noise.py
"""

import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from sgmkit.noise import SeededNoise

SHAPES = ((256, 2), (16, 3, 32, 32), (64, 3, 32, 32))
REPEATS = 60


def microseconds(call: Callable[[], object], count: int) -> float:
    """The mean processor time of ``count`` calls."""
    start = time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - start) / count * 1e6


def measure(shape: tuple[int, ...]) -> list[float]:
    """torch.randn, a draw in a run, a first draw: in turn, so that all see the same machine."""
    like = torch.zeros(shape)
    blocks = 512 if like.numel() < 10_000 else 8  # whole blocks of draws made ahead
    noise = SeededNoise(0, range(shape[0]))
    for _ in range(2 * blocks):  # past the growth of the blocks
        noise(like)
    streams = iter(noise.stream(str(i)) for i in range(REPEATS))
    calls = (
        (lambda: torch.randn(shape), blocks),  # noqa: TID251  the comparison
        (lambda: noise(like), blocks),
        (lambda: next(streams)(like), 1),
    )
    times = [[microseconds(*call) for call in calls] for _ in range(REPEATS)]
    return [min(column) for column in zip(*times, strict=True)]


def main() -> None:
    torch.set_num_threads(1)
    table = Table(title="Noise, µs per draw (float32, CPU, one thread; lower is better)")
    for name in ("state", "torch.randn", "in a run", "ratio", "one draw"):
        table.add_column(name, justify="left" if name == "state" else "right")
    with torch.inference_mode():
        for shape in SHAPES:
            plain, run, first = measure(shape)
            cells = (f"{plain:.1f}", f"{run:.1f}", f"{run / plain:.2f}", f"{first:.0f}")
            table.add_row(str(shape), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
