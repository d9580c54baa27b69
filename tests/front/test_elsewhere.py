"""Anomaly maps of another program: the numbers of a run, marked, and one line for what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import uad_bench as ub
from uad_bench.cells import CellRecord
from uad_bench.cli import main
from uad_bench.method import FitContext
from uad_bench.plugins.registry import discover
from uad_bench.runner.detectors.scoring import signed_residual
from uad_bench.volumes.store.prepared import PreparedDataset

BOTH = "strict,paper"


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)


def store(cache: Path, name: str) -> PreparedDataset:
    return ub.prepare(name, data_root=cache.parent / "data", cache=cache, progress=False)


@pytest.fixture(scope="module")
def work(lab, prepared, tmp_path_factory) -> Path:
    """A folder with a run of thresholding in both spaces, and its own maps, as another's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "data").symlink_to(lab)
        (folder / "cache").symlink_to(prepared)
        for space in ("template", "native"):
            ub.run(
                "thresholding", "mslub", data_root="data", controls=(), mlflow=False,
                progress=False, protocol=BOTH, cache="cache", space=space,
            )  # fmt: skip
        training, patients = store(Path("cache"), "hi"), store(Path("cache"), "mslub")
        method = discover().method("thresholding")()
        method.fit(training.split("train"), training.split("validation"), FitContext(0))
        for dataset, split, place in (
            (patients, "test", "maps"),
            (training, "validation", "maps/healthy"),
        ):
            for number, scan in enumerate(dataset.scans_of(split)):
                slices = dataset.slices(scan)
                whole = np.zeros(dataset.grid.shape, np.float32)
                whole[slices.z] = signed_residual(method, slices)[0]
                image = nib.Nifti1Image(whole, dataset.grid.affine)
                if number:  # any order of axes is fine
                    image = nib.as_closest_canonical(image)
                file = Path(place) / f"{scan.name}.nii{'.gz' if number == 1 else ''}"
                file.parent.mkdir(parents=True, exist_ok=True)
                nib.save(image, file)
        yield folder


