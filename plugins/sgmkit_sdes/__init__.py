"""Forward processes, of one phase and of more: each a linear SDE."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

SDES = (
    ("vp", "vp:VP", "variance preserving, linear beta(t)", ()),
    ("subvp", "vp:SubVP", "sub-variance-preserving, linear beta(t)", ()),
    ("ve", "ve:VE", "variance exploding, geometric sigma(t)", ()),
    ("edm", "ve:EDM", "variance exploding with sigma(t) = t", ()),
    ("geometric", "vp:Geometric", "variance preserving, geometric variance (LSGM)", ()),
    ("cosine", "cosine:Cosine", "variance preserving, cosine schedule", ()),
    (
        "linear-flow",
        "linear_flow:LinearFlow",
        "straight path between data and noise: flow matching",
        ("rectified-flow",),
    ),
    ("cld", "cld:CLD", "critically-damped Langevin diffusion of (x, v)", ()),
    ("psld", "psld:PSLD", "phase-space Langevin: CLD with noise in the data as well", ()),
    ("hold", "hold:HOLD", "higher-order Langevin: noise through a chain of variables", ()),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary, aliases in SDES:
        yield Component("sde", name, f"sgmkit_sdes.{target}", summary, aliases)
