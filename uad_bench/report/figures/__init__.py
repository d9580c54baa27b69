"""Figures from the records of cells, scans and sweeps."""
