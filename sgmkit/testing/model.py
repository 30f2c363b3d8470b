"""Checks of a model: its reverse process, its samples, its loss, and its stored state."""

import contextlib
import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sgmkit.data import Batch
from sgmkit.errors import Incompatible
from sgmkit.models import Loss, Model, Prior, Samples
from sgmkit.noise import SeededNoise
from sgmkit.testing import prior
from sgmkit.testing.reference import ReferenceGrid, ReferenceSolver
from sgmkit.testing.result import Check, NotApplicable, global_rng_untouched, require

COUNT, STEPS = 5, 3
"""Samples in a batch, and steps of the solver."""
FIT = 40
"""Steps of Adam on one batch, at a rate of 1e-3."""
MOVE = 0.05
"""Standard deviation of what is added to each parameter before losses are compared."""


def applicable(model: Model) -> Iterator[Check]:
    """All checks of models; one whose property is optional raises `NotApplicable` itself."""
    model.eval()  # samples are drawn without dropout
    yield from (check_sde, check_t_min, check_reverse, check_sample, check_decode)
    yield from (check_states_law, check_exact_start)
    yield from (check_reproducible, check_batch, check_state_dict, check_nll)
    yield from (check_trainable, check_loss, check_loss_rows, check_fit, check_global_rng)
    if isinstance(model, Prior):
        yield from prior.applicable(model)


def check_sde(model: Model) -> str:
    """`sde` is the process of the problem that `reverse` returns."""
    own, reversed_ = model.sde, model.reverse(SeededNoise(0, [0])).sde
    for name in ("phases", "driven", "horizon"):
        one, other = getattr(own, name), getattr(reversed_, name)
        require(
            one == other,
            f"sde has {name} = {one}, but reverse has {other}: set sde to the process of reverse",
        )
    times = reversed_.horizon * torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    for t in times:
        one, other = own.kernel(t), reversed_.kernel(t)
        good = torch.equal(one.mean, other.mean) and torch.equal(one.cov, other.cov)
        require(
            good,
            f"at t = {float(t):g} the kernel of sde differs from that of the process of reverse",
        )
    return type(own).__name__


def check_t_min(model: Model) -> str:
    """t_min lies between 0 and the horizon T."""
    top = model.sde.horizon
    require(0 < model.t_min < top, f"t_min = {model.t_min:g} is not between 0 and T = {top:g}")
    return f"t_min = {model.t_min:g}"


def check_reverse(model: Model) -> str:
    """`reverse` predicts finite ``(B, r, *event)`` for t ``()`` and ``(B,)``, and counts calls."""
    noise = SeededNoise(1, range(COUNT))
    rev = model.reverse(noise)
    u = model.start(noise)
    shape = (COUNT, rev.sde.phases, *model.state_event())
    require(
        tuple(u.shape) == shape,
        f"start has shape {tuple(u.shape)}, not (B, k, *state_event) = {shape}",
    )
    t = torch.tensor(rev.sde.horizon / 2, dtype=torch.float64)
    expected = (COUNT, rev.sde.driven, *model.state_event())
    with torch.no_grad():
        one, many = rev.eps(u, t), rev.eps(u, t.expand(COUNT))
    for eps in (one, many):
        sizes = tuple(eps.shape)
        require(sizes == expected, f"eps has shape {sizes}, not {expected} = (B, r, *event)")
        require(
            eps.dtype == u.dtype,
            f"eps is {eps.dtype} for states of {u.dtype}: keep the dtype of the state",
        )
        require(bool(eps.isfinite().all()), "eps is not finite")
    apart = float((one - many).abs().max())
    require(
        apart <= _rounding(u),
        f"one t of shape () and the same t for each row differ by {apart:.1e}",
    )
    require(
        rev.calls.tolist() == [2] * COUNT,
        f"2 calls are counted as {rev.calls.tolist()}: return a new Reverse from each call",
    )
    return f"k={rev.sde.phases}, r={rev.sde.driven}"


