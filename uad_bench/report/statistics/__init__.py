"""Comparisons of methods, and results by group of scans: lines of numbers, and sentences."""
