"""Checks of a feature extractor: shapes, and that features depend on nothing but their row."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sgmkit.evaluation import Extractor
from sgmkit.noise import SeededNoise
from sgmkit.testing.result import Check, NotApplicable, global_rng_untouched, require

COUNT = 6
ROUNDING = 1e-4
"""Features may differ between batches by this share of the largest: a network's rounding."""


def applicable(extractor: Extractor) -> Iterator[Check]:
    """All checks; whether one applies is decided when it runs, since facts may need the weights."""
    yield from (check_form, check_reproducible, check_batch, check_input, check_tells_apart)
    yield from (check_logits, check_events, check_fingerprint, check_global_rng)


def check_form(extractor: Extractor) -> str:
    """Features are ``(B, width)``, float32, finite, and carry no graph; for any B."""
    for x in (_data(extractor), _data(extractor)[:1], _data(extractor).double()):
        features = extractor.features(x)
        shape, expected = tuple(features.shape), (len(x), extractor.width)
        require(shape == expected, f"features are {shape}, not {expected}")
        dtype = features.dtype
        require(dtype == torch.float32, f"features of {x.dtype} are {dtype}, not torch.float32")
        require(bool(features.isfinite().all()), "features are not finite")
        require(not features.requires_grad, "features carry a graph")
    return f"{extractor.width} features of {extractor.event}"


def check_reproducible(extractor: Extractor) -> str:
    """The same data has the same features."""
    first, again = (extractor.features(_data(extractor)) for _ in range(2))
    require(torch.equal(first, again), "the same data has other features the second time")
    return "the same"


def check_batch(extractor: Extractor) -> str:
    """Features of a row depend on no other row, to the network's rounding."""
    x = _data(extractor)
    whole = extractor.features(x)
    parts = torch.cat([extractor.features(part) for part in (x[:1], x[1:3], x[3:])])
    worst = float((whole - parts).abs().max() / whole.abs().max().clamp_min(1e-12))
    require(worst < ROUNDING, f"features in a smaller batch differ by {worst:.1g} of the largest")
    return f"within {worst:.1g}"


def check_input(extractor: Extractor) -> str:
    """The data are not written to."""
    x = _data(extractor)
    extractor.features(x)
    require(torch.equal(x, _data(extractor)), "it writes to the data that it may only read")
    return "untouched"


def check_tells_apart(extractor: Extractor) -> str:
    """Different data have different features."""
    features = extractor.features(_data(extractor))
    require(
        bool((features != features[:1]).any(1)[1:].all()), "two rows of noise have equal features"
    )
    return "told apart"


def check_logits(extractor: Extractor) -> str:
    """Logits are ``(B, classes)``, finite, and those of `head` on the features."""
    if not extractor.classes:
        raise NotApplicable("it tells no classes apart")
    x = _data(extractor)
    logits, head = extractor.logits(x), extractor.head(extractor.features(x))
    if logits is None or head is None:
        require(False, f"there are {extractor.classes} classes, and no logits")
        return ""
    shape, expected = tuple(logits.shape), (COUNT, extractor.classes)
    require(shape == expected, f"logits are {shape}, not {expected}")
    require(bool(logits.isfinite().all()), "logits are not finite")
    apart = float((logits - head).abs().max() / logits.abs().max().clamp_min(1e-12))
    require(apart < ROUNDING, f"logits and head differ by {apart:.1g} of the largest")
    require(not logits.requires_grad and not head.requires_grad, "logits carry a graph")
    return f"{extractor.classes} classes"


def check_events(extractor: Extractor) -> str:
    """Its own event is supported; one with another dimension is refused, in one line."""
    event = tuple(extractor.event)
    reason = extractor.supports(event)
    require(reason is None, f"supports refuses its own event {event}: {reason}")
    other = (*event, 5)
    reason = extractor.supports(other)
    if reason is None:
        require(False, f"supports takes {other} as well as {event}")
        return ""
    require(bool(reason) and "\n" not in reason, f"the reason is not one line: {reason!r}")
    return reason


def check_fingerprint(extractor: Extractor) -> str:
    """The fingerprint is a text on one line, and does not change with use."""
    first = extractor.fingerprint
    good = isinstance(first, str) and first.isprintable() and bool(first)
    require(good, f"the fingerprint is {first!r}, not a text on one line")
    extractor.features(_data(extractor))
    require(extractor.fingerprint == first, "the fingerprint changes with use")
    return first


def check_global_rng(extractor: Extractor) -> str:
    """No global random generator is drawn from or seeded."""
    with global_rng_untouched():
        extractor.features(_data(extractor))
        extractor.logits(_data(extractor))
    return "untouched"


def _data(extractor: Extractor) -> Tensor:
    """Uniform noise in [-1, 1], ``(COUNT, *event)``."""
    like = torch.empty(COUNT, *extractor.event)
    return SeededNoise(21, range(COUNT)).uniform(like).mul_(2).sub_(1)
