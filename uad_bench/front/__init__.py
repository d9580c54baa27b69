"""The front door: what ``import uad_bench`` offers, and what the command line is a client of."""
