"""FID, KID, precision and recall on recorded features, against pytorch-fid and torch-fidelity.

The roots of rounding-level eigenvalues cost both of them nine digits where covariances are rank
deficient; ``fid_own_nuclear_*`` is what a nuclear norm of the data gives there, good to 1e-12.
"""

import pytest
import torch
from support.golden_data import load

from sgmkit_features.frechet import frechet, statistics
from sgmkit_features.kid import distance
from sgmkit_features.prc import precision_recall

FULL_RANK = ("AB", "AA", "EF")
DEFICIENT = ("AC", "CD", "CC")


@pytest.fixture(scope="module")
def golden():
    arrays = load("fid_kid_prc")
    for name, source in (("E", "A"), ("F", "B")):  # five features that are always zero
        arrays[f"feat_{name}"] = arrays[f"feat_{source}"].clone()
        arrays[f"feat_{name}"][:, :5] = 0
    return arrays


def features(golden, name):
    return golden[f"feat_{name}"].float()


@pytest.mark.parametrize("name", "ABCDEF")
def test_statistics(golden, name):
    moments = statistics(features(golden, name))
    torch.testing.assert_close(moments.mean, golden[f"mu_{name}"], rtol=1e-12, atol=1e-14)
    if name in "AB":
        torch.testing.assert_close(moments.cov, golden[f"sigma_{name}"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pair", FULL_RANK + DEFICIENT)
def test_fid(golden, pair):
    there, back = (
        frechet(*(statistics(features(golden, name)) for name in names))[0]
        for names in (pair, pair[::-1])
    )
    exact = float(golden[f"fid_own_nuclear_{pair}"])
    assert there == pytest.approx(exact, rel=1e-12, abs=1e-12)
    assert back == pytest.approx(exact, rel=1e-12, abs=1e-12)
    for software in ("pytorchfid", "torchfidelity"):
        theirs = float(golden[f"fid_{software}_{pair}"])
        allowed = {"rel": 1e-9, "abs": 1e-11} if pair in FULL_RANK else {"abs": 2e-6}
        assert there == pytest.approx(theirs, **allowed)


def test_kid(golden):
    x, y = features(golden, "A"), features(golden, "B")
    subsets = [(a.long(), b.long()) for a, b in golden["kid_subset_idx"]]
    one_by_one = [distance(x, y, [rows])[0] for rows in subsets]
    assert one_by_one == pytest.approx(golden["kid_mmds"].tolist(), rel=1e-10)
    assert distance(x, y, subsets)[0] == pytest.approx(float(golden["kid_AB"][0]), rel=1e-10)
    assert distance(x, x, subsets)[0] == pytest.approx(float(golden["kid_AA"][0]), rel=1e-10)


@pytest.mark.parametrize("pair", ["AB", "BA"])
def test_precision_and_recall(golden, pair):
    both = precision_recall(*(features(golden, name) for name in pair), neighbours=3)
    assert both == pytest.approx(golden[f"prc_k3_{pair}"][:2].tolist(), abs=1e-6)
