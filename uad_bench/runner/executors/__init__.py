"""Executors: where the jobs of a plan run."""
