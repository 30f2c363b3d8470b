"""The base of priors: what a model must add before latents can be trained against it."""

import pytest
import torch

from sgmkit import Model, Prior


def test_a_prior_is_a_model_with_a_cross_entropy():
    assert issubclass(Prior, Model)
    assert "cross_entropy" in Prior.__abstractmethods__
    complete = type("Complete", (Prior,), dict.fromkeys(Prior.__abstractmethods__, None))
    prior = complete()
    prior.check_latents()  # nothing to refuse unless a prior says so
    prior.deactivate(torch.tensor([False]))
    with pytest.raises(TypeError, match="cross_entropy"):
        type("Partial", (Prior,), {"reverse": None, "decode": None})()
