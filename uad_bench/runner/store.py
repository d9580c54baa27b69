"""The store of cells: it alone knows which are done, pending, or in conflict with this run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment, FitRecord, MapsUse
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.method import Method, Params
from uad_bench.plugins.code import code_of
from uad_bench.report.tables.versions import refuse_other_version
from uad_bench.results import ResultsFolder, read_cell, stored_cells, write_cell
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data
from uad_bench.runner.events import CellWritten, Listener, Noted
from uad_bench.runner.executors.contract import Failure
from uad_bench.runner.plan.known import KnownCells
from uad_bench.runner.plan.maps import MapsPlan
from uad_bench.runner.plan.plan import Plan, PlannedCell
from uad_bench.system.disk import write_whole


@dataclass(frozen=True, slots=True)
class Origin:
    """What the scores of cells came from: a detector of this run, or another program.

    Attributes:
        title: column heading.
        control: whether it is a control.
        supervised: whether it saw lesion masks.
        code: hash of a method's code.
        training: what a detector learned from.
        fit: how it came to be.
        maps: the maps that were made elsewhere.
    """

    title: str
    control: bool = False
    supervised: bool = False
    code: str = ""
    training: DatasetUse | None = None
    fit: FitRecord | None = None
    maps: MapsUse | None = None

    @classmethod
    def of(cls, method: type[Method], training: DatasetUse, fit: FitRecord | None = None) -> Origin:
        """A method's detector; without ``fit``, one that came to nothing."""
        info = method.info
        return cls(
            title=info.title,
            control=info.control,
            supervised=info.supervised,
            code=code_of(method).hash,
            training=training,
            fit=fit,
        )


