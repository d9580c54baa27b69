"""Parts of an evaluation that several workers share: which there are, and how they are kept.

A part is kept in the results folder, because a cell's histograms are large and because it then
outlives a run that is killed. Its folder is named by everything that its numbers depend on. No
command but a run reads it, and the run removes it once its cells are written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from uad_bench.cells import CellSpec, Environment, ScanTraits
from uad_bench.evaluation.scored import MeasuredScan
from uad_bench.evaluation.scores.ordering import Ordering
from uad_bench.evaluation.values import ScanScores
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.scoring import Example, levels_file, read_levels
from uad_bench.runner.executors.contract import Done, Failure
from uad_bench.runner.jobs.spool import Place, Spool
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.job import Evaluate, EvaluatePart, Job
from uad_bench.system.archives import npz_bytes
from uad_bench.system.disk import make_folder, write_whole, writing

LEAST_SCANS = 2
"""Scans of a part at least: each part loads the detector, which takes 0.02 to 0.13 s where scoring
and measuring a scan takes 0.45 s or more."""

_RECORD, _EXAMPLE = "part.json", "example.npz"


def divide(job: Job, done: Done, workers: int) -> tuple[Job, ...]:
    """Return the parts of an evaluation that several workers share; of other jobs, none.

    There are as many as workers, unless that leaves a part fewer than `LEAST_SCANS` scans.
    """
    if not isinstance(job, Evaluate) or done.of(job.train, Trained).detector is None:
        return ()
    data = done.of(job.data, Data).tested(job.train.supervised_on, job.label)
    scans = len(data.scans_of("test"))
    count = min(workers, scans // LEAST_SCANS)
    if count < 2:
        return ()
    ends = [scans * number // count for number in range(count + 1)]
    return tuple(EvaluatePart(job, *some) for some in pairwise(ends))


@dataclass(frozen=True, slots=True)
class EvaluatedPart:
    """A part that is done: its folder; ``None`` where no cell was pending."""

    folder: Path | None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class _Scan(_Record):
    """A :class:`MeasuredScan` but for its histograms, and where these are, by domain."""

    scores: ScanScores
    healthy: bool
    penalised: frozenset[str]
    places: Mapping[str, Place]


class _Cell(_Record):
    """The scans of a cell that are in a part, or why they could not be measured."""

    scans: tuple[_Scan, ...] = ()
    failure: Failure | None = None


class PartRecord(_Record):
    """What is known of some scans of a dataset, but for what was measured.

    Attributes:
        traits: what the scans can be grouped by.
        orderings: per post-processing, what 16 bits keep of the order of each scan's map.
        shapes: per post-processing, the shape of each scan's scores, where those are kept.
        example: the name of the scan that pictures show, where it is among these.
        environment: where and how long they were scored.
    """

    traits: tuple[ScanTraits, ...]
    orderings: Mapping[str, tuple[Ordering, ...]]
    shapes: Mapping[str, tuple[tuple[int, int, int], ...]]
    example: str | None
    environment: Environment


@dataclass(frozen=True, slots=True)
class PartFolder:
    """The folder of one part.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def of(cls, parts: Path, stands_on: object, first: int, last: int) -> PartFolder:
        """The folder of a part below that of all.

        Args:
            parts: the folder of all parts.
            stands_on: everything that the numbers depend on, as plain values.
            first: the first scan.
            last: one behind the last.
        """
        text = json.dumps(stands_on, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return cls(parts / name / f"{first}-{last}")

    def holds(self, cells: Iterable[CellSpec], variants: Iterable[str]) -> bool:
        """Whether the part was finished before, with some cells and with the scores of variants.

        A cell that failed is tried again.
        """
        try:
            record = self.read()
            found = [self.measured(spec) for spec in cells]
        except (OSError, ValidationError):
            return False
        if any(isinstance(one, Failure) for one in found):
            return False
        return set(variants) <= record.shapes.keys()

    def clear(self) -> None:
        """Make the folder anew."""
        with writing(self.path):
            shutil.rmtree(self.path, ignore_errors=True)
            make_folder(self.path)

    def keep(self, spec: CellSpec, scans: Iterable[MeasuredScan]) -> None:
        """Write the measured scans of a cell, one after the other.

        Raises:
            UadBenchError: they cannot be written; or what measures them raises.
        """
        spool = self._spool(spec)
        kept = tuple(
            _Scan(
                scores=one.scores,
                healthy=one.healthy,
                penalised=one.penalised,
                places=spool.kept(one.histograms),
            )
            for one in scans
        )
        spool.sync()
        self._write(spec, _Cell(scans=kept))

    def keep_failure(self, spec: CellSpec, failure: Failure) -> None:
        """Write why the scans could not be measured for a cell."""
        self._write(spec, _Cell(failure=failure))

    def _write(self, spec: CellSpec, cell: _Cell) -> None:
        write_whole(self._file(spec, "json"), cell.model_dump_json().encode())

    def write(self, record: PartRecord, example: Example | None) -> None:
        """Write the record, after which the part is finished."""
        if example is not None:
            arrays: dict[str, NDArray[np.generic]] = {
                "image": example.image,
                "lesion": example.lesion,
                **{f"score/{name}": score for name, score in example.scores.items()},
            }
            if example.reconstruction is not None:
                arrays["reconstruction"] = example.reconstruction
            write_whole(self.path / _EXAMPLE, npz_bytes(arrays))
        write_whole(self.path / _RECORD, record.model_dump_json().encode())

    def read(self) -> PartRecord:
        """Read the record."""
        return PartRecord.model_validate_json((self.path / _RECORD).read_bytes())

    def measured(self, spec: CellSpec) -> list[MeasuredScan] | Failure:
        """Read the scans of a cell; their histograms stay in their file."""
        cell = _Cell.model_validate_json(self._file(spec, "json").read_bytes())
        if cell.failure is not None:
            return cell.failure
        spool = self._spool(spec)
        return [
            MeasuredScan(one.scores, spool.histograms(one.places), one.healthy, one.penalised)
            for one in cell.scans
        ]

    def levels(self, record: PartRecord) -> dict[str, list[NDArray[np.uint16]]]:
        """Map the scores of the scans, where they are kept, by post-processing."""
        return {
            name: read_levels(self.path / levels_file(name), shapes)
            for name, shapes in record.shapes.items()
        }

    def example(self, record: PartRecord) -> Example | None:
        """Read the slice that pictures show, where it is in this part."""
        if record.example is None:
            return None
        with np.load(self.path / _EXAMPLE, allow_pickle=False) as file:
            arrays = dict(file)
        scores = {
            name.removeprefix("score/"): array
            for name, array in arrays.items()
            if name.startswith("score/")
        }
        rebuilt = arrays.get("reconstruction")
        return Example(record.example, arrays["image"], arrays["lesion"], rebuilt, scores)

    def _spool(self, spec: CellSpec) -> Spool:
        return Spool(self._file(spec, "spool"))

    def _file(self, spec: CellSpec, kind: str) -> Path:
        return self.path / f"{spec.protocol}-{spec.postprocessing}.{kind}"
