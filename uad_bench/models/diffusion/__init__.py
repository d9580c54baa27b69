"""Diffusion: the schedule, the noise, the network that takes it off, and what follows from it."""
