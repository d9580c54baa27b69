"""Quality: a scan that lies wrongly, or is no FLAIR, is told from a good one; the page shows it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.ndimage import binary_dilation

from uad_bench.dataset import Scan
from uad_bench.report.figures.scan_picture import scan_picture
from uad_bench.report.page.quality import QualityRow, quality_page
from uad_bench.volumes.checks.appearance import _ends, _widened
from uad_bench.volumes.checks.quality import (
    MAX_Z,
    MIN_DATASET,
    ScanQuality,
    failed,
    findings,
    measure,
    outliers,
)
from uad_bench.volumes.checks.template_fit import _at, _Coarse, _fit, _template
from uad_bench.volumes.grid import mirrored
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import LoadedScan, load_scan
from uad_bench.volumes.steps.slices import ScanSlices
from uad_bench.volumes.steps.space import TO_MNI152, template_brain, template_grid, template_tissues

RECIPE = Recipe(name="coarse", pixel_mm=3.0, slice_mm=3.0)
FLAIR, T1, T2 = (0.15, 1.15, 1.0), (0.3, 0.65, 1.0), (2.5, 1.3, 1.0)

GOOD = ScanQuality(
    dice=0.94,
    inside=0.95,
    covered=0.95,
    brain_ml=1850.0,
    correlation=0.4,
    advantage=0.2,
    rival="moved 15 mm up",
    csf=0.4,
    gm=1.05,
    lesion_ml_before=10.0,
    lesion_ml_after=9.8,
    lesion_outside=0.0,
    lesion_flipped=False,
    saturated_share=0.1,
)


def simulated(contrast: tuple[float, float, float], *, seed: int = 0) -> LoadedScan:
    """The template's own anatomy with noise and one round lesion, at 3 mm."""
    brain, affine = template_brain(RECIPE), template_grid(RECIPE).affine
    signal = np.tensordot(np.array(contrast, np.float32), template_tissues(RECIPE), 1)
    noise = np.random.default_rng(seed).normal(0.0, 0.05, brain.shape)
    far = np.linalg.norm(np.indices(brain.shape).T - (30, 60, 50), axis=-1).T
    lesion = (far < 3) & brain
    image = np.where(brain, 100.0 * (signal + noise + 0.5 * lesion), 0.0).astype(np.float32)
    return LoadedScan(image, brain, lesion.astype(np.uint8), None, affine)


@pytest.fixture(scope="module")
def good() -> LoadedScan:
    return simulated(FLAIR)


def moved(loaded: LoadedScan, *, mm: tuple[float, ...] = (0, 0, 0), turn: Any = None) -> LoadedScan:
    """The scan, turned about its brain's middle by a 3 x 3 matrix, and then shifted."""
    points = np.argwhere(loaded.brain) @ loaded.affine[:3, :3].T + loaded.affine[:3, 3]
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    move = np.eye(4)
    move[:3, :3] = np.eye(3) if turn is None else turn
    move[:3, 3] = centre - move[:3, :3] @ centre + mm
    return replace(loaded, affine=move @ loaded.affine)


def about(axis: int, degrees: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("xyz"[axis], degrees, degrees=True).as_matrix())


WRONG: dict[str, Callable[[LoadedScan], LoadedScan]] = {
    "15 mm to the side": lambda scan: moved(scan, mm=(15, 0, 0)),
    "15 mm back": lambda scan: moved(scan, mm=(0, -15, 0)),
    "15 mm down": lambda scan: moved(scan, mm=(0, 0, -15)),
    "30 mm up": lambda scan: moved(scan, mm=(0, 0, 30)),
    "out of sight": lambda scan: moved(scan, mm=(500, 0, 0)),
    "nodding by 30": lambda scan: moved(scan, turn=about(0, 30)),
    "tilted by 20": lambda scan: moved(scan, turn=about(1, 20)),
    "turned by 20": lambda scan: moved(scan, turn=about(2, -20)),
    "turned by 40": lambda scan: moved(scan, turn=about(2, 40)),
    "upside down": lambda scan: moved(scan, turn=np.diag([1, 1, -1])),
    "back to front": lambda scan: moved(scan, turn=np.diag([1, -1, 1])),
    "too large": lambda scan: moved(scan, turn=1.25 * np.eye(3)),
    "too small": lambda scan: moved(scan, turn=0.75 * np.eye(3)),
}


def test_a_good_scan_passes_without_a_word(good: LoadedScan) -> None:
    quality = measure(good)
    assert failed(quality) is None
    assert findings(quality) == ()
    assert quality.dice > 0.98
    assert quality.correlation > 0.8
    assert quality.advantage > 0.2
    assert quality.lesion_outside == 0.0


