"""What bounds need of a latent model, as a value of its own."""

import torch
from support.lsgm_losses import draws, model_of


def test_reconstruction_is_the_law_of_the_decoders_output():
    model, (x, noise) = model_of("vp"), draws()
    latents = [code.z for code in model.autoencoder.encode(x, noise)]
    params = model.autoencoder.decode(latents)
    value = model.latent_variable.reconstruction(x, latents)
    assert torch.equal(value, -model.observation.log_prob(params, x))
    assert model.latent_variable.prior is model.prior
