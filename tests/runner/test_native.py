"""Native space: the same maps on the scan's own voxels, where the truth is as it was drawn."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff
from scipy.ndimage import map_coordinates

from uad_bench.cells import EvaluationSpace
from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import Evaluation
from uad_bench.method import FitContext, FitReport, Method, MethodInfo, Slices
from uad_bench.runner.detectors.scoring import anomaly_maps
from uad_bench.runner.events import Event
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.native import NativeMasks, scores_on
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.space import SRI24_TO_MNI152, template_brain, template_grid
from uad_bench.volumes.store import prepared
from uad_bench.volumes.store.prepare import prepare, take_order
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

RECIPE = Recipe(name="coarse", pixel_mm=2.0, slice_mm=4.0)
GRID = template_grid(RECIPE)
turns = st.tuples(
    st.sampled_from(list(permutations(range(3)))), st.tuples(*[st.sampled_from([1.0, -1.0])] * 3)
)


def axes_of(turn: tuple) -> np.ndarray:
    return np.array(list(zip(*turn, strict=True)), dtype=float)


def loaded(lesion: np.ndarray, affine: np.ndarray) -> LoadedScan:
    brain = np.ones(lesion.shape, bool)
    return LoadedScan(np.ones(lesion.shape, np.float32), brain, lesion, None, affine)


@given(turns, st.integers(0, 99))
def test_on_the_template_grid_every_score_stays_where_it_is(turn: tuple, seed: int) -> None:
    """However the scan is stored: its axes are brought into the grid's order."""
    rng = np.random.default_rng(seed)
    grid = Grid(GRID.affine, (5, 6, 7))
    lesion = rng.integers(0, 3, grid.shape).astype(np.uint8)
    axes = axes_of(turn)
    stored = np.ascontiguousarray(apply_orientation(lesion, axes))
    scan = loaded(stored, grid.affine @ inv_ornt_aff(axes, grid.shape))
    native = NativeMasks.of(scan, np.eye(4), grid)
    np.testing.assert_array_equal(native.lesion, lesion)
    assert native.spacing == pytest.approx(grid.spacing)
    kept = np.array([0, 1, 3, 4])
    scores = rng.integers(0, 65536, (4, 6, 7)).astype(np.uint16)
    expected = np.zeros(grid.shape, np.uint16)
    expected[kept] = scores
    np.testing.assert_array_equal(scores_on(native, scores, kept, grid), expected)


@given(turns, st.integers(0, 99))
def test_masks_are_stored_as_they_are(turn: tuple, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    brain = rng.random(shape) < 0.5
    lesion = rng.integers(0, 3, shape).astype(np.uint8)
    native = NativeMasks(brain, lesion, rng.normal(size=(4, 4)), (6.5, 0.9, 0.8))
    again = NativeMasks.unpack(native.pack())
    np.testing.assert_array_equal(again.brain, brain)
    np.testing.assert_array_equal(again.lesion, lesion)
    np.testing.assert_array_equal(again.affine, native.affine)
    assert again.spacing == native.spacing


def test_elsewhere_scores_are_interpolated_at_the_centres_of_the_voxels() -> None:
    """A thick, oblique scan in SRI24 space, against scipy point by point."""
    rng = np.random.default_rng(3)
    pose = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.1, -0.2, 0.05) @ np.diag([3.1, 2.9, 11.0]), (-230, 20, 5)
    )
    lesion = rng.integers(0, 3, (70, 66, 14)).astype(np.uint8)
    scan = loaded(lesion, SRI24_TO_MNI152 @ pose)
    native = NativeMasks.of(scan, SRI24_TO_MNI152, GRID)
    assert native.spacing == pytest.approx((11.0, 2.9, 3.1))  # mm of the scan, not of the template
    scores = rng.integers(0, 65536, GRID.shape).astype(np.uint16)
    found = scores_on(native, scores, np.arange(GRID.shape[0]), GRID)
    index = np.indices(native.lesion.shape).reshape(3, -1)
    world = native.affine[:3, :3] @ index + native.affine[:3, 3:]
    inverse = np.linalg.inv(GRID.affine)
    at = inverse[:3, :3] @ world + inverse[:3, 3:]
    expected = map_coordinates(scores.astype(float), at, order=1, mode="grid-constant")
    assert np.abs(found.ravel() - expected).max() <= 0.5 + 1e-6
    own = np.linalg.inv(SRI24_TO_MNI152 @ pose)
    voxel = np.rint(own[:3, :3] @ world + own[:3, 3:]).astype(int)
    np.testing.assert_array_equal(native.lesion.ravel(), lesion[tuple(voxel)])