@given(times=st.integers(1, 4), mm=st.floats(0, 1))
@settings(max_examples=8)
def test_dice_with_the_template_is_at_most_1_on_any_voxels(times: int, mm: float) -> None:
    template = _template()
    index = np.repeat(np.argwhere(template.maps[0] >= 0.5).T, times, axis=1)
    world = template.affine[:3, :3] @ index + template.affine[:3, 3:] + mm
    coarse = _Coarse(world, np.ones(world.shape[1], np.float32))
    assert 0 < _fit(coarse, template, np.eye(4))[0] <= 1


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_scan_that_lies_wrongly_is_held_out(
    good: LoadedScan, wrong: Callable[[LoadedScan], LoadedScan]
) -> None:
    reason = failed(measure(wrong(good)))
    assert reason is not None
    assert "register it again" in reason
    assert "\n" not in reason


def test_the_reason_names_the_move_that_would_mend_it(good: LoadedScan) -> None:
    assert "moved 15 mm left" in str(failed(measure(moved(good, mm=(15, 0, 0)))))
    assert "moved 15 mm forwards" in str(failed(measure(moved(good, mm=(0, -15, 0)))))
    turned = moved(good, turn=about(2, 30))
    assert "turned by -30 degrees about z" in str(failed(measure(turned)))


def in_template(scan: Scan) -> LoadedScan:
    """Read a scan that is published in template space."""
    native = load_scan(scan)
    assert native.brain is not None
    assert native.space is not None
    affine = TO_MNI152[native.space] @ native.affine
    return LoadedScan(native.image, native.brain, native.lesion, None, affine)


@pytest.mark.data
def test_real_scans_pass_and_the_same_ones_moved_do_not(real_patients: Path) -> None:
    ms, tumour = (
        real_patients / "MSLUB" / "patient07",
        next((real_patients / "BraTS/HGG").iterdir()),
    )
    scans = [
        Scan("ms", ms / "FLAIR.nii.gz", brain_mask=ms / "brainmask.nii.gz"),
        Scan("tumour", tumour / f"{tumour.name}_flair.nii.gz"),
    ]
    for scan in scans:
        loaded = in_template(scan)
        quality = measure(loaded)
        assert failed(quality) is None, scan.subject
        assert findings(quality) == (), scan.subject
        for name in ("15 mm to the side", "upside down"):
            assert failed(measure(WRONG[name](loaded))), (scan.subject, name)


@pytest.mark.parametrize(("contrast", "word"), [(T1, "T1"), (T2, "T2")])
def test_another_contrast_is_warned_of_but_lies_rightly(
    contrast: tuple[float, float, float], word: str
) -> None:
    quality = measure(simulated(contrast))
    assert failed(quality) is None
    assert any(word in finding for finding in findings(quality))


@pytest.mark.parametrize(("scale", "offset"), [(0.01, 0.0), (1000.0, 0.0), (3.0, -400.0)])
def test_the_scanners_units_do_not_matter(good: LoadedScan, scale: float, offset: float) -> None:
    """BraTS, for one, is published as z scores."""
    other = replace(good, image=(good.image * scale + offset).astype(np.float32))
    first, second = measure(good), measure(other)
    for field in ("correlation", "advantage", "csf", "gm"):
        assert getattr(second, field) == pytest.approx(getattr(first, field), abs=0.01)


def test_array_order_does_not_matter(good: LoadedScan) -> None:
    """The same brain stored back to front and with other axes, and an affine that says so."""
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, good.image.shape[0] - 1
    swap = np.eye(4)[[1, 0, 2, 3]]
    assert good.lesion is not None
    other = replace(
        good,
        image=np.swapaxes(good.image[::-1], 0, 1),
        brain=np.swapaxes(good.brain[::-1], 0, 1),
        lesion=np.swapaxes(good.lesion[::-1], 0, 1),
        affine=good.affine @ flip @ swap,
    )
    assert measure(other).model_dump(exclude={"rival"}) == pytest.approx(
        measure(good).model_dump(exclude={"rival"}), abs=1e-3
    )


def test_lesions_are_measured_and_one_outside_the_brain_is_named(good: LoadedScan) -> None:
    assert good.lesion is not None
    count = int((good.lesion == 1).sum())
    assert measure(good).lesion_ml_before == pytest.approx(count * 0.027)
    outside = np.zeros_like(good.lesion)
    outside[20, 5:9, 5:9] = 1  # 16 voxels of air
    quality = measure(replace(good, lesion=good.lesion | outside))
    assert quality.lesion_outside == pytest.approx(16 / (count + 16))
    assert any("outside the brain" in finding for finding in findings(quality))
    healthy = measure(replace(good, lesion=None))
    assert (healthy.lesion_ml_before, healthy.lesion_outside) == (0.0, None)


