"""What sampling costs: counted evaluations of the network and decoder, measured seconds."""

import math
from collections.abc import Iterable

import torch

from sgmkit.evaluation import Context, Evaluator, Metric, Value


class Nfe(Evaluator):
    """Counted network evaluations per sample (NFE): the mean over samples and its interval.

    The interval is the mean +- 1.96 standard errors. On a fixed grid its width is zero.
    """

    metrics = (Metric("nfe", "lower", unit="calls"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row, from the cell's ``nfe (n,)``."""
        if ctx.cell is None:
            return [Value("nfe", math.nan, reason="no solver ran")]
        calls = ctx.cell.nfe.to(torch.float64)
        mean, n = float(calls.mean()), len(calls)
        half = 1.96 * float(calls.std()) / math.sqrt(n) if n > 1 else math.nan
        return [Value("nfe", mean, mean - half, mean + half, n)]


class DecoderCalls(Evaluator):
    """Evaluations of a latent model's decoder per sample, which are not counted as NFE.

    Zero for a model in data space.
    """

    metrics = (Metric("decoder-calls", "lower", unit="calls"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row, from the cell's count."""
        if ctx.cell is None:
            return [Value("decoder-calls", math.nan, reason="no solver ran")]
        calls = float(ctx.cell.decoder_calls)
        return [Value("decoder-calls", calls, calls, calls, len(ctx.cell.nfe))]


class Seconds(Evaluator):
    """Wall-clock seconds per sample, from the one run that made the samples; no interval."""

    metrics = (Metric("seconds", "lower", unit="s"),)

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One row."""
        if ctx.cell is None:
            return [Value("seconds", math.nan, reason="no solver ran")]
        return [Value("seconds", ctx.cell.seconds, n=len(ctx.samples))]
