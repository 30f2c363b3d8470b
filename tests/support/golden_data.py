"""Reference arrays of public implementations, and the parameters that they were made with.

The tests of solvers have their own companion; see golden/README.md for where the numbers are from.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, Geometric, SubVP

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name: str) -> dict[str, Tensor]:
    """The arrays of ``golden/<name>.npz``, in float64 but for the integers and the ``*_f32``."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        tensors = {key: torch.as_tensor(arrays[key]) for key in arrays.files}
    return {
        key: value.double() if value.is_floating_point() and not key.endswith("_f32") else value
        for key, value in tensors.items()
    }


CLD_KERNELS = {
    "k0": CLD(beta_0=4.0, beta_1=0.0, m_inv=4.0, gamma=0.04, numerical_eps=1e-9),
    "k1": CLD(beta_0=4.0, beta_1=0.0, m_inv=4.0, gamma=0.04, numerical_eps=1e-6),
    "k2": CLD(beta_0=0.5, beta_1=7.0, m_inv=4.0, gamma=0.04, numerical_eps=1e-9),
    "k3": CLD(beta_0=4.0, beta_1=0.0, m_inv=1.0, gamma=1.0, numerical_eps=1e-9),
    "k4": CLD(beta_0=2.0, beta_1=3.0, m_inv=16.0, gamma=0.25, numerical_eps=1e-9),
}
CLD_LOSSES = {
    "s0": CLD(beta_0=4.0, beta_1=0.0, m_inv=4.0, gamma=0.04, numerical_eps=1e-9),
    "s1": CLD(beta_0=1.0, beta_1=6.0, m_inv=2.5, gamma=0.1, numerical_eps=1e-6),
}
CLD_VP = VP(beta_min=0.1, beta_max=0.1 + 19.9)
"""CLD-SGM's own VPSDE, whose beta_1 = 19.9 is a slope."""
CLD_STUB = {"a": 0.7, "b": 3.0, "c": 0.25}
GDDIM = CLD(beta_0=4.0, beta_1=0.0, m_inv=4.0, gamma=0.04, numerical_eps=1e-6)

SCORE_SDES = {
    "vp": VP(beta_min=0.1, beta_max=20.0),
    "subvp": SubVP(beta_min=0.1, beta_max=20.0),
    "ve": VE(sigma_min=0.01, sigma_max=50.0),
}
SCORE_STUB = {"a": 0.6, "b": 2.5, "c": 0.3}
LOSS_EPS = 1e-5
"""Both loss files: ``t = r (1 - eps) + eps``."""

LSGM = {
    "geometric": Geometric(sigma2_min=3e-5, sigma2_max=0.999, sigma2_0=3e-5),
    "vpsde": VP(beta_min=0.1, beta_max=20.0, sigma2_0=0.0),
    "sub_vpsde": SubVP(beta_min=0.1, beta_max=20.0),
    "vesde": VE(sigma_min=3e-5**0.5, sigma_max=2500.0**0.5),
}
LSGM_TIME_EPS = {"geometric": 0.0, "vpsde": 0.01, "sub_vpsde": 0.01, "vesde": 0.01}
LSGM_LOGITS = [-3.0, -1.0, 0.5, 2.0]


@dataclass(frozen=True)
class LsgmCase:
    """One training step of LSGM's code.

    Args:
        sde: of `LSGM`.
        prior, encoder: how times are drawn and weighted; the encoder's may be the prior's.
        mixed, annealed, balanced: whether the score is mixed, and how the divergence is weighted.
    """

    sde: str
    prior: str
    encoder: str
    mixed: bool = True
    annealed: bool = True
    balanced: bool = True

    @property
    def same(self) -> bool:
        """One objective for both (the paper's algorithm 1)."""
        return self.prior.startswith("ll") and self.encoder == "reweight_p_samples"


REUSED = "reweight_p_samples"
LSGM_CASES = {
    "joint_vpsde_drop_all_iw_reweight_p_samples": LsgmCase(
        "vpsde", "drop_all_iw", REUSED, annealed=False, balanced=False
    ),
    "joint_vpsde_ll_iw_reweight_p_samples": LsgmCase("vpsde", "ll_iw", REUSED),
    "joint_vpsde_drop_sigma2t_iw_ll_iw_nomix": LsgmCase(
        "vpsde", "drop_sigma2t_iw", "ll_iw", mixed=False
    ),
    "joint_geometric_ll_uniform_reweight_p_samples": LsgmCase(
        "geometric", "ll_uniform", REUSED, balanced=False
    ),
    "joint_geometric_drop_sigma2t_iw_ll_iw": LsgmCase("geometric", "drop_sigma2t_iw", "ll_iw"),
    "joint_sub_vpsde_drop_all_iw_ll_uniform": LsgmCase("sub_vpsde", "drop_all_iw", "ll_uniform"),
    "joint_vesde_ll_iw_reweight_p_samples": LsgmCase(
        "vesde", "ll_iw", REUSED, annealed=False, balanced=False
    ),
    "disjoint_vpsde_drop_sigma2t_iw_ll_iw": LsgmCase("vpsde", "drop_sigma2t_iw", "ll_iw"),
    "disjoint_geometric_drop_all_uniform_ll_iw_nomix": LsgmCase(
        "geometric", "drop_all_uniform", "ll_iw", mixed=False, balanced=False
    ),
    "disjoint_vesde_drop_all_iw_ll_uniform": LsgmCase("vesde", "drop_all_iw", "ll_uniform"),
    "joint_vpsde_rescale_iw_reweight_p_samples": LsgmCase("vpsde", "rescale_iw", REUSED),
}
LSGM_STUB = {"a": 0.8, "b": 2.0, "c": 0.2}
