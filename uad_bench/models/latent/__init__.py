"""Latent distributions: their heads, priors and divergences, and the restoration by them."""
