"""Which ``dseg.tsv`` says what the labels of a segmentation mean."""

from __future__ import annotations

from pathlib import Path

from uad_bench.discovery.bids.names import leading_entities
from uad_bench.errors import UadBenchError


class LabelTables:
    """The tables of a dataset; every folder is listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, tuple[Path, ...]] = {}

    def of(self, segmentation: Path) -> Path | None:
        """Return the table of a segmentation, ``None`` where it has none.

        As BIDS inherits them: a table in the segmentation's folder or in one above it, up to the
        dataset's own, that states no entity which the segmentation does not. The nearest counts; in
        one folder, the one that states most.

        Args:
            segmentation: a file ``*_dseg.nii[.gz]`` below the dataset's folder.

        Raises:
            UadBenchError: two tables that fit as well.
        """
        own = _stated(segmentation)
        folder = segmentation.parent
        while True:
            fitting = [path for path in self._tables(folder) if _stated(path) <= own]
            if fitting:
                most = max(len(_stated(path)) for path in fitting)
                first, *others = [path for path in fitting if len(_stated(path)) == most]
                if others:
                    raise UadBenchError(
                        f"{first} and {others[0].name} may both say what the labels of "
                        f"{segmentation.name} mean; keep one of them"
                    )
                return first
            if folder in (self._root, folder.parent):
                return None
            folder = folder.parent

    def _tables(self, folder: Path) -> tuple[Path, ...]:
        if folder not in self._listed:
            self._listed[folder] = tuple(sorted(folder.glob("*dseg.tsv")))
        return self._listed[folder]


def _stated(path: Path) -> frozenset[tuple[str, str]]:
    """The entities that a name states."""
    return frozenset(leading_entities(path.name.partition(".")[0])[0].items())
