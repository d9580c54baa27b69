"""A paper that tables follow, and the numbers that it printed, kept as CSV beside the code."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.errors import UadBenchError


@dataclass(frozen=True, slots=True)
class ScannerFacts:
    """What a paper says of a dataset, in its own words.

    Attributes:
        scanner: make and field strength.
        resolution_mm: voxel size ``(z, y, x)`` in mm, ``None`` where diverse.
        tr_te_ti_s: repetition, echo and inversion time in seconds, ``None`` where diverse.
        age: mean and standard deviation in years, as printed.
        female_percent: share of women, ``None`` where not given.
        splits: numbers of subjects for train, validation and test.
    """

    scanner: str
    resolution_mm: tuple[float, float, float] | None
    tr_te_ti_s: tuple[float, float, float] | None
    age: str | None
    female_percent: int | None
    splits: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedTable:
    """The form of one table of a paper: what it shows, and how it is laid out.

    Attributes:
        number: its number in the paper.
        caption: what it shows, in a few words.
        metrics: its metrics; those of one group are side by side, the groups are one below another.
        postprocessings: under which every method is shown.
        also: method and post-processing of further columns.
        supervised: whether it shows supervised methods; ``only`` where it shows no others.
        supervised_on: the datasets that these learned from.
    """

    number: int
    caption: str
    metrics: tuple[tuple[str, ...], ...]
    postprocessings: tuple[str, ...] = ("none",)
    also: tuple[tuple[str, str], ...] = ()
    supervised: Literal["no", "yes", "only"] = "no"
    supervised_on: tuple[str, ...] = ()

    def shows_method(self, *, supervised: bool, supervised_on: str) -> bool:
        """Whether such a method is in the table."""
        if supervised:
            return self.supervised != "no" and supervised_on in self.supervised_on
        return self.supervised != "only"

    def shows_postprocessing(self, method: str, postprocessing: str) -> bool:
        """Whether a method is shown under a post-processing."""
        return postprocessing in self.postprocessings or (method, postprocessing) in self.also


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A paper whose order and names tables follow, and whose numbers can stand beside ours.

    Attributes:
        datasets: its datasets in its order: name on the command line, and as it prints it.
        methods: its methods in its order, likewise.
        others_before: the method before which methods stand that it does not know.
        supervised: the name of every method that it prints and ``methods`` does not have.
        data: what it says of its datasets, by name on the command line.
        metrics: the metrics of its tables.
        units: the units of those that have one.
        tables: the form of each of its tables, by its name on the command line.
        protocol: the protocol that follows it.
        caption: what a table of its numbers alone is called.
        legend: what a table says of its numbers beside ours.
    """

    datasets: Mapping[str, str]
    methods: Mapping[str, str]
    others_before: str
    supervised: str
    data: Mapping[str, ScannerFacts]
    metrics: tuple[str, ...]
    units: Mapping[str, str]
    tables: Mapping[str, PrintedTable]
    protocol: str
    caption: str
    legend: str

    def title(self, dataset: str) -> str:
        """How tables write a dataset: as the paper does where it is one of its datasets."""
        return self.datasets.get(dataset, dataset)

    def dataset_place(self, dataset: str) -> int:
        """Where a dataset stands among the rows; behind the paper's where it is not one of them."""
        names = list(self.datasets)
        return names.index(dataset) if dataset in names else len(names)

    def method_place(self, method: str) -> float:
        """Where a method stands among the columns."""
        names = list(self.methods)
        return names.index(method if method in names else self.others_before) - (
            0.0 if method in names else 0.5
        )


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
        label: the dataset's name on the command line.
        name: the method's name on the command line.
        supervised_on: the dataset, by its name on the command line, that a supervised method
            learned from.
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
    label: str
    name: str
    supervised_on: str = ""


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


def load_published(paper: Publication, folder: Path | None = None) -> tuple[PublishedNumber, ...]:
    """Every number that a paper printed, by table and then as printed.

    Args:
        paper: the paper.
        folder: folder of its ``table*.csv``; the one that came with this package if not given.

    Raises:
        UadBenchError: if a file is not a table of published numbers.
    """
    labels = {printed: name for name, printed in paper.datasets.items()}
    names = {printed: name for name, printed in paper.methods.items()}
    numbers: list[PublishedNumber] = []
    for file in sorted((folder or published_folder()).glob("table*.csv")):
        rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        try:
            numbers += [
                PublishedNumber.model_validate(
                    {
                        **row,
                        "value": row.get("value") or None,
                        "label": labels.get(row.get("dataset", "")),
                        "name": names.get(row.get("method", ""), paper.supervised),
                        "supervised_on": labels.get(_in_brackets(row.get("method", "")), ""),
                    }
                )
                for row in rows
            ]
        except ValidationError as error:
            first = error.errors()[0]
            raise UadBenchError(
                f"{file} is not a table of published numbers ({first['loc'][0]}: {first['msg']}): "
                "restore it from the package"
            ) from None
    return tuple(numbers)


def _in_brackets(text: str) -> str:
    """``MSLUB`` of ``U-Net (MSLUB)``."""
    return text.partition("(")[2].removesuffix(")")