def test_the_slices_give_what_preparation_did_to_the_lesion(good: LoadedScan) -> None:
    empty = np.zeros((0, 128, 128), np.float32)
    mask = empty.astype(np.uint8)
    slices = ScanSlices(empty, mask, mask, None, np.zeros(0, np.int64), 1.5, 0.25)
    quality = measure(good).after(slices)
    assert (quality.lesion_ml_after, quality.saturated_share) == (1.5, 0.25)
    assert any("resampling" in finding for finding in findings(quality))


def test_a_lesion_mask_with_left_and_right_exchanged_is_seen(good: LoadedScan) -> None:
    assert not measure(good).lesion_flipped
    assert good.lesion is not None
    flipped = replace(good, lesion=mirrored(good.lesion, good.affine))
    (finding,) = findings(measure(flipped))
    assert "left and right exchanged" in finding


def test_a_brain_without_contrast_does_not_stop_anything(good: LoadedScan) -> None:
    flat = replace(good, image=np.where(good.brain, 7.0, 0.0).astype(np.float32))
    assert measure(flat).correlation == 0.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"brain_ml": 700.0}, "700 ml"),
        ({"brain_ml": 2600.0}, "2600 ml"),
        ({"correlation": -0.2}, "-0.20"),
        ({"csf": 2.0}, "T2"),
        ({"gm": 0.6}, "T1"),
        ({"lesion_outside": 0.3}, "30%"),
        ({"lesion_ml_after": 4.0}, "10.00 to 4.00 ml"),
        ({"advantage": 0.0}, "moved 15 mm up"),
    ],
)
def test_each_finding_says_the_number(change: dict[str, float], word: str) -> None:
    assert findings(GOOD) == ()
    assert failed(GOOD) is None
    (finding,) = findings(GOOD.model_copy(update=change))
    assert word in finding


@given(st.lists(st.floats(0.0, 1.0), min_size=MIN_DATASET, max_size=30))
def test_outliers_are_those_of_the_robust_z_score(values: list[float]) -> None:
    """Oracle: scipy's median absolute deviation, scaled to a normal distribution."""
    from scipy.stats import median_abs_deviation

    dataset = {f"s{k}": GOOD.model_copy(update={"correlation": v}) for k, v in enumerate(values)}
    spread = max(float(median_abs_deviation(values)), 0.03) / 0.6745
    z = np.abs(np.array(values) - np.median(values)) / spread
    if np.abs(z - MAX_Z).min() > 1e-6:
        assert set(outliers(dataset)) == {f"s{k}" for k in np.flatnonzero(z > MAX_Z)}


def test_few_scans_have_no_outliers_and_an_odd_one_is_named_with_its_number() -> None:
    dataset = {f"s{k}": GOOD for k in range(MIN_DATASET - 2)}
    dataset["odd"] = GOOD.model_copy(update={"brain_ml": 1200.0, "csf": None})
    assert outliers(dataset) == {}
    dataset["last"] = GOOD
    ((name, (text,)),) = outliers(dataset).items()
    assert name == "odd"
    assert "1200 ml" in text
    assert "1850 ml" in text


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def coloured(image: np.ndarray, *, warm: bool) -> np.ndarray:
    """Where a pixel is orange (the lesion's outline) or blue-green (the template's)."""
    excess = image[..., 0] - image[..., 2]
    return np.asarray(excess > 60 if warm else excess < -60)


def test_the_picture_outlines_template_and_lesion(good: LoadedScan) -> None:
    picture = scan_picture(good, "sub-01")
    image = pixels(picture)
    assert image.shape == (352, 900, 3)
    assert len(picture) < 150_000
    for panel in np.split(image[30:325], [290, 575], axis=1):
        assert coloured(panel, warm=False).sum() > 200
        assert coloured(panel, warm=True).sum() > 20
    healthy = pixels(scan_picture(replace(good, lesion=None), "sub-01"))
    assert not coloured(healthy, warm=True).any()
    assert scan_picture(good, "sub-01") == picture