def check_sample(model: Model) -> str:
    """Samples have the stated shapes, are finite, and network calls are counted, one in a step."""
    samples = _sample(model)
    state = (COUNT, model.sde.phases, *model.state_event())
    for name, value, expected in (
        ("x", samples.x, (COUNT, *model.event)),
        ("u", samples.u, state),
        ("start", samples.start, state),
        ("nfe", samples.nfe, (COUNT,)),
    ):
        sizes = tuple(value.shape)
        require(sizes == expected, f"{name} of samples has shape {sizes}, not {expected}")
        require(bool(value.isfinite().all()), f"{name} of samples is not finite")
    good = samples.nfe.dtype == torch.int64 and samples.nfe.tolist() == [STEPS] * COUNT
    require(good, f"{STEPS} Euler steps are counted as {samples.nfe.tolist()} calls")
    return f"x {tuple(samples.x.shape[1:])}, u {tuple(samples.u.shape[1:])}"


def check_decode(model: Model) -> str:
    """`decode` turns states into data ``(B, *event)`` and does not modify them."""
    noise = SeededNoise(1, range(COUNT))
    u = model.start(noise)
    before = u.clone()
    with torch.no_grad():
        x = model.decode(u, noise.stream("decode"))
    expected = (COUNT, *model.event)
    require(tuple(x.shape) == expected, f"decode gives {tuple(x.shape)}, not {expected}")
    require(torch.equal(u, before), "decode modifies its input: work on a copy")
    return f"{tuple(u.shape[1:])} to {expected[1:]}"


def check_states_law(model: Model) -> str:
    """`observe` is a draw around `decode` if the model declares `states_law`, else equal to it."""
    noise = SeededNoise(1, range(COUNT))
    u = model.start(noise)
    with torch.no_grad():
        mean = model.decode(u, noise.stream("decode"))
        draw = model.observe(u, noise.stream("decode"))
    require(draw.shape == mean.shape, f"observe gives {tuple(draw.shape)}, not {tuple(mean.shape)}")
    equal = torch.equal(draw, mean)
    require(equal or model.states_law, "observe is not decode: state states_law = True")
    require(
        not (equal and model.states_law),
        "states_law is stated, but observe draws nothing: it is decode",
    )
    return "a law of data" if model.states_law else "data"


def check_exact_start(model: Model) -> str:
    """``start(noise, "exact")`` draws from the law of u_T, or raises `Incompatible`."""
    noise = SeededNoise(1, range(COUNT))
    try:
        u = model.start(noise, "exact")
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None
    expected = (COUNT, model.sde.phases, *model.state_event())
    require(tuple(u.shape) == expected, f"exact starts are {tuple(u.shape)}, not {expected}")
    require(bool(u.isfinite().all()), "exact starts are not finite")
    return "known"


def check_reproducible(model: Model) -> str:
    """Equal noise gives equal samples, bit for bit; other noise gives other samples."""
    first, again, other = (_sample(model, seed=seed).x for seed in (1, 1, 2))
    require(
        torch.equal(first, again),
        "the same noise gives other samples: draw only from the noise passed in",
    )
    require(
        not torch.equal(first, other),
        "other noise gives the same samples: they do not depend on the noise",
    )
    return "bit for bit"


def check_batch(model: Model) -> str:
    """A sample does not depend on the rest of its batch, up to rounding."""
    whole, part = _sample(model).x, [3, 1]
    alone = _sample(model, ids=part).x
    apart = float((alone - whole[part]).abs().max())
    require(
        apart <= _rounding(whole),
        f"samples in a smaller batch differ by {apart:.1e}: no row may use another",
    )
    return f"to {apart:.0e}"


def check_state_dict(model: Model) -> str:
    """`state_dict` holds all that samples depend on: a zeroed copy that loads it gives the same."""
    blank = copy.deepcopy(model)
    with torch.no_grad():
        for value in blank.state_dict().values():
            value.zero_()
    blank.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    good = torch.equal(_sample(blank).x, _sample(model).x)
    require(
        good,
        "a copy that loads the state samples otherwise: make all tensors parameters or buffers",
    )
    return f"{len(model.state_dict())} tensors"


def check_nll(model: Model) -> str:
    """`nll` gives finite nats and standard errors, ``(B,)``, and its kind; or a reason why not."""
    noise = SeededNoise(1, range(2))
    x = _sample(model, ids=[0, 1]).x.clone()
    try:
        likelihood = model.nll(x, noise, rtol=1e-2, atol=1e-2)
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None
    for name, value in (("nats", likelihood.nats), ("stderr", likelihood.stderr)):
        require(tuple(value.shape) == (2,), f"{name} of nll is {tuple(value.shape)}, not (2,)")
        require(bool(value.isfinite().all()), f"{name} is not finite")
    require(bool(likelihood.kind), "the likelihood has no kind: name how it was computed")
    return f"kind {likelihood.kind}"


