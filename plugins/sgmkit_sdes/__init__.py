"""Forward processes: linear SDEs of one phase (VP, VE and others) and of more (Langevin).

Read `vp` first, for a process on a clock; `linear_flow` is one that states its mean and standard
deviation. `ve` and `cosine` have one phase as well; `cld`, `psld` and `hold` have several, and
`phase_space` is what the first two of them share. Modules import `sgmkit` and `sgmkit.processes`.
"""

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
