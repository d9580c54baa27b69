"""Simulated datasets: anatomy, contrast, lesions, scanner. Deterministic by seed."""
