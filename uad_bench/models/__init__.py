"""Building blocks of the deep methods: networks, heads, priors, losses."""
