"""An export run again: what cannot be is said first, and then every number is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uad_bench.cells import CellRecord, CellSpec
from uad_bench.errors import UadBenchError
from uad_bench.plugins.code import code_of
from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder, stored_cells
from uad_bench.runner.environment import versions
from uad_bench.runner.events import Event, Listener, Noted, Started
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.plan.plan import PlannedCell
from uad_bench.runner.run import run
from uad_bench.sharing.again import RunAgain, run_again
from uad_bench.sharing.archive import opened_results
from uad_bench.sharing.differences import Number, differences
from uad_bench.sharing.shareable import shareable


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every number of then beside that of now.

    Attributes:
        numbers: of the cells that were run again.
        not_compared: names of the archive's other cells, and why.
    """

    numbers: tuple[Number, ...]
    not_compared: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether every cell was run again, and every number is within its tolerance."""
        return not self.not_compared and all(number.within for number in self.numbers)


def reproduce(
    path: Path, results: Path, given: Mapping[str, Any], tell: Listener, *, command: str
) -> Comparison:
    """Run again what an export holds, and compare.

    Args:
        path: the zip.
        results: the folder for the cells of now.
        given: those settings of ``settings.OF_MACHINE`` that the user gave.
        tell: told what cannot be, before any training, and then about every step.
        command: how to go on, for ``status``.

    Raises:
        UadBenchError: the archive cannot be used, or none of its cells can be run again.
    """
    with opened_results(path) as found:
        pass  # all that is needed of it has been read
    _refuse_cells_of_then(path, found.cells, ResultsFolder(results))
    told: set[Event] = set()

    def check(event: Event) -> None:
        if isinstance(event, Noted | Started):
            told.add(event)
        tell(event)

    def go_on(event: Event) -> None:
        if not isinstance(event, Noted | Started) or event not in told:  # the run checks again
            tell(event)

    reasons: dict[str, str] = {}
    runs: list[RunAgain] = []
    for name in dict.fromkeys(record.run for record in found.cells):
        cells = [cell for cell in found.cells if cell.run == name and _finished(cell, reasons)]
        if not cells:
            continue
        try:
            one = run_again(found, cells, {**given, "results": results}, reasons, check)
            runs.append(_without_strays(one, reasons))
        except UadBenchError as error:
            reasons |= {cell.spec.name: str(error) for cell in cells}
    for name, reason in reasons.items():
        tell(Noted(f"not run again: {name}: {reason}"))
    if len(reasons) == len(found.cells):
        first = next(iter(reasons.values()))
        raise UadBenchError(f"{path}: none of its cells can be run again here: {first}")
    todo = [one for one in runs if one.cells]
    for note in dict.fromkeys(note for one in todo for note in _other_versions(one)):
        tell(Noted(note))
    numbers: list[Number] = []
    for one in todo:
        done = run(one.config, one.registry, [go_on], command=command)
        numbers += _compared(one.cells, done.records, reasons, tell)
    return Comparison(tuple(numbers), reasons)


def _refuse_cells_of_then(path: Path, then: Sequence[CellRecord], folder: ResultsFolder) -> None:
    """Refuse a folder with cells of the archive themselves, which no run would compute again."""
    there = {one.spec.name: one.environment for one in map(shareable, stored_cells(folder))}
    if any(there.get(cell.spec.name) == cell.environment for cell in then):
        raise UadBenchError(
            f"{folder.root}: holds cells of {path} themselves, which would not be run again; give "
            "a new folder with --results"
        )


def _without_strays(again: RunAgain, reasons: dict[str, str]) -> RunAgain:
    """Leave out cells to which a run's settings do not lead; why is added to reasons."""
    if not again.cells:
        return again
    plan = make_plan(again.config, again.registry)
    planned = {_place(cell) for cell in plan.cells()}
    strays = [cell.spec.name for cell in again.cells if _place(cell.spec) not in planned]
    reasons |= dict.fromkeys(strays, "the settings of its run do not lead to it")
    return replace(again, cells=tuple(c for c in again.cells if c.spec.name not in strays))


def _finished(cell: CellRecord, reasons: dict[str, str]) -> bool:
    """Whether a cell is one that a run finished."""
    if cell.maps is not None:
        reasons[cell.spec.name] = "its maps were made elsewhere: score them with uad-bench evaluate"
    elif cell.state == "failed":
        reasons[cell.spec.name] = f"it failed in the archive: {cell.reason}"
    return cell.spec.name not in reasons


def _other_versions(again: RunAgain) -> Iterator[str]:
    """Say which packages, methods, protocols and post-processings are others than then."""
    here = versions()
    for cell in again.cells:
        for package, then in cell.environment.versions.items():
            now = here.get(package, "not installed")
            if now != then:
                yield f"{package} is {now} here, and was {then}"
        yield from _other_code(cell, again.registry)


def _other_code(cell: CellRecord, registry: Registry) -> Iterator[str]:
    spec = cell.spec
    if code_of(registry.method(spec.method)).hash != cell.code:
        yield f"the code of {spec.method} is another than the archive's"
    if registry.protocol(spec.protocol).version != cell.protocol_version:
        yield f"the protocol {spec.protocol} is of another version than the archive's"
    (variant,) = registry.postprocessings([spec.postprocessing])
    if variant.version != cell.postprocessing_version:
        yield f"the post-processing {spec.postprocessing} is of another version than the archive's"


def _compared(
    then: Sequence[CellRecord], now: Sequence[CellRecord], reasons: dict[str, str], tell: Listener
) -> Iterator[Number]:
    """Yield the numbers of cells that were run again; why others have none is added to reasons."""
    found = {_place(record.spec): record for record in now}
    for old in then:
        new = found.get(_place(old.spec))
        if reason := _incomparable(old, new):
            reasons[old.spec.name] = reason
            continue
        assert new is not None
        if shareable(new).spec.params != old.spec.params:
            who = "tuning chose" if old.fit is not None and old.fit.trials else "its method has"
            tell(Noted(f"{old.spec.name}: {who} other parameters here"))
        yield from differences(old, new)


def _place(spec: CellSpec | PlannedCell) -> tuple[str | int, ...]:
    """What a cell is in its run, whatever tuning chose."""
    return (
        spec.method,
        spec.supervised_on,
        spec.seed,
        spec.dataset,
        spec.protocol,
        spec.postprocessing,
        spec.space,
    )


def _incomparable(then: CellRecord, now: CellRecord | None) -> str:
    """Why a cell that was run again has no numbers to compare; empty where it has."""
    if now is None:
        return "the run of now has no such cell"
    if now.state == "failed":
        return f"it fails here: {now.reason}"
    for old, new in ((then.training, now.training), (then.data, now.data)):
        if old is None or new is None or (old.simulated and new.simulated):
            continue
        if old.manifest_hash != new.manifest_hash:
            return f"{new.dataset} came out as other data than the archive's: see what is left out"
    return ""
