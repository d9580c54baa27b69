"""The MLflow sink: a run per command, and below it one per detector, tuning trial and cell."""

from uad_bench.tracking.connection import TrackingError
from uad_bench.tracking.sync import SyncResult, Tables, entries, sync, sync_models
from uad_bench.tracking.tracker import Tracker, default_tracker

__all__ = [
    "SyncResult",
    "Tables",
    "Tracker",
    "TrackingError",
    "default_tracker",
    "entries",
    "sync",
    "sync_models",
]
