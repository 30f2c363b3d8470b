"""FID from features, by sgmkit and by torch-fidelity: seconds, and how many digits are right.

Measures the time from two sets of float32 features to the distance, as the least of a few
alternating runs; sgmkit's includes an interval. For the error, the samples are the data shifted and
scaled, whose distance is known in closed form. Takes less than two minutes without --large.

    python benchmarks/features.py [--large]
"""

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_fidelity import metric_fid

from sgmkit import SeededNoise
from sgmkit_features.frechet import frechet, statistics

SIZES = ((300, 64), (10_000, 64), (10_000, 512), (1_000, 2048), (10_000, 2048))
LARGE = (50_000, 2048)
SHIFT, SCALE = 0.25, 1.5


def ours(x: Tensor, y: Tensor) -> float:
    """The distance; its variance is computed with it."""
    return frechet(statistics(x), statistics(y))[0]


def theirs(x: Tensor, y: Tensor) -> float:
    """That of torch-fidelity, from the same features."""
    pair = [metric_fid.fid_features_to_statistics(features) for features in (x, y)]
    return metric_fid.fid_statistics_to_metric(*pair, verbose=False)[metric_fid.KEY_METRIC_FID]


def sets(n: int, d: int) -> tuple[Tensor, Tensor, float]:
    """Features of data whose spread falls over two decades, their image, and its distance."""
    noise = SeededNoise(0, range(n))
    x = noise(torch.empty(n, d)) * torch.logspace(0, -2, d)
    mean = x.double().mean(0)
    y = (SCALE * (x - mean) + mean + SHIFT).float()
    spread = float((x - mean).square().sum()) / (n - 1)
    return x, y, d * SHIFT**2 + (SCALE - 1) ** 2 * spread


def seconds(call: Callable[[Tensor, Tensor], float], x: Tensor, y: Tensor) -> tuple[float, float]:
    """How long one call takes, and what it returns."""
    start = time.perf_counter()
    value = call(x, y)
    return time.perf_counter() - start, value


def row(n: int, d: int, runs: int) -> list[str]:
    """The cells of one size: the two take turns, so that they see the same machine."""
    x, y, exact = sets(n, d)
    pairs = [(seconds(theirs, x, y), seconds(ours, x, y)) for _ in range(runs)]
    (slow, one), (fast, two) = (min(column) for column in zip(*pairs, strict=True))
    errors = (f"{abs(value - exact) / exact:.0e}" for value in (one, two))
    return [f"{n} x {d}", f"{slow:.4f}", f"{fast:.4f}", f"{fast / slow:.2f}", *errors]


def main() -> None:
    parser = argparse.ArgumentParser(description="FID from features beside torch-fidelity's.")
    parser.add_argument("--large", action="store_true", help=f"{LARGE} as well: minutes")
    args = parser.parse_args()
    table = Table(title="FID from features, seconds and relative error (CPU, lower is better)")
    for name in ("n x d", "torch-fidelity", "sgmkit", "ratio", "their error", "our error"):
        table.add_column(name, justify="left" if name == "n x d" else "right")
    for n, d in (*SIZES, *([LARGE] if args.large else [])):
        table.add_row(*row(n, d, runs=min(20, 1 + 10**9 // (n * d + d**3 // 4))))
    Console().print(table)


if __name__ == "__main__":
    main()
