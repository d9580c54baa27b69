"""From a dataset's raw files to a prepared store, once; a store that is there is used again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from uad_bench.dataset import Dataset, Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.disk import storage_error
from uad_bench.system.locks import held
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.tissue_maps import mapping_files
from uad_bench.volumes.store.exclusions import exclusion_of, read_exclusions, refuse_strangers
from uad_bench.volumes.store.inputs import (
    Files,
    ScanInput,
    dataset_scans,
    digest,
    facts,
    scan_inputs,
)
from uad_bench.volumes.store.prepared import ExcludedScan, Manifest, PreparedDataset, PreparedScan
from uad_bench.volumes.store.standardise import VERSION as STEPS_VERSION
from uad_bench.volumes.store.standardise import Preparation, TissueSource, target_fingerprint
from uad_bench.volumes.store.workers import LeftOut, Outcome, Ready, prepare_scans
from uad_bench.volumes.store.write import StoreWriter, sync_folder

PREPARATION = 7
"""Version of the preparation: raised whenever the same files would become others."""

STEPS_FOLDER = "steps"
"""The folder beside the stores that keeps the costly steps of single scans."""


class NothingLeftError(UadBenchError):
    """Not one scan of a dataset can be used; ``excluded`` says why, scan by scan."""

    def __init__(self, order: Order, excluded: Sequence[ExcludedScan]) -> None:
        first = excluded[0]
        super().__init__(
            f"{order.root}: none of the {len(excluded)} scans can be used; "
            f"the first, {first.scan}: {first.reason}"
        )
        self.excluded = tuple(excluded)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be prepared: the scans of a dataset, how, and who is left out.

    Attributes:
        dataset: the adapter.
        root: the dataset's own folder.
        simulated: whether the scans are phantoms; recorded.
        preparation: how scans become slices.
        inputs: the scans that take part.
        excluded: the scans that a person left out.
    """

    dataset: Dataset
    root: Path
    simulated: bool
    preparation: Preparation
    inputs: tuple[ScanInput, ...]
    excluded: tuple[ExcludedScan, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What the store depends on beside its scans, as plain values."""
        preparation, tissues = self.preparation, self.preparation.tissues
        return {
            "dataset": self.dataset.info.name,
            "preparation": [PREPARATION, STEPS_VERSION],
            "recipe": preparation.recipe.hash,
            "target": target_fingerprint(preparation.template),
            "tissues": tissues if isinstance(tissues, str | None) else tissues.model_dump(),
            "excluded": [[item.scan, item.reason] for item in self.excluded],
            "mask shift": preparation.mask_shift,
            "simulated": self.simulated,
        }

    def manifest_hash(self, left_out: Sequence[str]) -> str:
        """Return the hash of the manifest of what becomes of this.

        Args:
            left_out: names of the scans that are not used.
        """
        scans = [facts(item, paths=False) for item in self.inputs]
        return digest({**self.identity, "scans": scans, "left out": list(left_out)})

    @property
    def folder_name(self) -> str:
        """The name of the store that holds exactly this."""
        scans = [facts(item, paths=True) for item in self.inputs]
        key = digest({**self.identity, "scans": scans})
        return f"{self.dataset.info.name}-{self.preparation.recipe.hash}-{key}"


def chosen_scans(
    dataset: Dataset, root: Path, limit: int | None
) -> tuple[list[Scan], list[ExcludedScan]]:
    """Return the scans that take part and those that a person excluded, by names alone.

    Args:
        dataset: the adapter.
        root: the dataset's own folder.
        limit: only the first ``limit`` subjects of every split.

    Raises:
        UadBenchError: no scan at all, the dataset contradicts itself, or its exclusions cannot be
            read or fit nobody.
    """
    exclusions = read_exclusions(root)
    if exclusions:
        refuse_strangers(root, exclusions, dataset_scans(dataset, root, None))
    scans, excluded = [], []
    for scan in dataset_scans(dataset, root, limit):
        reason = exclusion_of(scan, exclusions)
        if reason is None:
            scans.append(scan)
        else:
            excluded.append(
                ExcludedScan(scan=scan.name, reason=reason, split=scan.split, state="excluded")
            )
    return scans, excluded


def take_order(
    dataset: Dataset,
    root: Path,
    recipe: Recipe,
    store_root: Path,
    *,
    simulated: bool,
    limit: int | None = None,
    template: Path | None = None,
    tissues: TissueSource | None = None,
    mask_shift: float = 0.0,
) -> Order:
    """Find the scans of a dataset, hash their files, and leave out those that a person excluded.

    Args:
        dataset: the adapter.
        root: the dataset's own folder.
        recipe: how scans become slices.
        store_root: the folder that holds stores, and the steps of single scans.
        simulated: whether the scans are phantoms.
        limit: only the first ``limit`` subjects of every split.
        template: the user's SRI24, where the recipe registers to it.
        tissues: where the tissue maps of training and validation scans come from.
        mask_shift: up to how many mm away a mask's header may place the FLAIR's voxels; such a
            mask is laid voxel on voxel.

    Raises:
        UadBenchError: no scan at all, the dataset contradicts itself, or its exclusions cannot be
            read.
    """
    scans, excluded = chosen_scans(dataset, root, limit)
    if all(scan.split == "test" for scan in scans):
        tissues = None  # so that a dataset of patients is the same with it or without
    if not any(scan.lesion or scan.brain_mask or scan.tissues for scan in scans):
        mask_shift = 0.0  # so that a dataset without masks is the same with it or without

    def maps(scan: Scan) -> Files:
        """The tissue maps of a scan, where a mapping names any."""
        if scan.split == "test" or tissues is None or tissues == "atropos":
            return ()
        try:
            return mapping_files(tissues, root, scan)
        except ScanError:
            return ()  # said again, by name, when the scan is prepared

    return Order(
        dataset=dataset,
        root=root,
        simulated=simulated,
        preparation=Preparation(
            recipe, store_root / STEPS_FOLDER, root, template, tissues, mask_shift
        ),
        inputs=tuple(scan_inputs(scans, root, maps)),
        excluded=tuple(excluded),
    )


def prepare(
    order: Order,
    store_root: Path,
    *,
    jobs: int | None = None,
    on_scan: Callable[[Outcome], None] = lambda _: None,
) -> PreparedDataset:
    """Prepare what was ordered, or open the store that already holds exactly this.

    A store is the same where recipe, preparation, and every input file's path below the dataset's
    folder, size and content are. A scan that cannot be used is excluded by name with its reason;
    the rest goes on. The store is built beside its place and moved there when whole; two processes
    that want the same one build it once.

    Args:
        order: from ``take_order``.
        store_root: the folder that holds stores; made if it is not there.
        jobs: worker processes; the CPU's number by default. The result does not depend on it.
        on_scan: called with what became of a scan as soon as it is done, from any thread.

    Raises:
        UadBenchError: when no scan can be used, a tool is missing, or the store cannot be written.
    """
    folder = store_root / order.folder_name
    if (whole := whole_store(folder)) is not None:  # another user's needs no lock
        return whole
    try:
        with held(store_root / f".{folder.name}.lock"):
            if (whole := whole_store(folder)) is not None:
                return whole
            if folder.exists():
                shutil.rmtree(folder)
            partial = store_root / f".{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                partial.mkdir()
                _build(partial, order, jobs, on_scan)
                partial.rename(folder)
                sync_folder(store_root)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        advice = "check its permissions, or name another folder with --cache"
        raise storage_error(error, Path(error.filename or store_root), advice) from error
    return PreparedDataset.open(folder)


def whole_store(folder: Path) -> PreparedDataset | None:
    """Open a store that is there and whole.

    Raises:
        UadBenchError: another user made it and does not share it.
    """
    if not folder.exists():
        return None
    try:
        return PreparedDataset.open(folder)
    except UadBenchError as error:
        if isinstance(error.__cause__, PermissionError):
            raise UadBenchError(
                f"{folder} is not yours to read: ask whoever made it to share it "
                f"(chmod -R a+rX), or name another folder with --cache"
            ) from None
        return None


def _build(
    folder: Path, order: Order, jobs: int | None, on_scan: Callable[[Outcome], None]
) -> None:
    """Write the store of ``order`` into ``folder``."""
    preparation = order.preparation
    scans: list[PreparedScan] = []
    excluded = list(order.excluded)
    with_tissue = preparation.tissues is not None or any(
        item.scan.tissues is not None for item in order.inputs
    )
    with (
        StoreWriter(folder, with_tissue, preparation.recipe.size) as writer,
        closing(prepare_scans(order.inputs, preparation, jobs, on_scan)) as outcomes,
    ):
        for item, outcome in zip(order.inputs, outcomes, strict=True):
            if isinstance(outcome, Ready):
                scans.append(
                    _prepared(item, outcome, writer.append(outcome.slices, outcome.native))
                )
            else:
                excluded.append(_excluded(item, outcome))
        if not scans:
            raise NothingLeftError(order, excluded)
        writer.finish(
            Manifest(
                preparation=PREPARATION,
                dataset=order.dataset.info.name,
                simulated=order.simulated,
                recipe=preparation.recipe,
                grid_affine=tuple(tuple(row) for row in preparation.grid.affine.tolist()),
                grid_shape=preparation.grid.shape,
                manifest_hash=order.manifest_hash([item.scan for item in excluded]),
                versions={name: version(name) for name in ("uad-bench", "nibabel", "numpy")},
                scans=tuple(scans),
                excluded=tuple(excluded),
            )
        )


def _prepared(item: ScanInput, ready: Ready, rows: tuple[int, int]) -> PreparedScan:
    scan, slices = item.scan, ready.slices
    return PreparedScan(
        name=scan.name,
        subject=scan.subject,
        session=scan.session,
        site=scan.site,
        split=scan.split,
        start=rows[0],
        stop=rows[1],
        healthy=bool(scan.healthy) or (bool(scan.lesion) and ready.quality.lesion_ml_before == 0),
        has_lesion=bool((slices.lesion == 1).any()),
        has_tissue=slices.tissue is not None,
        standard=ready.standard,
        quality=ready.quality,
        files=item.files,
    )


def _excluded(item: ScanInput, left: LeftOut) -> ExcludedScan:
    return ExcludedScan(
        scan=item.scan.name,
        reason=left.reason,
        split=item.scan.split,
        state="unreadable" if left.quality is None else "held out",
        standard=left.standard,
        quality=left.quality,
    )
