"""The MLflow sink: one run per cell, sent when the cell is done or when the server is back."""

from uad_bench.tracking.connection import TrackingError
from uad_bench.tracking.tracker import SyncResult, Tracker, default_tracker, sync

__all__ = ["SyncResult", "Tracker", "TrackingError", "default_tracker", "sync"]
