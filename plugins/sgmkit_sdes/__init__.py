"""Forward processes: VP, sub-VP, VE, geometric, EDM and critically-damped Langevin."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    yield Component("sde", "vp", "sgmkit_sdes.vp:VP", "variance preserving, linear beta(t)")
    yield Component(
        "sde", "subvp", "sgmkit_sdes.vp:SubVP", "sub-variance-preserving, linear beta(t)"
    )
    yield Component("sde", "ve", "sgmkit_sdes.ve:VE", "variance exploding, geometric sigma(t)")
    yield Component("sde", "edm", "sgmkit_sdes.ve:EDM", "variance exploding with sigma(t) = t")
    yield Component(
        "sde",
        "geometric",
        "sgmkit_sdes.vp:Geometric",
        "variance preserving, geometric variance (LSGM)",
    )
    yield Component(
        "sde", "cld", "sgmkit_sdes.cld:CLD", "critically-damped Langevin diffusion of (x, v)"
    )