@dataclass(frozen=True)
class Toy(Dataset):
    """A dataset that yields what it is told."""

    found: Sequence[Scan]

    info = DatasetInfo("toy", "Toy", "none", "", "", "", "", "", ("Toy",))

    def scans(self, root: Path) -> Iterator[Scan]:
        yield from self.found


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """What lies within ``radius`` mm of a point of the template grid."""
    points = np.moveaxis(np.indices(GRID.shape), 0, -1) * GRID.spacing
    return np.linalg.norm(points - np.multiply(centre, GRID.spacing), axis=-1) <= radius


@pytest.fixture(scope="module")
def on_the_grid(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Two patients and a healthy validation scan whose voxels are the template grid's own."""
    root = tmp_path_factory.mktemp("raw")
    middle = tuple(np.argwhere(template_brain(RECIPE)).mean(axis=0))
    brain = ball(middle, 72.0)
    scans = []
    for number, turn in enumerate([((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))] * 2):
        axes = axes_of(turn)
        rng = np.random.default_rng(number)
        lesion = ball((middle[0] + 3, middle[1] - 8, middle[2] + 9 * number - 9), 15.0)
        lesion |= ball((middle[0] - 4, middle[1] + 12, middle[2]), 12.0)
        flair = np.where(brain, rng.normal(100, 8, brain.shape) + 60 * lesion, 0.0)

        def save(name: str, data: np.ndarray, axes: np.ndarray = axes) -> Path:
            affine = GRID.affine @ inv_ornt_aff(axes, GRID.shape)
            nib.save(nib.Nifti1Image(apply_orientation(data, axes), affine), root / name)
            return root / name

        split = "test" if number < 2 else "validation"
        masks = (save(f"l{number}.nii.gz", lesion.astype(np.uint8)),) if number < 2 else ()
        image = save(f"f{number}.nii.gz", flair.astype(np.float32))
        scans.append(Scan(f"s{number}", image, lesion=masks, split=split, space="mni152"))
    order = take_order(Toy(scans), root, RECIPE, root / "s", simulated=True)
    return prepare(order, root / "s")


class Image(Method):
    """How bright a voxel is."""

    info = MethodInfo("image", "Image")

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        return FitReport(steps=0, slices_seen=0)

    def score(self, slices: Slices) -> np.ndarray:
        return slices.image


def silent(event: Event) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("protocol", [STRICT, PAPER], ids=lambda protocol: protocol.name)
def test_a_scan_on_the_template_grid_has_the_same_numbers_in_both_spaces(
    on_the_grid: PreparedDataset, protocol: Protocol
) -> None:
    with (
        anomaly_maps(Image(), on_the_grid, "validation", [NONE], silent) as healthy,
        anomaly_maps(Image(), on_the_grid, "test", [NONE], silent) as patients,
    ):

        def numbers(space: EvaluationSpace) -> Evaluation:
            validation = validation_histogram(healthy.scored("none", space))
            return protocol.evaluate(lambda: patients.scored("none", space), validation)

        template, native = numbers("template"), numbers("native")
    assert dict(native.metrics) == dict(template.metrics)
    assert native.scans == template.scans
    assert native.thresholds == template.thresholds
    assert 0.1 < (native.metrics["auprc"].value or 0.0) < 1.0


def test_reading_all_scans_opens_one_file_and_compares_none(
    on_the_grid: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening reads a table of all scans, so that opening it for each would be quadratic."""
    opened, compared = [], []

    class Counted(prepared.ZipFile):
        def __init__(self, file: Path) -> None:
            opened.append(file)
            super().__init__(file)

    monkeypatch.setattr(prepared, "ZipFile", Counted)
    monkeypatch.setattr(PreparedScan, "__eq__", lambda one, other: compared.append(one) or False)
    dataset = PreparedDataset.open(on_the_grid.folder)
    found = [dataset.native(scan) for scan in dataset.scans]
    assert len(found) == 4
    assert len(opened) == 1
    assert not compared
    again = pickle.loads(pickle.dumps(dataset))  # as it travels to a worker
    for one, scan in zip(found, dataset.scans, strict=True):
        np.testing.assert_array_equal(again.native(scan).lesion, one.lesion)
    assert len({one.lesion.tobytes() for one in found}) > 1


def test_training_scans_have_no_native_masks_and_a_damaged_file_is_one_line(
    on_the_grid: PreparedDataset,
) -> None:
    assert on_the_grid.native(on_the_grid.scans[-1]).lesion.any()
    file = on_the_grid.folder / "native.npz"
    whole = file.read_bytes()
    at = whole.index(b"0/shape.npy") + len(b"0/shape.npy")  # the first compressed byte
    for damaged in (b"cut", whole[:at] + b"\xff" * 9 + whole[at + 9 :]):
        file.write_bytes(damaged)
        dataset = PreparedDataset.open(on_the_grid.folder)
        with pytest.raises(UadBenchError, match=r"native\.npz: cannot be read; delete the store"):
            dataset.native(dataset.scans[0])
