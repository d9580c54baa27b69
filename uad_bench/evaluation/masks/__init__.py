"""Masks against masks: components, lesions found, and distances between surfaces."""
