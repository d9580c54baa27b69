"""A detector on disk and in memory, and what it says of scans of every kind."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.volumes.steps.space import template_grid

GATE = '''
"""A voxel's intensity; scoring needs a file beside the method, as one with a backbone does."""
from pathlib import Path
import numpy as np
import torch
from uad_bench.method import FitReport, Method, MethodInfo

class Gate(Method):
    info = MethodInfo("gate", "Gate")
    file_: str

    def fit(self, train, validation, context):
        self.file_ = str(Path(__file__).with_name("backbone.txt"))
        self.build()
        return FitReport()

    def build(self):
        self.gain_ = torch.nn.Linear(1, 1)
        self.level = float(Path(self.file_).read_text())

    def score(self, slices):
        assert (np.diff(slices.z) > 0).all()
        return np.clip(slices.image * self.level, 0, 1).astype(np.float32)
'''


@pytest.fixture(scope="module")
def cache(prepared) -> Path:
    return prepared


@pytest.fixture(scope="module")
def mean(lab, cache) -> ub.Detector:
    """A detector that makes reconstructions, trained in a second."""
    return ub.fit("control-mean", data_root=lab, cache=cache, progress=False)


@pytest.fixture(scope="module")
def kept(mean, tmp_path_factory) -> Path:
    """Its folder."""
    folder = tmp_path_factory.mktemp("kept") / "mean"
    mean.save(folder)
    return folder


@pytest.fixture(scope="module")
def flair(lab) -> Path:
    return lab / "MSLUB" / "patient11" / "FLAIR.nii.gz"


def uad_bench(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run a command in this process; its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def test_a_folder_says_by_itself_what_it_is_and_gives_the_same_bits(mean, kept, flair):
    said = json.loads((kept / "detector.json").read_text())
    assert (said["method"], said["seed"], said["recipe"]["name"]) == ("control-mean", 0, "median")
    assert said["training"]["dataset"] == "hi"
    assert said["code"]
    assert said["versions"]["uad-bench"]
    again = ub.load_detector(kept)
    assert again.threshold() == mean.threshold()
    one, two = mean.predict(flair), again.predict(flair)
    assert np.array_equal(one.map, two.map)
    with pytest.raises(ub.UadBenchError, match="is there already"):
        mean.save(kept)


def test_fit_gives_the_detector_of_a_run_and_takes_it_from_its_results(lab, cache, tmp_path):
    ub.run(
        "control-mean",
        "mslub",
        data_root=lab,
        cache=cache,
        results=tmp_path,
        controls=(),
        mlflow=False,
        progress=False,
    )
    (folder,) = (tmp_path / "detectors").iterdir()
    before = (folder / "state.safetensors").stat().st_mtime_ns
    ub.fit("control-mean", data_root=lab, cache=cache, results=tmp_path, progress=False)
    assert [path.name for path in (tmp_path / "detectors").iterdir()] == [folder.name]
    assert (folder / "state.safetensors").stat().st_mtime_ns == before
    (cell,) = [c for c in ub.load_results(tmp_path).cells if c.spec.postprocessing == "none"]
    kept = ub.load_detector(folder)
    assert kept.threshold() == cell.thresholds["fpr1"]
    assert kept.record.fit == cell.fit


def test_map_mask_and_reconstruction_are_on_the_scans_own_voxels(mean, flair, tmp_path):
    found = mean.predict(flair)
    own = nib.load(flair)
    assert found.map.shape == found.mask.shape == found.reconstruction.shape == own.shape
    assert np.allclose(found.affine, own.affine)
    assert found.map.dtype == np.float32
    assert 0 <= found.map.min() < found.map.max() <= 1
    assert not found.map[~found.brain].any()
    assert np.array_equal(found.mask, found.brain & (found.map >= np.float32(found.threshold)))
    lesion = np.asarray(nib.load(flair.with_name("consensus_gt.nii.gz")).dataobj) > 0
    assert found.map[lesion].mean() > 2 * found.map[found.brain & ~lesion].mean()
    files = found.save(tmp_path / "map.nii.gz")
    assert [f.name for f in files] == [
        "map.nii.gz",
        "map_mask.nii.gz",
        "map_reconstruction.nii.gz",
        "map_prediction.json",
    ]
    stored = nib.load(files[0])
    assert np.allclose(stored.affine, own.affine)
    assert np.array_equal(np.asarray(stored.dataobj, np.float32), found.map)
    assert set(np.unique(np.asarray(nib.load(files[1]).dataobj))) == {0, 1}
    assert found.picture().startswith(b"\x89PNG")
    assert found.scan_simulated
    assert found.detector_simulated
    without = mean.predict(flair, postprocessing="erode=7")  # has no threshold for it
    without.save(tmp_path / "map.nii.gz")
    assert not files[1].exists(), "the mask of an earlier map"
    assert files[2].exists()


def test_turned_axes_and_images_give_the_same_map(mean, flair):
    image = nib.load(flair)
    whole = mean.predict(flair)
    assert np.array_equal(mean.predict(image).map, whole.map)
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    back = nib.as_closest_canonical(mean.predict(turned).image)
    expected = nib.as_closest_canonical(whole.image)
    assert np.allclose(np.asarray(back.dataobj), np.asarray(expected.dataobj), atol=2e-4)


@pytest.fixture(scope="module")
def straight(mean, flair) -> ub.Prediction:
    """What the detector says of an array as it is in the file."""
    image = nib.load(flair)
    return mean.predict(np.asarray(image.dataobj, np.float32), affine=image.affine)


@settings(max_examples=4, derandomize=True)
@given(order=st.permutations(range(3)), signs=st.tuples(*[st.sampled_from((1, -1))] * 3))
def test_the_map_of_a_turned_array_is_the_turned_map(mean, straight, flair, order, signs):
    """Up to rounding: sums over a voxel's parts are taken in another order."""
    image = nib.load(flair)
    turn = np.array(list(zip(order, signs, strict=True)))
    values, affine = np.asarray(image.dataobj, np.float32), image.affine
    turned = apply_orientation(values, turn)
    placed = affine @ inv_ornt_aff(turn, values.shape)
    found = mean.predict(turned, affine=placed)
    assert found.map.shape == turned.shape
    assert np.allclose(found.affine, placed)
    assert np.allclose(found.map, apply_orientation(straight.map, turn), atol=2e-4)
    assert np.array_equal(found.brain, apply_orientation(straight.brain, turn))
    assert straight.map.max() > 0.1


def test_an_array_with_an_affine_is_the_file_and_needs_a_right_one(mean, straight, flair):
    image = nib.load(flair)
    values = np.asarray(image.dataobj, np.float32)
    assert np.array_equal(straight.map, mean.predict(image).map)
    assert mean.predict(image).scan_simulated
    assert not straight.scan_simulated  # an array does not say where it came from
    with pytest.raises(ub.UadBenchError, match="give 4 x 4, voxel to world"):
        mean.predict(values, affine=np.eye(3))
    with pytest.raises(ub.UadBenchError, match="give affine="):
        mean.predict(values)


def test_a_scan_that_looks_like_a_t2_is_scored_with_a_warning_wherever_it_shows(
    kept, flair, tmp_path
):
    """As the tiny brains do: where a template has fluid, they are grey matter, and bright."""
    shutil.copy(flair, tmp_path / "a.nii.gz")
    code, _, err = uad_bench("predict", "a.nii.gz", "-d", kept, "-o", "m.nii", cwd=tmp_path)
    assert code == 0, err
    said = json.loads((tmp_path / "m_prediction.json").read_text())
    assert any("a T2 and no FLAIR?" in one for one in said["warnings"])
    assert all(f"warning: a.nii.gz: {one}" in err for one in said["warnings"])
    assert said["detector_simulated"]
    assert said["postprocessing"] == "none"
    assert not said["scan_simulated"]  # nothing in its folder says so
    found = ub.load_detector(kept).predict(tmp_path / "a.nii.gz")
    assert found.picture() != replace(found, warnings=()).picture()


def test_an_array_on_the_prepared_grid_is_taken_as_it_is(mean, lab, cache):
    grid = template_grid(mean.recipe)
    rng = np.random.default_rng(0)
    image = np.zeros(grid.shape, np.float32)
    image[30:50, 40:90, 40:90] = rng.uniform(0.3, 0.7, (20, 50, 50))
    found = mean.predict(image)
    assert found.map.shape == grid.shape
    inside = np.abs(image - found.reconstruction)[30:50, 40:90, 40:90]
    assert np.allclose(found.map[30:50, 40:90, 40:90], inside, atol=1e-4)
    with pytest.raises(ub.UadBenchError, match="give affine="):
        mean.predict(image[:-1])
    with pytest.raises(ub.UadBenchError, match="normalised"):
        mean.predict(100 * image)
    with pytest.raises(ub.UadBenchError, match="without a brain"):
        mean.predict(0 * image)


def test_predict_writes_map_mask_and_picture_of_one_scan_and_of_a_folder(kept, lab, tmp_path):
    scan = lab / "MSLUB" / "patient12" / "FLAIR.nii.gz"
    code, out, err = uad_bench("predict", scan, "-d", kept, "-o", "m.nii.gz", cwd=tmp_path)
    assert code == 0, err
    assert "ml reach the threshold" in out
    assert "trained on simulated brains" in out
    assert f"{scan} (simulated): " in out
    names = {"m.nii.gz", "m_mask.nii.gz", "m_reconstruction.nii.gz", "m_prediction.json", "m.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    code, out, err = uad_bench("predict", lab / "MSLUB", "-d", kept, "-o", "all", cwd=tmp_path)
    assert code == 0, err
    maps = sorted(
        path.relative_to(tmp_path / "all") for path in tmp_path.glob("all/*/FLAIR.nii.gz")
    )
    assert [str(path.parent) for path in maps] == ["patient11", "patient12", "patient13"]
    assert not list(tmp_path.glob("all/*/*gt*"))


def bad(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("4d.nii.gz", "not 3D"),
        ("empty.nii.gz", "every voxel is 0"),
        ("labels.nii.gz", "as in a mask or a label map"),
        ("scan.mgz", "unknown ending"),
        ("gone.nii.gz", "no such file"),
        ("text.nii.gz", "not a NIfTI file"),
        ("sub-1_T1w.nii.gz", "T1w by its name, and no FLAIR"),
        ("sub-1_run-2.nii.gz", "sub-1_run-2.json says EchoTime 0.003 s, as of a T1, and no FLAIR"),
    ],
)
def test_a_scan_that_is_none_is_one_line(kept, flair, tmp_path, name, said):
    image = nib.load(flair)
    values, affine = np.asarray(image.dataobj, np.float32), image.affine
    brain = values > 0
    bad(tmp_path / "4d.nii.gz", np.stack([values, values], -1), affine)
    bad(tmp_path / "empty.nii.gz", 0 * values, affine)
    bad(tmp_path / "labels.nii.gz", np.where(brain, 1 + (values > 110), 0).astype("u1"), affine)
    (tmp_path / "scan.mgz").write_bytes(b"mgz")
    (tmp_path / "text.nii.gz").write_text("no volume")
    for other in ("sub-1_T1w.nii.gz", "sub-1_run-2.nii.gz"):
        shutil.copy(flair, tmp_path / other)
    (tmp_path / "sub-1_run-2.json").write_text('{"EchoTime": 0.003}')
    code, out, err = uad_bench("predict", tmp_path / name, "-d", kept, "-o", "m.nii", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "m.nii").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "m.nii.gz"], "give a detector's folder (-d) or a method (-m)"),
        (["-d", "kept", "-o", "m.png"], "unknown ending"),
        (["-d", "kept", "-o", "folder.nii"], "is a folder"),
        (["-d", "kept", "-o", "file/m.nii"], "is a file"),
        (["-d", "kept", "-o", "scan.nii.gz"], "would replace a scan"),
        (["-d", "no.zip", "-o", "m.nii"], "no.zip: no such file; name the zip that"),
        (["-d", "nothing", "-o", "m.nii"], "nothing: no detector"),
        (["-d", "other", "-o", "m.nii"], "a detector of another version of uad-bench"),
        (["-d", "cut", "-o", "m.nii"], "damaged, its SHA-256 is another"),
        (["-d", "broken", "-o", "m.nii"], "not a detector's"),
        (["-d", "edited", "-o", "m.nii"], "the code of control-mean changed since"),
        (["-d", "unknown", "-o", "m.nii"], "needs the method strange"),
        (["-m", "no-such", "-o", "m.nii"], "Unknown method 'no-such'"),
    ],
)
def test_what_cannot_be_used_or_written_is_one_line_before_any_work(
    kept, flair, tmp_path, options, said
):
    shutil.copy(flair, tmp_path / "scan.nii.gz")
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "file").touch()
    text = (kept / "detector.json").read_text()
    for name in ("kept", "other", "cut", "broken", "edited", "unknown"):
        shutil.copytree(kept, tmp_path / name)
    changes = {"other": {"schema_version": 9}, "broken": {"recipe": 1}, "edited": {"code": "0"}}
    changes["unknown"] = {"method": "strange"}
    for name, change in changes.items():
        (tmp_path / name / "detector.json").write_text(json.dumps(json.loads(text) | change))
    state = tmp_path / "cut" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-8])
    code, out, err = uad_bench("predict", "scan.nii.gz", *options, cwd=tmp_path)
    assert (code, out) == (2, ""), err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "m.nii").exists()


def test_a_plugin_whose_backbone_is_gone_is_one_line(lab, cache, flair, tmp_path):
    plugin = tmp_path / "gate.py"
    plugin.write_text(GATE)
    backbone = tmp_path / "backbone.txt"
    backbone.write_text("0.5")
    trained = ub.fit("gate", data_root=lab, cache=cache, plugin=plugin, progress=False)
    trained.save(tmp_path / "kept")
    assert trained.predict(flair).reconstruction is None
    with pytest.raises(ub.UadBenchError, match=r"needs the method gate, .*gate\.py.*--plugin"):
        ub.load_detector(tmp_path / "kept")
    assert ub.load_detector(tmp_path / "kept", plugin=plugin).title == "Gate"
    backbone.unlink()
    with pytest.raises(ub.UadBenchError, match="gate needs a file that cannot be read"):
        ub.load_detector(tmp_path / "kept", plugin=plugin)


def test_a_map_says_how_it_was_post_processed_and_has_one_way(kept, flair, tmp_path):
    ub.load_detector(kept).predict(flair, postprocessing="star+erode=2").save(tmp_path / "m.nii")
    said = json.loads((tmp_path / "m_prediction.json").read_text())
    assert said["postprocessing"] == "star+erode=2"
    code, _, err = uad_bench(
        *("predict", flair, "-d", kept, "-o", "n.nii", "--postprocessing", "none,star"),
        cwd=tmp_path,
    )
    assert code == 2
    assert "--postprocessing none,star: a map has one post-processing" in err


def test_words_that_are_not_for_training_are_told():
    with pytest.raises(ub.UadBenchError, match="datasets is for run"):
        ub.fit("thresholding", datasets="mslub")
    with pytest.raises(ub.UadBenchError, match="did you mean steps"):
        ub.fit("dae", stepz=3, progress=False)


@pytest.mark.slow
@pytest.mark.data
def test_real_patients_are_scored_on_their_own_voxels(real_patients, tmp_path):
    trained = ub.fit("thresholding", phantoms=1, cache=tmp_path, progress=False)
    for folder in (real_patients / "MSLUB").iterdir():
        found = trained.predict(folder / "FLAIR.nii.gz", cache=tmp_path)
        lesion = np.asarray(nib.load(folder / "consensus_gt.nii.gz").dataobj) > 0
        assert found.map.shape == lesion.shape
        assert found.map[lesion].mean() > found.map[found.brain & ~lesion].mean()