def test_the_picture_shows_the_patients_right_on_the_left(good: LoadedScan) -> None:
    """A lesion at x > 0, the patient's right, is drawn in the left half of the axial panel."""
    assert good.lesion is not None
    points = np.argwhere(good.lesion) @ good.affine[:3, :3].T + good.affine[:3, 3]
    assert points[:, 0].mean() > 20
    panel = coloured(pixels(scan_picture(good, ""))[30:325, 15:285], warm=True)
    assert np.argwhere(panel)[:, 1].mean() < 135


def test_a_scan_beside_the_template_is_still_drawn(good: LoadedScan) -> None:
    lost = pixels(scan_picture(moved(good, mm=(0, 0, 400)), "lost"))[30:325, 290:]
    assert coloured(lost, warm=False).sum() > 400
    assert not coloured(lost, warm=True).any()


ROWS = (
    QualityRow("fine", "ready", quality=GOOD, picture="pictures/fine.png"),
    QualityRow("better", "ready", quality=GOOD.model_copy(update={"advantage": 0.5})),
    QualityRow(
        "odd",
        "ready",
        quality=GOOD,
        warnings=("a T2 and no FLAIR?",),
        steps=(("strip", 41.2), ("register", 10.0)),
        methods=(("stripped", "ROBEX 1.2"),),
    ),
    QualityRow("cut", "unreadable", "cut.nii.gz: the file is cut short <here>"),
    QualityRow("out", "excluded", "moved"),
    QualityRow("lost", "held out", "it lies wrongly", GOOD.model_copy(update={"advantage": -1.0})),
)


def test_the_page_puts_the_worst_first_and_says_everything() -> None:
    page = quality_page("My dataset", ROWS, simulated=False, facts=(("recipe", "median"),))
    assert re.findall(r"<h3>(\w+)</h3>", page) == ["lost", "cut", "odd", "fine", "better", "out"]
    assert re.findall(r'<a href="#scan-\d">(\w+)</a>', page) == [
        *("lost", "cut", "odd", "fine", "better", "out")
    ]
    for text in ("a T2 and no FLAIR?", "ROBEX 1.2", "41.2 s", "moved", "excluded by hand"):
        assert text in page
    assert (
        "6 scans: 1 held out, 1 not readable, 3 ready (1 with a warning), 1 excluded by hand"
        in page
    )
    assert "cut short &lt;here&gt;" in page
    assert 'src="pictures/fine.png"' in page
    assert "simulated" not in page


def test_the_page_says_simulated_and_needs_nothing_from_outside() -> None:
    page = quality_page("Phantoms", ROWS, simulated=True)
    assert "no patient was scanned" in page
    assert "<title>Phantoms: quality (simulated)</title>" in page
    assert "<script" not in page
    assert "http" not in page


def test_a_pictures_name_may_hold_any_character() -> None:
    row = QualityRow("a", "ready", quality=GOOD, picture="pictures/sub #1 50%.png")
    assert 'src="pictures/sub%20%231%2050%25.png"' in quality_page("c", [row], simulated=False)


def test_the_page_is_well_formed() -> None:
    """Oracle: Python's HTML parser sees every element closed."""
    from html.parser import HTMLParser

    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in {"meta", "img"}:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(quality_page("c", ROWS, simulated=True))
    assert open_tags == []


coordinates = st.one_of(st.floats(-1.0, 6.0), st.integers(-1, 6).map(float), st.just(np.nan))


@given(
    arrays(np.float32, (2, 3, 5, 1), elements=st.floats(-2, 2, width=32)),
    arrays(np.float64, (3, 8), elements=coordinates),
)
def test_points_of_the_template_have_the_numbers_of_scipy(
    maps: np.ndarray, index: np.ndarray
) -> None:
    index[2] = np.where(index[2] > 3, 0, index[2])
    np.testing.assert_array_equal(_at(maps, index), _at.plain(maps, index))


@given(arrays(np.bool_, (4, 5, 6)), st.permutations(range(3)), st.booleans())
def test_the_ends_of_a_mask_do_not_depend_on_its_order_in_memory(
    mask: np.ndarray, order: list[int], flipped: bool
) -> None:
    mask[2, 3, 1] = True
    mask = mask.transpose(order)[:: -1 if flipped else 1]
    assert _ends(mask) == [(int(at.min()), int(at.max())) for at in np.nonzero(mask)]


@given(arrays(np.bool_, (4, 5, 6)), st.integers(0, 2), st.integers(0, 7))
def test_widening_a_mask_is_dilation(mask: np.ndarray, axis: int, steps: int) -> None:
    line = np.ones([3 if a == axis else 1 for a in range(3)], np.bool_)
    expected = binary_dilation(mask, line, iterations=steps) if steps else mask
    np.testing.assert_array_equal(_widened(mask, axis, steps), expected)
