"""Scores anomaly maps of any origin, given as arrays, under a protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.scored import Evaluation, ScoredScan, slices_with_brain
from uad_bench.evaluation.scores.histograms import IGNORED, LESION, ScoreHistogram, quantise
from uad_bench.plugins.registry import PluginSources, discover

Spacing = tuple[float, float, float]
Arrays = Sequence[ArrayLike]

_Name = tuple[str, str | None]
"""A subject, and the session where the subject has several."""


def evaluate(
    maps: Arrays,
    lesions: Arrays,
    brains: Arrays,
    spacing: Spacing | Sequence[Spacing],
    *,
    healthy: tuple[Arrays, Arrays] | None = None,
    healthy_spacing: Spacing | Sequence[Spacing] | None = None,
    subjects: Sequence[str] | None = None,
    protocol: str | Protocol = "strict",
) -> Evaluation:
    """Score anomaly maps of any origin: one map, lesion mask and brain mask per scan.

    The numbers are those that ``uad-bench run`` gives the same maps. A map becomes 16-bit scores.
    Only slices with at least 1 cm2 of brain count. A person without a lesion voxel in any mask is
    a healthy test subject.

    Args:
        maps: anomaly maps ``[Z, H, W]``, axial slices first, in [0, 1], higher where more
            anomalous. Maps in another range are refused: divide all of them, those of ``healthy``
            too, by one number.
        lesions: lesion masks of the same shapes: 0 healthy, 1 lesion, 2 ignored.
        brains: brain masks of the same shapes: 0 or 1.
        spacing: voxel size ``(z, y, x)`` in mm, one for all scans or one per scan.
        healthy: anomaly maps and brain masks of healthy people who are not among the subjects.
            Thresholds come from them. Without them, metrics that need a threshold have the value
            ``None``, and ``missing`` says why.
        healthy_spacing: voxel size of those maps, where ``spacing`` differs from scan to scan.
        subjects: whose scan each is, in order; scans of one person are averaged first. If not
            given, every scan is of another person, and they are called 1, 2, 3 and so on.
        protocol: the protocol, or its name.

    Returns:
        The metrics of all scans together, those of each scan, the thresholds and the score
        histograms. It prints as a table.

    Raises:
        UadBenchError: in one line that names the first scan that cannot be scored.

    Examples:
        >>> import numpy as np
        >>> import uad_bench as ub
        >>> brain = np.ones((2, 12, 12), bool)
        >>> lesion = np.zeros((2, 12, 12), np.uint8)
        >>> lesion[:, 4:6, 4:8] = 1
        >>> noise = np.random.default_rng(0).random((2, 12, 12)) / 2
        >>> anomaly = noise + lesion / 4
        >>> found = ub.evaluate([anomaly], [lesion], [brain], (3.0, 1.0, 1.0))
        >>> round(found.metrics["auprc"].value, 3)
        0.56
        >>> print(f"{found.metrics['dice'].value}: {found.missing['dice']}")
        None: needs a threshold, which comes from anomaly maps of healthy validation scans
        >>> found = ub.evaluate(
        ...     [anomaly], [lesion], [brain], (3.0, 1.0, 1.0), healthy=([noise], [brain])
        ... )
        >>> round(found.metrics["dice"].value, 3)
        0.615
    """
    if isinstance(protocol, str):
        protocol = discover(PluginSources.gather()).protocol(protocol)
    if not len(maps):
        raise UadBenchError("there is no anomaly map to evaluate: maps is empty")
    _refuse_other_count("maps", maps, lesions=lesions, brains=brains)
    if subjects is not None:
        _refuse_other_count("maps", maps, subjects=subjects)
    sizes = _spacings("spacing", spacing, len(maps))
    volumes = zip(maps, lesions, brains, strict=True)
    named = zip(_names(subjects, len(maps)), volumes, sizes, strict=True)
    scans = [
        _scan(f"scan {'_'.join(filter(None, name))}", name, arrays, size)
        for name, arrays, size in named
    ]
    if not any(scan.scores.any() for scan in scans):
        raise UadBenchError("every anomaly map is 0 in the brain: there is nothing to evaluate")
    validation = None
    if healthy is not None:
        if healthy_spacing is None and len(set(sizes)) > 1:
            raise UadBenchError(
                "spacing differs from scan to scan: give that of the healthy maps, healthy_spacing"
            )
        validation = _validation(*healthy, healthy_spacing or sizes[0])
    return protocol.evaluate(lambda: iter(scans), validation)


def _validation(
    maps: Arrays, brains: Arrays, spacing: Spacing | Sequence[Spacing]
) -> ScoreHistogram:
    """The scores of healthy people in the brain."""
    if not len(maps):
        raise UadBenchError("healthy: there is no map; give some, or leave healthy out")
    _refuse_other_count("healthy maps", maps, brains=brains)
    sizes = _spacings("healthy_spacing", spacing, len(maps))
    named = enumerate(zip(maps, brains, sizes, strict=True), start=1)
    return validation_histogram(
        _scan(f"healthy scan {at}", (str(at), None), (one, np.zeros(np.shape(one)), brain), size)
        for at, (one, brain, size) in named
    )


def _refuse_other_count(what: str, maps: Sized, **others: Sized) -> None:
    for name, other in others.items():
        if len(other) != len(maps):
            raise UadBenchError(
                f"there are {len(maps)} {what} and {len(other)} {name}: give one of each per scan"
            )


def _spacings(name: str, spacing: Spacing | Sequence[Spacing], count: int) -> list[Spacing]:
    """The voxel size of each scan."""
    try:
        sizes = np.asarray(spacing, dtype=np.float64)
    except (TypeError, ValueError):
        sizes = np.zeros(0)
    if sizes.shape not in {(3,), (count, 3)} or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise UadBenchError(
            f"{name} {spacing}: give the voxel size (z, y, x) in mm, above 0, one for all "
            f"{count} scans or one per scan"
        )
    return [(z, y, x) for z, y, x in np.broadcast_to(sizes, (count, 3)).tolist()]


def _names(subjects: Sequence[str] | None, count: int) -> list[_Name]:
    """Subject and session of each scan; a person's scans are numbered in order."""
    if subjects is None:
        return [(str(number), None) for number in range(1, count + 1)]
    scans, met = Counter(subjects), Counter[str]()
    names: list[_Name] = []
    for subject in subjects:
        met[subject] += 1
        names.append((subject, str(met[subject]) if scans[subject] > 1 else None))
    return names


