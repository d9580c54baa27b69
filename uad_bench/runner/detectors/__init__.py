"""Detectors: trained once, kept in a folder, and what they score."""
