"""A run of an archive as it can be done here: its settings, and the files of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from uad_bench.cells import CellRecord, DatasetUse
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry, open_registry
from uad_bench.runner.config import RunConfig, load_config
from uad_bench.runner.data.gather import Orders, find_files
from uad_bench.runner.data.source import Source
from uad_bench.runner.data.sources import find_evaluated, find_supervised, find_training, finder
from uad_bench.runner.events import Listener, Noted
from uad_bench.sharing.archive import ArchivedResults
from uad_bench.sharing.shareable import is_file_setting
from uad_bench.system.disk import write_whole
from uad_bench.system.yaml_files import Written
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.store.prepare import Order
from uad_bench.volumes.store.prepared import Manifest


@dataclass(frozen=True, slots=True)
class RunAgain:
    """A run of an archive, to be done here.

    Attributes:
        config: its settings, with the files of this machine.
        registry: its plugins.
        cells: the cells that it should come to again.
    """

    config: RunConfig
    registry: Registry
    cells: tuple[CellRecord, ...]


def run_again(
    found: ArchivedResults,
    cells: Sequence[CellRecord],
    given: Mapping[str, Any],
    reasons: dict[str, str],
    tell: Listener,
) -> RunAgain:
    """Return what is left of a run: the cells that can be done again on the same data.

    Phantoms are simulated on the way. Where they come out otherwise, the cells are compared all the
    same, because they are made by the run.

    Args:
        found: the archive.
        cells: those of one run.
        given: those of ``settings.OF_MACHINE`` that the user gave, and the results folder.
        reasons: takes why each other cell cannot be done, by name.
        tell: told about every step.

    Raises:
        UadBenchError: why none of them can.
    """
    values = _settings(found, cells, given, tell)
    config = load_config(None, values)
    registry = open_registry(config.plugin)
    lost = "its method is not known here: give the method's file with --plugin"
    known = registry.names("method")
    reasons |= {cell.spec.name: lost for cell in cells if cell.spec.method not in known}
    names = [name for name in config.methods if name in known]
    sources, missing = _sources(config, registry, cells, given)
    left = [cell for cell in cells if cell.spec.name not in reasons]
    for cell in left:
        if cell.spec.dataset in missing:
            reasons[cell.spec.name] = missing[cell.spec.dataset]
    left = [cell for cell in left if cell.spec.name not in reasons]
    if not left:
        return RunAgain(config, registry, ())
    orders, made = _orders(config, registry, list(sources.values()), tell)
    for cell in left:
        if text := "; ".join(_other_data(found, cell, orders, made, tell)):
            reasons[cell.spec.name] = text
    left = [cell for cell in left if cell.spec.name not in reasons]
    tested = {cell.spec.dataset for cell in left}
    words = [word for word, source in sources.items() if source.label in tested]
    again = load_config(None, {**values, "methods": names, "datasets": words or ["all"]})
    return RunAgain(again, registry, tuple(left))


def _settings(
    found: ArchivedResults, cells: Sequence[CellRecord], given: Mapping[str, Any], tell: Listener
) -> dict[str, Any]:
    """The settings of a run with those of this machine in their place.

    Raises:
        UadBenchError: the archive has none, or one that names a file is not given here.
    """
    said = found.runs.get(cells[0].run)
    if said is None:
        raise UadBenchError("the archive does not hold the settings of its run")
    values = {name: value for name, value in said.items() if name in RunConfig.model_fields}
    try:
        values = RunConfig.model_validate(values).repeatable
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UadBenchError(
            f"the settings of its run cannot be used ({where}: {first['msg']})"
        ) from None
    if strange := sorted(said.keys() - values.keys()):
        tell(Noted(f"settings that this uad-bench does not have: {', '.join(strange)}"))
    mine = dict(given)
    if values.get("data_root") is None and mine.pop("data_root", None) is not None:
        tell(Noted("the archive's people are simulated: --data-root is not used"))
    if lacking := list(_lacking(values, mine)):
        raise UadBenchError("; ".join(lacking))
    if is_file_setting("recipe", values["recipe"]):
        values["recipe"] = str(_written_recipe(found, cells, Path(mine["results"])))
    if values["controls"] is None:  # those of now may be others
        controls = dict.fromkeys(cell.spec.method for cell in cells)
        values["controls"] = [name for name in controls if name not in values["methods"]]
    params = {**values["param"], **mine.pop("param", {})}
    # A text is what somebody wrote on a command line.
    values["param"] = {k: Written(v) if isinstance(v, str) else v for k, v in params.items()}
    return {**values, **mine, "mlflow": False}


def _lacking(values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """Say which files the archive's run used that must be named here."""
    for name, value in values.items():
        if name in given or name == "recipe":
            continue
        flag = f"--{name.replace('_', '-')}"
        if is_file_setting(name, value):
            shown = ", ".join(value) if isinstance(value, list) else value
            yield f"its run used {flag} {shown}: give yours with {flag}"
    for name in ("train", "supervised_on"):
        words = [values[name]] if isinstance(values[name], str) else values[name]
        for word in words:
            if ":" in word and name not in given:
                flag = f"--{name.replace('_', '-')}"
                yield f"its run learned from {word}: say where it is with {flag} NAME:PATH"


