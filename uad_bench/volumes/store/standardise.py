"""Bringing one scan to the template: brain, bias field, registration, tissues; each step once.

What a step made lies in a file of its own, named by the hash of all that it depends on: the files'
content, the recipe's choice, the tool's version. So it is found again after a kill, by another
command, and with another recipe that shares the step.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Scan, Space
from uad_bench.errors import ScanError
from uad_bench.system.disk import write_whole
from uad_bench.volumes.files.nifti import voxel_hash
from uad_bench.volumes.files.place import misplaced
from uad_bench.volumes.grid import Affine, FloatArray, Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.atropos import segment_tissues
from uad_bench.volumes.steps.bias import correct_bias
from uad_bench.volumes.steps.label_map import label_shares, refuse_bright_fluid
from uad_bench.volumes.steps.read import (
    LoadedScan,
    NativeScan,
    Shares,
    find_space,
    load_scan,
    refuse_incomplete,
)
from uad_bench.volumes.steps.register import Target, load_ants, load_target, register
from uad_bench.volumes.steps.space import TO_MNI152, template_brain, template_grid
from uad_bench.volumes.steps.strip import PACKAGES, strip, tool_version
from uad_bench.volumes.steps.tissue_maps import (
    TissueMapping,
    mapped_tissues,
    mapping_files,
)
from uad_bench.volumes.store.inputs import ScanInput, digest
from uad_bench.volumes.store.prepared import Displaced, Standard, Step, StepName

VERSION = 1
"""Version of these steps: raised whenever the same scan would come out differently."""

_N4 = "shrink 4"

_TITLES: dict[Space, str] = {"mni152": "MNI152 space", "sri24": "SRI24 space"}

TissueSource = Literal["atropos"] | TissueMapping
"""Where tissue maps come from, beside those that a dataset brings itself."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What every scan of a dataset is prepared with; travels to worker processes once.

    Attributes:
        recipe: the choices.
        steps: the folder that keeps what steps made.
        root: the dataset's own folder.
        template: the user's SRI24, where the recipe registers to it.
        tissues: where the tissue maps of training and validation scans come from.
        mask_shift: up to how many mm away a mask's header may place the FLAIR's voxels; such a
            mask is laid voxel on voxel.
        grid: the template grid of the recipe.
        brain: the template brain on it, bool ``[Z, H, W]``.
    """

    recipe: Recipe
    steps: Path
    root: Path
    template: Path | None = None
    tissues: TissueSource | None = None
    mask_shift: float = 0.0
    grid: Grid = field(init=False)
    brain: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", template_grid(self.recipe))
        object.__setattr__(self, "brain", template_brain(self.recipe))


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that a scan needs, and whether it was done before."""

    name: StepName
    done: bool


