"""The numbers of the paper's Tables 2 to 5, as printed, kept as CSV beside the code."""

from __future__ import annotations

import csv
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError

DATASETS = {
    "hi": "HI",
    "mslub": "MSLUB",
    "msisbi": "MSISBI",
    "msi": "MSI",
    "wmh": "WMH",
    "gbi": "GBI",
    "brats": "BraTS",
}
"""The paper's datasets in its order: name on the command line, and as the paper prints it."""

METHODS = {
    "cvae": "c-VAE",
    "caae": "cAAE",
    "fanogan": "f-AnoGAN",
    "gmvae-restoration": "GM-IR",
    "vae": "VAE",
    "gmvae": "GMVAE",
    "spa": "SPA",
    "thresholding": "Thresh.",
}
"""The paper's methods in its order: name on the command line, and as the paper prints it."""

PUBLISHED_METRICS = ("auprc", "max_dice", "hd")
"""The metrics of the paper's Tables 2, 4 and 5."""

_NAMES = {printed: name for name, printed in {**DATASETS, **METHODS}.items()}


class PublishedNumber(BaseModel):
    """One printed number.

    Attributes:
        table: number of the paper's table.
        dataset: dataset, as printed.
        method: method, as printed; a supervised U-Net names its training dataset.
        metric: name of the metric, as in our records.
        postprocessing: ``none``, or ``star`` for the paper's ``*``.
        value: the number; ``None`` where the paper prints n/a.
        note: what the paper says of this number.
        source: where it was first printed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: int
    dataset: str
    method: str
    metric: str
    postprocessing: str
    value: float | None
    note: str
    source: str

    @property
    def label(self) -> str:
        """The dataset's name on the command line."""
        return _NAMES[self.dataset]

    @property
    def name(self) -> str:
        """The method's name on the command line; ``unet`` for every supervised one."""
        return _NAMES.get(self.method, "unet")


def published_folder() -> Path:
    """Where the CSV files lie: ``results/published`` of a checkout, else inside the package.

    Raises:
        UadBenchError: if they are in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "published", package.parents[1] / "results" / "published"):
        if any(folder.glob("table*.csv")):
            return folder
    raise UadBenchError(f"the paper's tables are missing from {package}: install uad-bench again")


def load_published(folder: Path | None = None) -> tuple[PublishedNumber, ...]:
    """Every published number, by table and then as printed.

    Args:
        folder: folder of ``table*.csv``; the one that came with this package if not given.

    Raises:
        UadBenchError: if a file is not a table of published numbers.
    """
    numbers: list[PublishedNumber] = []
    for file in sorted((folder or published_folder()).glob("table*.csv")):
        rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        try:
            numbers += [
                PublishedNumber.model_validate({**row, "value": row.get("value") or None})
                for row in rows
            ]
        except ValidationError as error:
            first = error.errors()[0]
            raise UadBenchError(
                f"{file} is not a table of published numbers ({first['loc'][0]}: {first['msg']}): "
                "restore it from the package"
            ) from None
    return tuple(numbers)


def dataset_title(name: str) -> str:
    """How tables write a dataset: as the paper does where it is one of its datasets."""
    return DATASETS.get(name, name)