def _written_recipe(found: ArchivedResults, cells: Sequence[CellRecord], results: Path) -> Path:
    """Write the recipe of a run, which a manifest holds, as a file that a run takes."""
    uses = [use for cell in cells for use in (cell.training, cell.data) if use is not None]
    for use in uses:
        if use.manifest_hash in found.manifests:
            recipe: Recipe = found.manifests[use.manifest_hash].recipe
            file = results / f"recipe-{recipe.hash}.yaml"  # its name is the archive's
            write_whole(file, yaml.safe_dump(recipe.model_dump(mode="json")).encode())
            return file
    raise UadBenchError("the archive does not hold the recipe of its run")


def _sources(
    config: RunConfig, registry: Registry, cells: Sequence[CellRecord], given: Mapping[str, Any]
) -> tuple[dict[str, Source], dict[str, str]]:
    """Find the datasets of cells.

    Returns:
        Them by the words that name them, and why others are not found, by their names in cells.
    """
    labels = dict.fromkeys(cell.spec.dataset for cell in cells)
    known, find = registry.names("dataset"), finder(config, registry)
    words = config.datasets if "datasets" in given else [one for one in labels if one in known]
    sources, faults = {}, {}
    for word in words:
        try:
            sources[word] = find_evaluated(word, config, registry, find)
        except UadBenchError as error:
            faults[word] = str(error)
    lost = "its dataset was in a folder of its own: name it with --datasets NAME:PATH"
    here = {source.label for source in sources.values()}
    return sources, {one: faults.get(one, lost) for one in labels if one not in here}


def _orders(
    config: RunConfig, registry: Registry, evaluated: Sequence[Source], tell: Listener
) -> tuple[Orders, frozenset[str]]:
    """Find and hash every file, and simulate what is simulated.

    Returns:
        What is to be prepared, and the names of the datasets that were simulated here.

    Raises:
        UadBenchError: a dataset that cannot be used.
    """
    find, problems = finder(config, registry), list[str]()
    training = find_training(config, registry, find)
    supervised, _ = find_supervised(config, registry, problems, find)
    if problems:
        raise UadBenchError("; ".join(problems))
    made = {one.label for one in (training, *evaluated, *supervised) if one.folder is None}
    orders = find_files(config, training, evaluated, tell, supervised=supervised)
    return orders, frozenset(made)


def _other_data(
    found: ArchivedResults,
    cell: CellRecord,
    orders: Orders,
    made: frozenset[str],
    tell: Listener,
) -> Iterator[str]:
    """Say how the people of a cell differ from the archive's; of phantoms only a note is told."""
    on, label = cell.spec.supervised_on, cell.spec.dataset
    learned = orders.supervised.get(on) if on else orders.training
    tested = orders.supervised.get(label) if label == on else orders.evaluated.get(label)
    for order, use in ((learned, cell.training), (tested, cell.data)):
        manifest = None if use is None else found.manifests.get(use.manifest_hash)
        if order is None or use is None:
            continue  # known once it is prepared
        if text := _difference(order, use, manifest):
            if use.dataset in made:
                tell(Noted(f"phantoms of {use.dataset} come out otherwise here ({text})"))
            else:
                yield f"{use.dataset} is other data than the archive's: {text}"


def _difference(order: Order, use: DatasetUse, manifest: Manifest | None) -> str:
    """Say how the files of a dataset differ from the archive's; empty where they do not."""
    left_out = [one.scan for one in (use if manifest is None else manifest).excluded]
    if order.manifest_hash(left_out) == use.manifest_hash:
        return ""
    if manifest is None:
        return f"not those of the manifest {use.manifest_hash}, which the archive does not hold"
    then = {one.name: {(file.role, file.sha256) for file in one.files} for one in manifest.scans}
    now = {one.scan.name: {(file.role, file.sha256) for file in one.files} for one in order.inputs}
    fewer = sorted(then.keys() - now.keys())
    more = sorted(now.keys() - then.keys() - set(left_out))
    other = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    parts = [
        f"{_counted(names)} {word}, such as {names[0]}"
        for names, word in ((other, "with other files"), (fewer, "missing"), (more, "more"))
        if names
    ]
    return "; ".join(parts) or "the same files, prepared otherwise (recipe, template or version)"


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} scan{'' if len(names) == 1 else 's'}"