@dataclass(slots=True)
class _Ledger:
    """Does the steps of one scan, or finds them done, and writes down what they cost."""

    folder: Path
    key: str
    steps: list[Step] = field(default_factory=list)

    def file(self, name: StepName, choice: object) -> Path:
        """Return the file of the next step; what follows depends on it."""
        self.key = digest([VERSION, self.key, name, choice])
        return self.folder / f"{name}-{self.key}.npz"

    def plan(self, name: StepName, choice: object) -> PlannedStep:
        """Say whether the next step was done before."""
        return PlannedStep(name, self.file(name, choice).is_file())

    def do(self, name: StepName, choice: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what ``make`` gives, now or before."""
        file = self.file(name, choice)
        kept = _read(file)
        if kept is None:
            started = time.perf_counter()
            value = make()
            kept = value, round(time.perf_counter() - started, 2)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, value=value, seconds=kept[1])
            write_whole(file, buffer.getvalue())
        self.steps.append(Step(name=name, seconds=kept[1]))
        return kept[0]


def standardise(item: ScanInput, preparation: Preparation) -> tuple[LoadedScan, Standard]:
    """Bring a scan to the template: find its brain, register it, where this was not done before.

    A given brain mask wins; a scan without its skull is not stripped, and one in template space is
    not registered. Images are not resampled here: the transform is joined to the scan's affine, so
    that slicing interpolates once.

    Raises:
        ScanError: the scan cannot be used, in one line.
        UadBenchError: a tool or the template is missing, or the disk is full.
    """
    scan, recipe = item.scan, preparation.recipe
    refuse_incomplete(scan)
    native = load_scan(scan, preparation.mask_shift)
    ledger = _ledger(item, preparation)
    image, brain = native.image, native.brain
    if brain is not None:
        how = "voxels that are not 0" if scan.brain_mask is None else "given mask"
    else:
        how = _strip_choice(recipe)
        brain = ledger.do("strip", how, lambda: strip(image, native.affine, recipe.strip))
    if native.lesion is not None and (
        problem := misplaced(native.lesion == 1, brain, native.affine)
    ):
        raise ScanError(f"{scan.lesion[0]}: {problem}")
    if recipe.n4:
        head, inside = image, brain
        image = ledger.do("n4", _N4, lambda: correct_bias(head, inside, native.affine))
    to_mni152, registration = _placed(native, image, brain, preparation, ledger)
    affine = to_mni152 @ native.affine
    tissues: Shares | None = None if native.tissues is None else label_shares(native.tissues)
    source = None if scan.split == "test" else preparation.tissues
    if source == "atropos":
        choice = _tissue_choice(native)
        tissues = ledger.do("tissues", choice, lambda: segment_tissues(image, brain, affine))
    elif isinstance(source, TissueMapping):
        tissues = mapped_tissues(source, preparation.root, scan, brain, native.affine)
        _, path = mapping_files(source, preparation.root, scan)[0]
        refuse_bright_fluid(path, tissues >= 0.5, native.image, "the mapping file says")
    standard = Standard(
        brain=how,
        registration=registration,
        to_mni152=tuple(tuple(row) for row in to_mni152.tolist()),
        regridded=tuple(path.name for path in native.regridded),
        displaced=tuple(
            Displaced(file=path.name, mm=round(mm, 3)) for path, mm in native.displaced
        ),
        voxels=voxel_hash(native.image, native.affine),
        labels=native.labels,
        steps=tuple(ledger.steps),
    )
    return LoadedScan(image, brain, native.lesion, tissues, affine), standard


def planned_steps(item: ScanInput, preparation: Preparation) -> tuple[PlannedStep, ...]:
    """Say what ``standardise`` would do with a scan, without doing it.

    Whether a head that is stated to lie in template space does so, only its brain can tell: it is
    taken at its word here.

    Raises:
        ScanError: the scan cannot be used, in one line.
    """
    refuse_incomplete(item.scan)
    native = load_scan(item.scan, preparation.mask_shift)
    ledger = _ledger(item, preparation)
    names = _needed(item.scan, native, preparation)
    steps = [ledger.plan(name, _choice(name, native, preparation)) for name in names]
    return (*steps, PlannedStep("slice", done=False))


def needed_tools(scan: Scan, preparation: Preparation) -> frozenset[str]:
    """Return the packages without which ``standardise`` cannot do its steps of a scan.

    Raises:
        ScanError: the scan cannot be used, in one line.
    """
    refuse_incomplete(scan)
    needed = _needed(scan, load_scan(scan, preparation.mask_shift), preparation)
    return frozenset(step_tool(name, preparation.recipe) for name in needed)


def step_tool(name: StepName, recipe: Recipe) -> str:
    """Return the package that does a step of ``standardise``."""
    return PACKAGES[recipe.strip] if name == "strip" else "antspyx"


def recorded_seconds(folder: Path, name: StepName) -> list[float]:
    """What every kept step of one kind took on this machine."""
    kept = (_read(file) for file in folder.glob(f"{name}-*.npz"))
    return [seconds for _, seconds in filter(None, kept)]


def _placed(
    native: NativeScan,
    image: FloatArray,
    brain: NDArray[np.bool_],
    preparation: Preparation,
    ledger: _Ledger,
) -> tuple[Affine, str]:
    """Return the way to MNI152 world, and how it was found.

    Only a space that someone states is believed, and only where the brain does lie in it: a scan
    in its scanner's world overlaps a template's brain by chance.
    """
    if native.space is not None and _lies_there(native, brain, preparation):
        return TO_MNI152[native.space], f"published in {_TITLES[native.space]}"
    recipe = preparation.recipe
    title = f"{recipe.registration} to {_TITLES[recipe.template]}, {ants_version()}"
    if native.space is not None:
        title += f" (stated to be in {_TITLES[native.space]}, but it is not)"
    target = _target(preparation.template)
    transform = ledger.do(
        "register",
        _registration_choice(preparation),
        lambda: register(image, brain, native.affine, target, recipe.registration),
    )
    return transform, title


def _lies_there(native: NativeScan, brain: NDArray[np.bool_], preparation: Preparation) -> bool:
    """Whether a brain lies in the space that is stated for it."""
    grid, template = preparation.grid, preparation.brain
    return find_space(brain, native.affine, native.space, template, grid) is not None


def _needed(
    scan: Scan, native: NativeScan, preparation: Preparation
) -> Iterator[Literal["strip", "n4", "register", "tissues"]]:
    """The costly steps that a scan needs, in their order."""
    if native.brain is None:
        yield "strip"
    if preparation.recipe.n4:
        yield "n4"
    if native.space is None or (
        native.brain is not None and not _lies_there(native, native.brain, preparation)
    ):
        yield "register"
    if scan.split != "test" and preparation.tissues == "atropos":
        yield "tissues"


def _choice(name: StepName, native: NativeScan, preparation: Preparation) -> object:
    """What the outcome of a step depends on, beside the scan and the steps before it."""
    if name == "strip":
        return _strip_choice(preparation.recipe)
    if name == "register":
        return _registration_choice(preparation)
    return _tissue_choice(native) if name == "tissues" else _N4


def _ledger(item: ScanInput, preparation: Preparation) -> _Ledger:
    """The ledger of a scan: its steps depend on the FLAIR and on a given brain mask."""
    hashes = {file.role: file.sha256 for file in item.files}
    return _Ledger(preparation.steps, digest([hashes["flair"], hashes.get("brain")]))


def _strip_choice(recipe: Recipe) -> str:
    return f"{recipe.strip} {tool_version(recipe.strip)}"


def _tissue_choice(native: NativeScan) -> list[str]:
    """Atropos looks at the template through the scan's space, which no step before states."""
    return ["atropos", native.space or "registered", ants_version()]


def _registration_choice(preparation: Preparation) -> list[str]:
    kind = preparation.recipe.registration
    return [kind, target_fingerprint(preparation.template), ants_version()]


@lru_cache(maxsize=2)
def _target(template: Path | None) -> Target:
    """The template, loaded once per process."""
    return load_target(template)


@lru_cache(maxsize=2)
def target_fingerprint(template: Path | None) -> str:
    """Return what tells one registration target from another: its name and a hash of its voxels.

    Raises:
        UadBenchError: when ``template`` is not SRI24.
    """
    if template is None:
        return f"mni152 of nilearn {version('nilearn')}"
    target = _target(template)
    return f"{target.name} {hashlib.sha256(target.image.tobytes()).hexdigest()[:16]}"


def ants_version() -> str:
    """Return the version of ANTs.

    Raises:
        UadBenchError: when it is not installed.
    """
    try:
        return f"antspyx {version('antspyx')}"
    except PackageNotFoundError:
        load_ants()
        raise


def _read(file: Path) -> tuple[NDArray[Any], float] | None:
    """Return what a step made and its seconds; ``None`` where there is no whole file."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return kept["value"], float(kept["seconds"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
