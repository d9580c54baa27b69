"""Simulated cohorts: anatomy, contrast, lesions, scanner. Deterministic by seed."""
