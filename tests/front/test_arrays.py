"""Arrays of any origin get the numbers of the engine, or one line that names the scan."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import uad_bench as ub
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise

SHAPE = (9, 24, 20)
SPACING = (2.0, 1.5, 1.5)
SHOWN = np.array([1, 2, 3, 5, 6, 7])


def make(seed: int, lesions: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A noisy map, blobs of lesion and a stripe of ignored voxels; slices 0, 4, 8 show no brain."""
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, bool)
    brain[SHOWN, 3:21, 3:17] = True
    brain[4, 3, 3:9] = True
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    found = brain & (field > np.quantile(field[brain], 0.95)) & lesions
    lesion = found.astype(np.uint8)
    lesion[:, 10, 5:8] = 2
    anomaly = (rng.random(SHAPE) / 2 + 0.25 * found).astype(np.float32)
    return anomaly, lesion, brain


SCANS = [make(1), make(2), make(3), make(4), make(5, lesions=False)]
SUBJECTS = ["a", "b", "b", "c", "d"]
HEALTHY = [make(8, lesions=False), make(9, lesions=False)]


def columns(scans):
    return tuple(list(column) for column in zip(*scans, strict=True))


def healthy():
    maps, _, brains = columns(HEALTHY)
    return maps, brains


def scored(arrays, subject, session=None) -> ScoredScan:
    anomaly, lesion, brain = (array[SHOWN] for array in arrays)
    return ScoredScan(
        subject, session, quantise(anomaly), lesion, brain, SPACING, SHOWN, subject == "d"
    )


@pytest.mark.parametrize("protocol", [STRICT, PAPER], ids=lambda protocol: protocol.name)
def test_arrays_get_the_numbers_of_the_engine(protocol):
    scans = [
        scored(arrays, *name)
        for arrays, name in zip(
            SCANS, [("a",), ("b", "1"), ("b", "2"), ("c",), ("d",)], strict=True
        )
    ]
    validation = validation_histogram(
        replace(scored(arrays, "h"), lesion=np.zeros_like(arrays[1][SHOWN])) for arrays in HEALTHY
    )
    wanted = protocol.evaluate(lambda: iter(scans), validation)
    found = ub.evaluate(
        *columns(SCANS), SPACING, healthy=healthy(), subjects=SUBJECTS, protocol=protocol.name
    )
    assert found.metrics == wanted.metrics
    assert found.scans == wanted.scans
    assert found.thresholds == wanted.thresholds
    undefined = {name for name, metric in found.metrics.items() if metric.value is None}
    assert set(found.missing) == undefined


def test_without_healthy_maps_only_what_needs_a_threshold_is_missing():
    whole = ub.evaluate(*columns(SCANS), SPACING, healthy=healthy())
    found = ub.evaluate(*columns(SCANS), SPACING)
    assert tuple(found.metrics) == tuple(whole.metrics)
    for name, metric in found.metrics.items():
        if name in found.missing:
            assert metric.value is None
            assert "healthy validation" in found.missing[name]
        else:
            assert metric == whole.metrics[name]
    for name in whole.missing:
        assert "healthy validation" not in whole.missing[name]
    had = set(found.metrics) - set(found.missing)
    pooled = {"auprc", "prevalence", "auprc_slice", "prevalence_slice", "max_dice"}
    assert had == pooled | {name for name in found.metrics if name.startswith("patient_")}
    assert set(found.thresholds) == {"max_dice"}
    assert not ub.evaluate(*columns(SCANS), SPACING, protocol="paper").missing


def test_the_result_prints_every_metric_and_why_one_is_missing():
    found = ub.evaluate(*columns(SCANS[:4]), SPACING)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1 : len(found.metrics) + 1]] == list(found.metrics)
    (dice,) = [line for line in lines if line.startswith("dice ")]
    assert dice.split() == ["dice", "n/a"]
    assert any(line.startswith("n/a: dice, ") and "healthy validation" in line for line in lines)
    assert any(line.startswith("n/a: patient_auroc, ") for line in lines)
    html = found._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == len(found.metrics) + 1


def test_masks_and_maps_may_be_of_any_numeric_type_and_spacing_given_per_scan():
    maps, lesions, brains = columns(SCANS)
    wanted = ub.evaluate(maps, lesions, brains, SPACING, healthy=healthy())
    found = ub.evaluate(
        [one.astype(np.float64) for one in maps],
        [one.astype(np.float32) for one in lesions],
        [one.astype(int).tolist() for one in brains],
        [SPACING] * len(maps),
        healthy=healthy(),
        healthy_spacing=SPACING,
    )
    assert found.metrics == wanted.metrics


