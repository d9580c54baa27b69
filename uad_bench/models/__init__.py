"""Building blocks of the methods: networks, heads, priors, losses, mixtures, regions."""
