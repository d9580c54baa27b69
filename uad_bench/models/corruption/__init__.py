"""Healthy slices, changed: what a detector learns to undo, to fill in or to find."""
