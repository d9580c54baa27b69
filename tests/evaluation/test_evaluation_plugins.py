"""A stranger's protocol and post-processing run, stand in tables and are refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uad_bench.cli import main
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.results import load_cells
from uad_bench.runner.config import load_config
from uad_bench.runner.plan.make import make_plan

PROTOCOL = '''"""The mean score of lesion voxels minus that of healthy ones."""

import numpy as np

from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.evaluation.scored import Evaluation, MeasuredScan, named_histograms
from uad_bench.evaluation.values import ScanScores

CONTRAST = MetricInfo(name="contrast", title="Contrast of lesions", shown="always")


def measure(scan, validation):
    value = None
    if scan.lesion_mask.any():
        healthy = scan.scores[scan.brain & (scan.lesion == 0)].mean()
        value = float(scan.scores[scan.lesion_mask].mean() - healthy) / 65535
    scores = ScanScores(subject=scan.subject, session=scan.session, metrics={"contrast": value})
    return MeasuredScan(scores, {"slice": scan.whole_slice_histogram()})


def combine(measured, scans, validation):
    values = [one.scores.metrics["contrast"] for one in measured]
    found = [value for value in values if value is not None]
    mean = float(np.mean(found)) if found else None
    skipped = len(values) - len(found)
    return Evaluation(
        metrics={"contrast": CONTRAST.of(mean, subjects=len(found), skipped=skipped)},
        scans=tuple(one.scores for one in measured),
        thresholds={},
        histograms=named_histograms(measured),
    )


PROTOCOL = Protocol(
    name="contrast",
    version=3,
    caption="Protocol contrast, version 3: lesion minus healthy",
    description="Says how far lesions stand out.",
    metrics=(CONTRAST,),
    measure=measure,
    combine=combine,
)
'''

POSTPROCESSING = '''"""Half of the absolute residual."""

import numpy as np

from uad_bench.evaluation.postprocessing import PostProcessing

HALF = PostProcessing(
    name="half",
    version=1,
    mark="#",
    caption="half of the residual",
    make=lambda r, _: np.abs(r) / 2,
)
'''


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "contrast.py").write_text(PROTOCOL)
    (folder / "half.py").write_text(POSTPROCESSING)
    return folder / "contrast.py", folder / "half.py"


def flags(plugins: tuple[Path, Path]) -> list[str]:
    return [word for path in plugins for word in ("--plugin", str(path))]


def test_they_run_and_stand_in_tables_with_their_captions(lab, prepared, plugins, tmp_path, capsys):
    command = ["run", "--methods", "thresholding", "--controls", "", "--datasets", "mslub,wmh"]
    command += ["--protocol", "strict,contrast", "--postprocessing", "none,half", "--no-mlflow"]
    command += ["--data-root", str(lab), "--results", str(tmp_path / "results")]
    command += ["--cache", str(prepared), "-j", "1", *flags(plugins)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "Protocol contrast, version 3: lesion minus healthy" in out
    assert "#: half of the residual." in out
    cells = {
        (cell.spec.protocol, cell.spec.postprocessing, cell.spec.dataset): cell
        for cell in load_cells(tmp_path / "results")
    }
    assert len(cells) == 8
    for dataset in ("mslub", "wmh"):
        whole, half = (
            cells["contrast", post, dataset].metrics["contrast"].value for post in ("none", "half")
        )
        assert half == pytest.approx(whole / 2, rel=1e-3)
        assert cells["contrast", "half", dataset].protocol_version == 3

    table = ["table", "--results", str(tmp_path / "results"), "--protocol", "contrast", "-f"]
    assert main([*table, "csv", *flags(plugins)]) == 0
    assert "Thresholding#" in capsys.readouterr().out.replace("Thresh.", "Thresholding")
    assert main([*table, "csv"]) == 2
    assert "Unknown post-processing 'half'" in capsys.readouterr().err


def test_they_are_listed_shown_and_checked(plugins, capsys):
    assert main(["list", *flags(plugins)]) == 0
    out = capsys.readouterr().out
    assert "The mean score of lesion voxels minus that of healthy ones" in out
    assert "Half of the absolute residual" in out
    assert main(["show", "contrast", *flags(plugins)]) == 0
    assert "Contrast of lesions" in capsys.readouterr().out
    for path in plugins:
        assert main(["check", str(path)]) == 0, capsys.readouterr().out


def test_arrays_are_scored_under_a_strangers_protocol(plugins):
    protocol = discover(PluginSources(plugins)).protocol("contrast")
    import uad_bench as ub

    lesion = np.zeros((2, 12, 12), np.uint8)
    lesion[:, 4:6, 4:8] = 1
    found = ub.evaluate(
        [lesion / 2 + 0.25], [lesion], [np.ones_like(lesion)], (3, 1, 1), protocol=protocol
    )
    assert found.metrics["contrast"].value == pytest.approx(0.5, abs=1e-4)


def test_an_installed_package_brings_them_by_entry_points(plugins, tmp_path):
    for path in plugins:
        (tmp_path / f"stranger_{path.name}").write_text(path.read_text())
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[uad_bench.protocols]\ncontrast = stranger_contrast:PROTOCOL\n"
        "[uad_bench.postprocessings]\nhalf = stranger_half\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from uad_bench.plugins.registry import discover\n"
        "found = discover()\n"
        "assert 'numpy' not in sys.modules\n"
        "print(found.protocol('contrast').version, found.postprocessing('half').mark)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "#"]


def test_names_that_no_plugin_has_are_refused_together_before_any_work():
    config = load_config(
        None,
        {
            "methods": "thresholding",
            "datasets": "mslub",
            "protocol": "strickt",
            "postprocessing": "none,stars",
        },
    )
    with pytest.raises(UadBenchError) as told:
        make_plan(config, discover())
    assert "Unknown protocol 'strickt'. Did you mean 'strict'?" in str(told.value)
    assert "Unknown post-processing 'stars'. Did you mean 'star'?" in str(told.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('name="contrast",\n    version', "name=CONTRAST.name,\n    version", "string literal"),
        ('name="contrast",\n    version', f'name="{"c" * 25}",\n    version', "20 are the most"),
    ],
)
def test_a_name_that_cannot_be_listed_is_told(plugins, tmp_path, old, new, line):
    (tmp_path / "bad.py").write_text(PROTOCOL.replace(old, new))
    (entry,) = (one for one in discover(PluginSources((tmp_path,))).entries() if one.kind is None)
    assert line in entry.reason


def test_an_object_that_is_not_what_it_was_listed_as_is_refused(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(POSTPROCESSING + "\nHALF = None\n")
    with pytest.raises(PluginError, match="HALF is not a PostProcessing; make it with uad_bench"):
        discover(PluginSources((path,))).postprocessing("half")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("version 3: lesion", "version 2: lesion", "caption must say 'version 3'"),
        ("version=3,", "version=0,", "version must be a whole number from 1 on, is 0"),
        ('shown="always"', 'needs="hd"', "needs of contrast must be one of its metrics, is 'hd'"),
        ('metrics={"contrast": CONTRAST.of', 'metrics={"other": CONTRAST.of', "the same order"),
        ("    mean = float", "    validation.prevalence\n    mean = float", "without validation"),
    ],
)
def test_check_finds_what_a_protocol_breaks(tmp_path, capsys, old, new, rule):
    assert old in PROTOCOL
    (tmp_path / "bad.py").write_text(PROTOCOL.replace(old, new))
    assert main(["check", str(tmp_path / "bad.py")]) == 1
    assert rule in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('caption="half of the residual"', 'caption=""', "a mark needs a"),
        ("np.abs(r) / 2", "r", "returned values from"),
        ("np.abs(r) / 2", "np.abs(r, out=r)", "make must not change its input"),
        ("np.abs(r) / 2", "np.random.random(r.shape)", "the same map every time"),
    ],
)
def test_check_finds_what_a_post_processing_breaks(tmp_path, capsys, old, new, rule):
    assert old in POSTPROCESSING
    (tmp_path / "bad.py").write_text(POSTPROCESSING.replace(old, new))
    assert main(["check", str(tmp_path / "bad.py")]) == 1
    assert rule in capsys.readouterr().out
