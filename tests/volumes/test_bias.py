"""N4 takes a known field out of a scan, on any grid, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest

from uad_bench.errors import ScanError
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.bias import correct_bias
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues

pytest.importorskip("ants", reason="ANTs is in the extra [prepare]")

RECIPE = Recipe()


@dataclass(frozen=True)
class Shaded:
    """The template's brain as FLAIR under a known field."""

    image: np.ndarray
    brain: np.ndarray
    white: np.ndarray
    field: np.ndarray
    affine: np.ndarray


def shaded(
    axes: str, spacing: tuple[float, float, float], *, strength: float = 1.0, size: float = 1.0
) -> Shaded:
    """A field that doubles from the bottom left to the top right, with a bright spot in front.

    A brain of half the size takes an eighth of the time.
    """
    grid, ornt = template_grid(RECIPE), nib.orientations.axcodes2ornt(tuple(axes))
    affine = np.eye(4)
    affine[:3, :3] = 0
    affine[ornt[:, 0].astype(int), range(3)] = ornt[:, 1] * spacing
    shape = tuple(int(220 / step) for step in spacing)
    affine[:3, 3] = np.array([0, -18, 5]) - affine[:3, :3] @ (np.array(shape) / 2)
    around = Grid(affine, shape)
    csf, gm, wm = (resample(part, grid.affine, around) for part in template_tissues(RECIPE))
    brain = resample(template_brain(RECIPE), grid.affine, around) > 0.5
    x, y, z = np.moveaxis(np.indices(shape).T @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    x, y, z = (part.T for part in (x, y, z))
    log_field = 0.0025 * x + 0.003 * z + 0.3 * np.exp(-((x + 20) ** 2 + (y - 40) ** 2) / 50**2)
    field = np.exp(strength * log_field)
    noise = np.random.default_rng(2).normal(0, 0.03, shape)
    image = 400 * (0.1 * csf + 1.25 * gm + wm + noise).clip(0.01) * field * brain
    return Shaded(
        image.astype(np.float32),
        brain,
        brain & (wm > 0.95),
        field,
        np.diag([size, size, size, 1]) @ affine,
    )


def variation(values: np.ndarray) -> float:
    return float(values.std() / values.mean())


@pytest.mark.parametrize(("axes", "spacing"), [("RAS", (2.0, 2.0, 2.0)), ("PSL", (1.5, 1.5, 6.5))])
def test_a_known_field_is_recovered(axes: str, spacing: tuple[float, float, float]) -> None:
    scan = shaded(axes, spacing, size=0.5)
    corrected = correct_bias(scan.image, scan.brain, scan.affine)
    assert variation(scan.image[scan.white]) > 0.09
    assert variation(corrected[scan.white]) < 0.5 * variation(scan.image[scan.white])
    inside = scan.brain & (scan.image > 0)
    found = np.log(scan.image[inside] / corrected[inside])
    assert np.corrcoef(found, np.log(scan.field[inside]))[0, 1] > 0.95


def test_positive_inside_zero_outside_the_mean_kept_and_the_same_twice() -> None:
    scan = shaded("LPS", (3.0, 3.0, 3.0), size=0.5)
    littered = np.where(scan.brain, scan.image, -5).astype(np.float32)
    corrected = correct_bias(littered, scan.brain, scan.affine)
    assert corrected.dtype == np.float32
    assert (corrected[~scan.brain] == 0).all()
    assert ((corrected > 0) == (scan.image > 0)).all()
    assert corrected[scan.brain].mean() == pytest.approx(scan.image[scan.brain].mean(), rel=1e-3)
    assert (corrected == correct_bias(scan.image, scan.brain, scan.affine)).all()


def test_a_scan_without_a_field_stays_nearly_as_it_was() -> None:
    scan = shaded("RAS", (3.0, 3.0, 3.0), strength=0.0, size=0.5)
    corrected = correct_bias(scan.image, scan.brain, scan.affine)
    ratio = corrected[scan.white] / scan.image[scan.white]
    assert np.abs(ratio - np.median(ratio)).max() < 0.1


def test_an_empty_brain_is_refused() -> None:
    scan = shaded("RAS", (8.0, 8.0, 8.0))
    with pytest.raises(ScanError, match="no positive value in the brain; check its mask"):
        correct_bias(np.zeros_like(scan.image), scan.brain, scan.affine)