@pytest.fixture
def here(work, tmp_path, monkeypatch) -> Path:
    """A copy of the maps, with data and cache, to break."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(work / "maps", "maps")
    for name in ("data", "cache"):
        Path(name).symlink_to(work / name)
    return tmp_path


def evaluate(*arguments: str, name: str = "Lab's U-Net") -> int:
    data = ("--data-root", "data", "--cache", "cache")
    return main(["evaluate", "maps", "--dataset", "mslub", "--name", name, *data, *arguments])


def numbers(record: CellRecord) -> object:
    return record.metrics, record.scans, record.thresholds, record.notes


@pytest.mark.parametrize("space", ["template", "native"])
def test_the_maps_of_a_detector_give_its_numbers_to_the_last_digit(work, here, space, capsys):
    assert evaluate("--protocol", BOTH, "--space", space) == 0
    theirs = {(r.spec.protocol, r.spec.postprocessing): r for r in ub.load_results("results").cells}
    ours = {
        (r.spec.protocol, r.spec.postprocessing): r
        for r in ub.load_results(work / "results").cells
        if r.spec.space == space
    }
    assert len(theirs) == len(ours) == 4
    for key, record in theirs.items():
        assert numbers(record) == numbers(ours[key])
        assert record.data == ours[key].data
        mine, other = (
            (root / r.histograms).read_bytes()
            for root, r in ((Path("results"), record), (work / "results", ours[key]))
        )
        assert mine == other
    assert "4 cells, 4 computed now" in capsys.readouterr().err
    assert bool(list(Path("results/pictures").glob("*.png"))) == (space == "template")


def test_a_map_on_the_scans_own_grid_comes_to_the_prepared_one_as_the_scan_did(here, capsys):
    patients = store(Path("cache"), "mslub")
    shutil.rmtree("maps")
    for scan in patients.scans_of("test"):
        flair = Path("data/MSLUB") / next(f.path for f in scan.files if f.role == "flair")
        image = nib.load(flair)
        values = np.asarray(image.dataobj) / 300
        save(Path("maps") / f"{scan.name}.nii.gz", values, image.affine)
    assert evaluate("--protocol", "paper") == 0
    assert evaluate("--protocol", "paper", "--space", "native") == 0
    frame = ub.load_results("results").to_frame()
    plain = frame[(frame.metric == "auprc") & (frame.postprocessing == "none")]
    template, native = (plain[plain.space == one].value.item() for one in ("template", "native"))
    assert template > 0.5
    assert native > 0.5


def test_without_healthy_maps_what_needs_a_threshold_is_missing_and_says_why(here, capsys):
    shutil.rmtree("maps/healthy")
    assert evaluate() == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "n/a" in shown
    assert "left out: no lesion" not in shown
    assert "Needs a threshold, which comes from anomaly maps of healthy" in shown
    results = ub.load_results("results")
    frame = results.to_frame()
    assert frame[frame.metric == "dice"].value.isna().all()
    assert frame[frame.metric == "auprc"].value.notna().all()
    auprc = results.table("auprc").markdown()
    assert "needs a threshold" not in auprc


def test_tables_and_curves_mark_them_and_a_supervised_method_does_not_compete(work, here, capsys):
    Path("results").symlink_to(work / "results")
    try:
        assert evaluate(name="Ours") == 0
        assert evaluate("--supervised", name="Ours, supervised") == 0
        results = ub.load_results("results")
        table = results.table("auprc", protocol="strict", space="template")
        assert "Ours*¶" in str(table)
        assert "Ours, supervised*‡¶" in table.markdown().replace("<br>", " ").replace("\\", "")
        assert "¶ Anomaly maps made elsewhere: uad-bench scored them" in str(table)
        assert "All data but what methods with ¶ learned from are simulated." in str(table)
        assert r"\P{} Anomaly maps made elsewhere" in table.latex()
        assert main(["plot", "cost", "--output", "cost.svg"]) == 0
        frame = results.to_frame()
        assert frame[frame.title == "Ours"].elsewhere.all()
        assert not frame[frame.title == "Thresh."].elsewhere.any()
    finally:
        for file in (work / "results").rglob("ours*"):
            file.unlink()


def test_the_same_maps_are_scored_once_and_others_do_not_pass_for_them(here, capsys):
    assert evaluate() == 0
    assert evaluate() == 0
    assert "2 cells, 0 computed now" in capsys.readouterr().err
    shutil.copy(first(), sorted(Path("maps").glob("*.nii"))[-1])
    assert evaluate() == 2
    assert "stands on other maps or other data" in capsys.readouterr().err
    assert evaluate("--overwrite", "all") == 0


def test_an_evaluation_that_is_killed_while_it_draws_is_followed_by_one_that_draws(
    here, monkeypatch
):
    def killed(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("uad_bench.report.figures.cells.cell_picture", killed)
        assert evaluate() == 130
    assert not list(Path("results/pictures").glob("*.png"))
    assert evaluate() == 0
    cells = {file.stem for file in Path("results/cells").iterdir()}
    assert len(cells) == 2
    assert {file.stem for file in Path("results/pictures").iterdir()} == cells


def test_cells_that_fail_are_exit_code_1(here, monkeypatch, capsys):
    def broken(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr("uad_bench.runner.jobs.cells.save_histograms", broken)
    assert evaluate() == 1
    said = capsys.readouterr()
    assert "2 cells failed; the table's footnotes say why" in said.err
    assert "no such luck" in said.out


def first() -> Path:
    return sorted(Path("maps").glob("*.nii"))[0]


def changed(change) -> None:
    image = nib.load(first())
    values = np.array(image.dataobj)
    change(values)
    save(first(), values, image.affine)


def nan(values):
    values[0, 0, 0] = np.nan


def negative(values):
    values -= 0.1


def large(values):
    values *= 300


def constant(values):
    values[:] = 0.5


def other_grid():
    save(first(), np.zeros((5, 6, 7)), np.eye(4))


def moved():
    image = nib.load(first())
    affine = image.affine.copy()
    affine[0, 3] += 20
    save(first(), np.asarray(image.dataobj), affine)


def nothing():
    for file in Path("maps").glob("*.nii*"):
        save(file, np.zeros(nib.load(file).shape), nib.load(file).affine)


def twice():
    shutil.copy(first(), "maps/copy.nii")
    image = nib.load(first())
    nib.save(image, f"{first()}.gz")


@pytest.mark.parametrize(
    ("breaks", "line"),
    [
        (lambda: changed(nan), "holds 1 values that are not finite"),
        (lambda: changed(negative), "has values from -0.1 to"),
        (lambda: changed(large), "scores are in [0, 1], so bring all maps, healthy ones too"),
        (lambda: changed(constant), "is 0.5 everywhere in the brain: it ranks no voxel above"),
        (other_grid, "its grid (5 x 6 x 7 voxels) is neither that of the scan"),
        (moved, "voxels) is neither that of the scan"),
        (nothing, "every map is 0 in the brain: there is nothing to evaluate"),
        (twice, "keep one of them"),
        (lambda: first().write_bytes(b"no"), "not a NIfTI file; convert it to .nii.gz"),
        (lambda: first().unlink(), "1 of 3 maps are missing, one per test scan of mslub: "),
        (lambda: shutil.copy(first(), "maps/pat.nii"), "no test scan of mslub is called pat; "),
        (lambda: shutil.rmtree("maps"), "maps: no such folder"),
        (lambda: [f.unlink() for f in Path("maps").glob("*.nii*")], "maps: no map; name each"),
        (
            lambda: next(Path("maps/healthy").iterdir()).unlink(),
            "1 of 2 maps are missing, one per validation scan of hi: ",
        ),
    ],
)
def test_maps_that_cannot_be_scored_are_one_line_and_write_nothing(here, capsys, breaks, line):
    breaks()
    assert evaluate() == 2
    (said,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("error: ")]
    assert line in said
    assert {path.name for path in Path("results").rglob("*")} <= {".lock"}  # as after a run


@pytest.mark.parametrize(
    ("arguments", "name", "line"),
    [
        ((), "SPA", "--name SPA: spa is a method of uad-bench; choose another name"),
        ((), " ", "--name: names nothing"),
        (("--dataset", "hi"), "Ours", "a healthy dataset trains detectors"),
        (("--dataset", "mslub,wmh"), "Ours", "name one dataset at a time"),
        (("--protocol", "fair"), "Ours", "Unknown protocol 'fair'"),
        (("--healthy", "gone"), "Ours", "gone: no such folder"),
    ],
)
def test_other_wrong_words_are_one_line(here, capsys, arguments, name, line):
    assert evaluate(*arguments, name=name) == 2
    (said,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("error: ")]
    assert line in said
    assert not Path("results").exists()


def test_a_map_of_an_excluded_scan_may_stay(here, lab, capsys):
    Path("data").unlink()
    shutil.copytree(lab, "data")
    name = store(Path("cache"), "mslub").scans[0].name
    words = ["exclude", name, "--datasets", "mslub", "--because", "moved", "--data-root", "data"]
    assert main([*words, "--cache", "cache"]) == 0
    assert evaluate() == 0
    assert all(one.data.scans == 2 for one in ub.load_results("results").cells)


def test_python_says_the_same(here):
    results = ub.evaluate_folder(
        "maps", "mslub", "Ours", data_root="data", cache="cache", progress=False
    )
    assert results.computed == 2
    with pytest.raises(ub.UadBenchError, match=r"^seeds: unknown argument; known: data_root"):
        ub.evaluate_folder("maps", "mslub", "Ours", seeds=1)


def test_data_names_the_scans(work, capsys):
    assert main(["data", "mslub", "--data-root", str(work / "data")]) == 0
    shown = capsys.readouterr().out
    assert all(scan.name in shown for scan in store(work / "cache", "mslub").scans)
