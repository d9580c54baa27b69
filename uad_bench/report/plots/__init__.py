"""Figures for papers, from the records of cells: one style, each by one name."""
