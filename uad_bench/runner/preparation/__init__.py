"""Preparing datasets for their own sake, for `uad-bench prepare`."""