def _scan(
    label: str,
    name: _Name,
    arrays: tuple[ArrayLike, ArrayLike, ArrayLike],
    spacing: Spacing,
) -> ScoredScan:
    """The scores of one scan in the slices that show brain.

    Args:
        label: what a message calls the scan.
        name: subject and session.
        arrays: anomaly map, lesion mask and brain mask.
        spacing: voxel size ``(z, y, x)`` in mm.

    Raises:
        UadBenchError: in one line that names the scan.
    """
    values, kinds, inside = (
        _numbers(f"the {what} of {label}", array)
        for what, array in zip(("anomaly map", "lesion mask", "brain mask"), arrays, strict=True)
    )
    if values.ndim != 3:
        raise UadBenchError(
            f"the anomaly map of {label} has shape {values.shape}: give one volume [Z, H, W] per "
            "scan, in a list"
        )
    for what, mask in (("lesion mask", kinds), ("brain mask", inside)):
        if mask.shape != values.shape:
            raise UadBenchError(
                f"the {what} of {label} has shape {mask.shape}, and its anomaly map "
                f"{values.shape}: they must cover the same voxels"
            )
    _refuse_other_values(
        f"the lesion mask of {label}", kinds, "0 (healthy), 1 (lesion) and 2 (ignored)", IGNORED
    )
    _refuse_other_values(f"the brain mask of {label}", inside, "0 and 1", 1)
    refuse_map(f"the anomaly map of {label}", values, inside > 0)
    z = slices_with_brain(inside > 0, spacing)
    if not len(z):
        raise UadBenchError(
            f"{label} has no slice with at least 1 cm2 of brain: check its brain mask, the order "
            "of its axes (z, y, x) and the spacing in mm"
        )
    return ScoredScan(
        subject=name[0],
        session=name[1],
        scores=quantise(values[z]),
        lesion=kinds[z].astype(np.uint8),
        brain=inside[z] > 0,
        spacing=spacing,
        z=z,
        healthy=not (kinds == LESION).any(),
    )


def _numbers(what: str, array: ArrayLike) -> NDArray[Any]:
    """The array, where it holds real numbers."""
    try:
        numbers = np.asarray(array)
    except ValueError:
        numbers = np.zeros(0, dtype=np.object_)
    if numbers.dtype.kind not in "biuf":
        raise UadBenchError(f"{what} is not an array of real numbers")
    return numbers


def _refuse_other_values(what: str, mask: NDArray[Any], words: str, most: int) -> None:
    """Refuse a mask with other values than 0 to ``most``."""
    known = np.isin(mask, np.arange(most + 1))
    if not known.all():
        raise UadBenchError(f"{what} holds the value {mask[~known][0]:g}: only {words} are allowed")


def refuse_map(what: str, values: NDArray[Any], brain: NDArray[np.bool_]) -> None:
    """Refuse a map that cannot become scores, or that has one value above 0 everywhere."""
    if strange := int((~np.isfinite(values)).sum()):
        raise UadBenchError(
            f"{what} holds {strange} values that are not finite: set voxels outside the brain to 0"
        )
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise UadBenchError(
            f"{what} has values from {low:g} to {high:g}: scores are in [0, 1], so bring all maps, "
            "healthy ones too, there by the same shift and factor"
        )
    found = values[brain]
    if found.size and found[0] > 0 and (found == found[0]).all():
        raise UadBenchError(
            f"{what} is {found[0]:g} everywhere in the brain: it ranks no voxel above another"
        )