@dataclass(frozen=True, slots=True)
class CellStore:
    """The cells of one run in a results folder.

    Attributes:
        results: the folder.
        config: the run.
        tell: told about every cell that is written.
        protocols: the protocols that cells follow.
        postprocessings: the post-processings of cells.
    """

    results: ResultsFolder
    config: RunConfig
    tell: Listener
    protocols: tuple[Protocol, ...] = ()
    postprocessings: tuple[PostProcessing, ...] = ()

    @classmethod
    def of(cls, plan: Plan | MapsPlan, tell: Listener) -> CellStore:
        """The cells of a plan."""
        results = ResultsFolder(plan.config.results)
        return cls(results, plan.config, tell, plan.protocols, plan.postprocessings)

    def specs(
        self, method: str, supervised_on: str, params: Params, seed: int, label: str
    ) -> tuple[CellSpec, ...]:
        """The cells of one detector on one dataset."""
        return tuple(
            CellSpec(
                method=method,
                supervised_on=supervised_on,
                params=params.model_dump(mode="json"),
                seed=seed,
                dataset=label,
                protocol=protocol.name,
                postprocessing=postprocessing.name,
                space=self.config.space,
            )
            for protocol in self.protocols
            for postprocessing in self.postprocessings
        )

    def protocol(self, spec: CellSpec) -> Protocol:
        """The protocol of a cell."""
        return next(one for one in self.protocols if one.name == spec.protocol)

    def variants(self, specs: Iterable[CellSpec]) -> tuple[PostProcessing, ...]:
        """The post-processings of some cells, each once."""
        names = {spec.postprocessing for spec in specs}
        return tuple(one for one in self.postprocessings if one.name in names)

    def pending(self, code: str, specs: Iterable[CellSpec]) -> tuple[CellSpec, ...]:
        """Those of a method's cells that are to be computed; by its code of now."""
        return tuple(spec for spec in specs if self._is_pending(spec, code))

    def kept(
        self, specs: Iterable[CellSpec], pending: Collection[CellSpec]
    ) -> tuple[CellRecord, ...]:
        """The records of cells that are not pending, as far as they are there."""
        kept = (self.stored(spec) for spec in specs if spec not in pending)
        return tuple(record for record in kept if record is not None)

    def _is_pending(self, spec: CellSpec, code: str) -> bool:
        overwrite = self.config.overwrite
        if overwrite == "all":
            return True
        if (record := self.stored(spec)) is None:
            return overwrite != "failed"
        return overwrite != "never" and (record.state == "failed" or record.code != code)

    def stored(self, spec: CellSpec) -> CellRecord | None:
        """The record of a cell, ``None`` where there is none."""
        path = self.results.cell(spec.name)
        return read_cell(path) if path.is_file() else None

    def refuse_other_versions(self, cells: Iterable[PlannedCell]) -> None:
        """Refuse finished cells of a plan that follow other versions than this uad-bench has.

        Raises:
            UadBenchError: naming the first such cell.
        """
        if self.config.overwrite == "all":
            return
        known = KnownCells(stored_cells(self.results))
        found = (record for cell in cells for record in known.of(cell))
        refuse_other_version(found, self.protocols, self.postprocessings)

    def refuse_conflicts(
        self,
        method: type[Method],
        supervised_on: str,
        params: Params,
        detectors: Mapping[int, str],
        data: Data,
    ) -> None:
        """Refuse finished cells of a method that stand on other data or another prior.

        Cells that another code of the method computed are told, because they are computed anew.

        Args:
            method: the method.
            supervised_on: the dataset that it learns from where it is supervised; else empty.
            params: its parameters.
            detectors: the keys of its detectors in this run, by seed.
            data: the data of this run.

        Raises:
            UadBenchError: naming the first such cell. Its number is neither passed off as this
                run's nor replaced, unless everything is to be computed again. So are cells of
                another code, where finished cells are to be kept.
        """
        if self.config.overwrite == "all":
            return
        changed = 0
        for seed, label in product(detectors, data.evaluated):
            datasets = (data.learned(supervised_on), data.tested(supervised_on, label))
            here = tuple(dataset.manifest_hash for dataset in datasets)
            for spec in self.specs(method.info.name, supervised_on, params, seed, label):
                record = self.stored(spec)
                if record is None or record.training is None or record.data is None:
                    continue
                there = (record.training.manifest_hash, record.data.manifest_hash)
                if there != here:
                    data_differs = "other scans, phantoms, anatomies, limit or recipe"
                    raise self._conflict(spec, f"other data than this run ({data_differs})")
                if record.code != code_of(method).hash:
                    changed += 1
                elif record.fit is not None and record.fit.detector != detectors[seed]:
                    atlas = self.config.said("atlas")
                    raise self._conflict(spec, f"another tissue prior than this run ({atlas})")
        if changed:
            self._tell_other_code(method.info.name, changed)

    def refuse_other_maps(self, specs: Iterable[CellSpec], maps: MapsUse, data: DatasetUse) -> None:
        """Refuse finished cells that stand on other maps, data or versions than this evaluation's.

        Args:
            specs: the cells.
            maps: the maps.
            data: the evaluated dataset.

        Raises:
            UadBenchError: naming the first such cell.
        """
        if self.config.overwrite == "all":
            return
        done = [one for one in map(self.stored, specs) if one is not None and one.state == "done"]
        refuse_other_version(done, self.protocols, self.postprocessings)
        for record in done:
            if (record.maps, record.data) != (maps, data):
                raise UadBenchError(
                    f"{self.results.cell(record.spec.name)} stands on other maps or other data "
                    f"than this evaluation: give it another {self.config.said('name')} or "
                    f"{self.config.said('results')} folder, or replace the cells with "
                    f"{self.config.said('overwrite', 'all')}"
                )

    def _conflict(self, spec: CellSpec, other: str) -> UadBenchError:
        return UadBenchError(
            f"{self.results.cell(spec.name)} stands on {other}: give this run its own "
            f"{self.config.said('results')} folder, or replace the cells with "
            f"{self.config.said('overwrite', 'all')}"
        )

    def _tell_other_code(self, name: str, cells: int) -> None:
        """Say that a method's code changed, and what becomes of the cells of the old one."""
        counted = "1 cell" if cells == 1 else f"{cells} cells"
        text = f"the code of {name} changed since {counted} of it came to be"
        overwrite = self.config.overwrite
        if overwrite != "missing":
            raise UadBenchError(
                f"{text}, and {self.config.said('overwrite', overwrite)} keeps what is there: "
                f"compute it anew with {self.config.said('overwrite', 'missing')}, or give this "
                f"run its own {self.config.said('results')} folder"
            )
        self.tell(Noted(f"{text}: computed anew"))

    def write(self, record: CellRecord) -> CellRecord:
        """Write a cell whole, remove what an earlier one of its name left, and tell it."""
        write_cell(self.results, record)
        name = record.spec.name
        old = [self._trace(record.spec)]
        if record.state == "failed":
            old = [
                self.results.picture(name),
                self.results.undrawn(name),
                self.results.histograms / f"{name}.npz",
            ]
        for file in old:
            file.unlink(missing_ok=True)
        self.tell(CellWritten(record))
        return record

    def write_failed(self, origin: Origin, spec: CellSpec, failure: Failure) -> CellRecord:
        """Write a failed cell with its reason, and the traceback beside it."""
        write_whole(self._trace(spec), failure.trace.encode())
        return self.write(self.failed(origin, spec, failure))

    def failed(self, origin: Origin, spec: CellSpec, failure: Failure) -> CellRecord:
        """Return the record of a failed cell."""
        nothing = replace(origin, fit=None)
        return self.new_record(
            nothing, spec, failure.environment, state="failed", reason=failure.reason
        )

    def forget_failed(self, specs: Iterable[CellSpec]) -> None:
        """Remove those of some cells that failed in this run before, and are none of it now."""
        for spec in specs:
            record = self.stored(spec)
            if record is None or record.state == "done" or record.run != self.config.run_name:
                continue
            self.results.cell(spec.name).unlink(missing_ok=True)
            self._trace(spec).unlink(missing_ok=True)

    def _trace(self, spec: CellSpec) -> Path:
        """The file with the traceback of a failed cell."""
        return self.results.root / "failures" / f"{spec.name}.txt"

    def new_record(
        self, origin: Origin, spec: CellSpec, environment: Environment, **found: Any
    ) -> CellRecord:
        """Return the record of a cell, to be written.

        Args:
            origin: what its scores came from.
            spec: what was asked.
            environment: where it was computed.
            found: the state, and what else came out.
        """
        (variant,) = self.variants([spec])
        return CellRecord.model_validate(
            {
                "spec": spec,
                "protocol_version": self.protocol(spec).version,
                "postprocessing_version": variant.version,
                "method_title": origin.title,
                "control": origin.control,
                "supervised": origin.supervised,
                "training": origin.training,
                "fit": origin.fit,
                "maps": origin.maps,
                "code": origin.code,
                "run": self.config.run_name if origin.maps is None else "",
                "environment": environment,
                **found,
            }
        )
