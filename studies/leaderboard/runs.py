"""What the leaderboard runs: which methods, with which budgets, on which people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from types import MappingProxyType
from typing import Any

import uad_bench as ub
from uad_bench.errors import UadBenchError
from uad_bench.method import Method, member_field, members_of
from uad_bench.phantom.datasets import simulate_dataset
from uad_bench.phantom.layouts import write_layout
from uad_bench.plugins.registry import Registry, open_registry
from uad_bench.runner.config import load_config
from uad_bench.runner.detectors.params import given_params
from uad_bench.runner.plan.make import make_plan

POSTPROCESSING = "star"

WITH_HEALTHY, OTHER_PEOPLE = "msi", 1
"""The dataset that is simulated a second time, with healthy people, and the seed that makes others
of them. Its scanner is that of the healthy people whom detectors learn from."""

_NOTHING: Mapping[str, str] = MappingProxyType({})

_FEWEST = 4
"""Patients and healthy people from which an area under the curve has an interval."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the leaderboard is.

    Attributes:
        slices: what each network sees in training.
        phantoms: simulated patients per dataset.
        seeds: of each method.
        once: methods with the first of them alone.
        recipe: of the preparation.
        param: parameters by ``METHOD.NAME``, which win over the budgets.
        methods: all that need no file of the user's, if none are named.
    """

    slices: int
    phantoms: int
    seeds: tuple[int, ...]
    once: tuple[str, ...] = ()
    recipe: str = "median"
    param: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = ()

    @property
    def patients(self) -> int:
        """Patients of the dataset that has as many healthy people."""
        return max(_FEWEST, 2 * self.phantoms)


@dataclass(frozen=True, slots=True)
class Part:
    """The simulated people, or the real ones.

    Attributes:
        folder: where its results are.
        runs: what `uad_bench.run` is called with, one after the other.
        learned: a folder with detectors that learned from the same people.
    """

    folder: Path
    runs: tuple[Mapping[str, Any], ...]
    learned: Path | None = None


def plan(
    size: Size,
    results: Path,
    *,
    data_root: Path | None = None,
    datasets: Sequence[str] = ("all",),
    supervised_on: Sequence[str] = (),
    jobs: int | None = None,
) -> tuple[Part, ...]:
    """Return what is to be run; simulate the patients with healthy people beside them.

    Args:
        size: how large it is.
        results: the folder of all parts.
        data_root: the real datasets.
        datasets: which of them are tested on.
        supervised_on: which of them supervised methods learn from.
        jobs: processes that train and score.

    Raises:
        UadBenchError: an unknown method.
    """
    _refuse_unknown(size)
    people = _people(results, size.patients)
    common = {
        "phantoms": size.phantoms,
        "recipe": size.recipe,
        "tune": False,
        "postprocessing": POSTPROCESSING,
        "mlflow": False,
        "jobs": jobs,
    }
    simulated = Part(
        results / "simulated",
        _runs(size, common | {"datasets": ("all", people), "supervised_on": (people,)}),
    )
    if data_root is None:
        return (simulated,)
    tested = {"data_root": data_root, "datasets": datasets, "supervised_on": supervised_on}
    real = Part(results / "real", _runs(size, common | tested), simulated.folder / "detectors")
    return (simulated, real)


def _refuse_unknown(size: Size) -> None:
    """Refuse a method to be run once that is not run at all: another would have all seeds."""
    everyone = size.methods or every_method(open_registry(None))
    unknown = [name for name in size.once if name not in everyone]
    if unknown:
        raise UadBenchError(
            f"--once {','.join(unknown)}: no method of this leaderboard; its methods are "
            f"{', '.join(everyone)}"
        )


def _people(results: Path, patients: int) -> str:
    """Simulate patients and as many healthy people, once; return the name of the dataset."""
    folder = results / f"people-{patients}" / "with-healthy"
    if not folder.is_dir():
        scans = simulate_dataset(
            WITH_HEALTHY, subjects=patients, healthy=patients, seed=OTHER_PEOPLE
        )
        write_layout(WITH_HEALTHY, folder, scans)
    return f"{WITH_HEALTHY}:{folder}"


def _runs(size: Size, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """A run of the methods with all seeds, and one of those with the first seed alone."""
    registry = open_registry(None)
    everyone = size.methods or every_method(registry)
    taught = {name for name in everyone if registry.method(name).info.supervised}
    names = [name for name in everyone if given["supervised_on"] or name not in taught]
    often = [name for name in names if name not in size.once]
    runs: list[Mapping[str, Any]] = []
    for methods, seeds in ((often, size.seeds), (sorted({*names} - {*often}), size.seeds[:1])):
        others = _whose(everyone, registry) - _whose(methods, registry)
        param = {key: one for key, one in size.param.items() if key.split(".")[0] not in others}
        one = {
            "methods": methods,
            "seeds": seeds,
            "param": budgets(registry, methods, size.slices, size.param) | param,
            "supervised_on": given["supervised_on"] if taught & {*methods} else (),
            "controls": () if runs else None,  # they are beside the first
        }
        if methods:
            runs.append({**given, **one})
    return tuple(runs)


def _whose(names: Iterable[str], registry: Registry) -> set[str]:
    """The methods whose parameters count for some: they, their members, what trains for them."""
    methods = [registry.method(name) for name in names]
    members = [member for one in methods for member in members_of(one)]
    trained = filter(None, (one.trained_as for one in methods))
    return {one.info.name for one in (*methods, *members, *trained)}


def refuse_impossible(parts: Iterable[Part]) -> None:
    """Refuse what cannot be, of every run, before the first of them takes its hours.

    Raises:
        UadBenchError: all reasons at once.
    """
    problems, registry = [], open_registry(None)
    for part in parts:
        for one in part.runs:
            try:
                make_plan(
                    load_config(None, {**one, "results": part.folder}, in_python=True), registry
                )
            except UadBenchError as error:
                problems.append(str(error))
    if problems:
        raise UadBenchError("; ".join(dict.fromkeys(problems)))


def run(part: Part) -> ub.Results:
    """Run what is not there yet; return the cells of these runs, whatever else the folder has."""
    if part.learned is not None:
        copytree(part.learned, part.folder / "detectors", copy_function=_link, dirs_exist_ok=True)
    found = [ub.run(results=part.folder, **one) for one in part.runs]
    return ub.Results(part.folder, tuple(cell for one in found for cell in one.stored))


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    Path(target).hardlink_to(source)


def every_method(registry: Registry) -> list[str]:
    """Return the methods that need no file of the user's; controls come by themselves."""
    found = []
    for name in registry.names("method"):
        method = registry.method(name)
        try:
            method.resolve(method.Params())
        except UadBenchError:
            continue
        if not method.info.control:
            found.append(name)
    return found


def budgets(
    registry: Registry, names: Iterable[str], slices: int, given: Mapping[str, str] = _NOTHING
) -> dict[str, Any]:
    """Return the steps in which each method, or each member of an ensemble, sees so many slices.

    Args:
        registry: of the methods.
        names: which of them.
        slices: what each network sees.
        given: parameters of the command; a batch size that is a whole number counts.
    """
    found: dict[str, Any] = {}
    for name in names:
        method = registry.method(name)
        parts = {member_field(one): one for one in members_of(method)}
        for one in (*parts.values(), *(() if parts else (method,))):
            if steps := _steps(one, slices, str(given_params(given, one).get("batch_size", ""))):
                found[f"{one.info.name}.steps"] = steps
    return found


def _steps(method: type[Method], slices: int, given: str) -> int:
    params = method.Params()
    if not hasattr(params, "steps"):
        return 0
    size: int = int(given) if given.isdecimal() else getattr(params, "batch_size", slices)
    return -(-slices // max(size, 1))