def check_trainable(model: Model) -> str:
    """`trainable` says whether there is a loss to train on."""
    try:
        _loss(model)
    except NotApplicable as reason:
        fix = "state trainable = False"
        require(not model.trainable, f"it says it is trainable, but its loss: {reason}; {fix}")
        return "no"
    require(model.trainable, "it says it is not trainable, but has a loss: leave trainable True")
    return "yes"


def check_loss(model: Model) -> str:
    """The loss and its parts are finite scalars, and a gradient reaches every parameter."""
    loss = _loss(model)
    for name, value in (("the loss", loss.total), *loss.parts.items()):
        require(value.ndim == 0, f"{name} has shape {tuple(value.shape)}, not ()")
        require(math.isfinite(float(value.detach())), f"{name} is not finite")
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss.total, [p for _, p in named], allow_unused=True)
    without = [name for (name, _), slope in zip(named, slopes, strict=True) if slope is None]
    require(
        not without,
        f"no gradient reaches {', '.join(without[:3])}: use each parameter, or freeze it",
    )
    return f"{float(loss.total.detach()):.3g}, {len(named)} parameters"


def check_loss_rows(model: Model) -> str:
    """The loss is a mean over rows, and each row draws by its own sample id."""
    moved = copy.deepcopy(model)  # a fresh network may answer zero, whatever it sees
    for parameter in moved.parameters():
        parameter.data += MOVE * SeededNoise(0, [0])(parameter.data[None])[0]
    whole, other = (float(_loss(moved, seed=seed).total.detach()) for seed in (1, 2))
    require(whole != other, "other noise gives the same loss: it does not depend on the noise")
    parts = ([0, 1], [4, 2, 3])
    split = sum(len(ids) * float(_loss(moved, ids).total.detach()) for ids in parts) / COUNT
    apart = abs(split - whole) / max(abs(whole), 1e-9)
    message = f"the loss of a batch is {whole:.6g}, but {split:.6g} as the mean over its two parts"
    require(apart <= _rounding(model.state_like()) / 50, message)
    return f"to {apart:.0e}"


def check_fit(model: Model) -> str:
    """Steps of Adam on one batch lower its loss and change every parameter."""
    fitted = copy.deepcopy(model)
    first = float(_loss(fitted).total.detach())
    if not any(p.requires_grad for p in fitted.parameters()):
        raise NotApplicable("it has no parameters")
    optimiser = torch.optim.Adam(fitted.parameter_groups(), lr=1e-3)
    for _ in range(FIT):
        optimiser.zero_grad()
        _loss(fitted).total.backward()
        optimiser.step()
    last = float(_loss(fitted).total.detach())
    require(last < first, f"{FIT} steps on one batch take the loss from {first:.4g} to {last:.4g}")
    pairs = zip(model.named_parameters(), fitted.parameters(), strict=True)
    still = [name for (name, p), q in pairs if p.requires_grad and torch.equal(p, q)]
    require(
        not still, f"{FIT} steps do not move {', '.join(still[:3])}: is it in parameter_groups()?"
    )
    return f"{first:.3g} to {last:.3g} in {FIT} steps"


def check_global_rng(model: Model) -> str:
    """No global random generator is used or seeded."""
    with global_rng_untouched():
        _sample(model)
        with contextlib.suppress(NotApplicable):
            _loss(model)
    return "untouched"


def _sample(model: Model, seed: int = 1, ids: list[int] | None = None) -> Samples:
    noise = SeededNoise(seed, range(COUNT) if ids is None else ids)
    grid = ReferenceGrid()(model.sde, STEPS, model.t_min)
    return model.sample(len(noise.ids), ReferenceSolver(), grid, noise)


def _loss(model: Model, ids: list[int] | None = None, seed: int = 1) -> Loss:
    """The loss of the items with these ids, all of class 0; an id means the same item always."""
    noise = SeededNoise(seed, range(COUNT) if ids is None else ids)
    data = SeededNoise(0, noise.ids).stream("data")
    x = data(torch.empty(len(noise.ids), *model.event, device=model.state_like().device))
    batch = Batch(x, torch.zeros_like(noise.ids), noise.ids)
    try:
        return model.loss(batch, noise, 0.5)
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None


def _rounding(like: Tensor) -> float:
    return 1e-9 if like.dtype == torch.float64 else 1e-3