def test_one_scan_without_a_finding_is_no_mistake():
    quiet = [(np.zeros(SHAPE, np.float32), *SCANS[0][1:]), *SCANS[1:]]
    metrics = ub.evaluate(*columns(quiet), SPACING, healthy=healthy()).metrics
    assert metrics["hd95"].penalised == 1


def changed(index: int, at, value, dtype=None):
    """The scans with one voxel, or the whole array, of the second one changed."""
    arrays = [array.copy() for array in SCANS[1]]
    arrays[index] = arrays[index].astype(dtype or arrays[index].dtype)
    arrays[index][at] = value
    return columns([SCANS[0], tuple(arrays)])


def exchanged(index: int, array):
    arrays = list(SCANS[1])
    arrays[index] = array
    return columns([SCANS[0], tuple(arrays)])


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        (([], [], []), "there is no anomaly map to evaluate: maps is empty"),
        ((*columns(SCANS)[:2], [SCANS[0][2]]), "there are 5 maps and 1 brains: give one of each"),
        (changed(0, (2, 5, 5), np.nan), "map of scan 2 holds 1 values that are not finite"),
        (changed(0, (2, 5, 5), -0.5), r"map of scan 2 has values from -0.5 to .*in \[0, 1\]"),
        (changed(0, (2, 5, 5), 3.0), "map of scan 2 has values from .* to 3: scores are in"),
        (changed(0, ..., 0.5), "map of scan 2 is 0.5 everywhere in the brain"),
        (changed(1, (2, 5, 5), 3), "lesion mask of scan 2 holds the value 3: only 0 .healthy"),
        (changed(1, (2, 5, 5), 0.5, float), "lesion mask of scan 2 holds the value 0.5: only 0"),
        (changed(2, (2, 5, 5), 7, int), "brain mask of scan 2 holds the value 7: only 0 and 1"),
        (changed(2, ..., False), "scan 2 has no slice with at least 1 cm2 of brain"),
        (exchanged(0, SCANS[1][0][0]), r"map of scan 2 has shape \(24, 20\): give one volume"),
        (exchanged(0, SCANS[1][0][None]), r"map of scan 2 has shape \(1, 9, 24, 20\): give one"),
        (exchanged(1, SCANS[1][1][:8]), r"lesion mask of scan 2 has shape \(8, 24, 20\), and its"),
        (exchanged(2, SCANS[1][2].T), r"brain mask of scan 2 has shape \(20, 24, 9\), and its"),
        (exchanged(0, "map.nii.gz"), "anomaly map of scan 2 is not an array of real numbers"),
        (exchanged(1, [[1], [1, 2]]), "lesion mask of scan 2 is not an array of real numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_one_line_that_names_the_scan(arrays, line):
    with pytest.raises(UadBenchError, match=line) as caught:
        ub.evaluate(*arrays, SPACING)
    assert "\n" not in str(caught.value)


def test_maps_that_find_nothing_anywhere_are_refused():
    nothing = [np.zeros(SHAPE)] * 5
    with pytest.raises(UadBenchError, match="every anomaly map is 0 in the brain"):
        ub.evaluate(nothing, *columns(SCANS)[1:], SPACING)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"spacing": (1.0, 1.0)}, r"spacing \(1.0, 1.0\): give the voxel size \(z, y, x\) in mm"),
        ({"spacing": (1.0, 1.0, 0.0)}, "above 0"),
        ({"spacing": (1.0, 1.0, "much")}, "give the voxel size"),
        ({"spacing": [SPACING] * 2}, "one for all 5 scans or one per scan"),
        ({"subjects": ["a"]}, "there are 5 maps and 1 subjects"),
        ({"protocol": "strickt"}, "Unknown protocol 'strickt'. Did you mean 'strict'?"),
        ({"healthy": ([], [])}, "healthy: there is no map"),
        ({"healthy": (healthy()[0], [])}, "there are 2 healthy maps and 0 brains"),
        ({"healthy": ([HEALTHY[0][0] * np.nan], [HEALTHY[0][2]])}, "healthy scan 1 holds"),
        ({"spacing": [(3.0, 2.0, 2.0), *[SPACING] * 4]}, "give that of the healthy maps"),
        ({"healthy_spacing": [SPACING] * 3}, "healthy_spacing .* for all 2 scans"),
    ],
)  # fmt: skip
def test_other_arguments_that_do_not_fit_are_one_line(changes, line):
    given = {"spacing": SPACING, "healthy": healthy()} | changes
    with pytest.raises(UadBenchError, match=line):
        ub.evaluate(*columns(SCANS), **given)


def test_importing_the_package_loads_nothing_that_its_functions_need():
    code = "import sys, uad_bench; dir(uad_bench); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "scipy", "torch", "pydantic", "typer", "rich"}
