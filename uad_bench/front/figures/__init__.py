"""Figures that need more than the cells: detectors and prepared datasets, or a sweep."""
