"""Where the detectors and the prepared data behind cells are searched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from uad_bench.front.detector import Detector, load_detector
from uad_bench.results import ResultsFolder
from uad_bench.runner.data.gather import STORES
from uad_bench.runner.data.source import cache_folder
from uad_bench.volumes.store.prepared import PreparedDataset, find_prepared


@dataclass(frozen=True, slots=True)
class Searched:
    """Where detectors and prepared data are searched.

    Attributes:
        root: the results folder.
        cache: the folder of prepared datasets; the user's cache if not given.
        device: a torch device, or ``auto``.
        plugin: files and folders with further methods.
    """

    root: Path
    cache: Path | None
    device: str
    plugin: tuple[Path, ...]

    @property
    def stores(self) -> Path:
        """The folder of the prepared datasets."""
        return cache_folder(self.cache) / STORES

    def detector(self, key: str) -> Detector:
        """Return a stored detector.

        Raises:
            UadBenchError: if it cannot be loaded.
        """
        return load_detector(self._folder(key), device=self.device, plugin=self.plugin)

    def prepared(self, manifest_hash: str) -> PreparedDataset | None:
        """Return a prepared dataset, ``None`` where it is not there."""
        return find_prepared(self.stores, manifest_hash)

    def _folder(self, key: str) -> Path:
        return ResultsFolder(self.root).detectors / key
