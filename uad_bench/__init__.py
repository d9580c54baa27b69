"""uad-bench: unsupervised anomaly detection in brain MRI, under one written protocol."""

__version__ = "0.1.0"
