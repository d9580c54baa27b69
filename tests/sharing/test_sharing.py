"""Archives: nothing of the machine goes out, nothing that was edited or leads outside comes in.

What others submit to the leaderboard is such an archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import uad_bench as ub
from studies import submissions
from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment, FitRecord
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.histogram_files import save_histograms
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.sharing.again import _written_recipe
from uad_bench.sharing.archive import ArchivedResults
from uad_bench.sharing.detector import share_detector
from uad_bench.sharing.held import held_of_people
from uad_bench.sharing.paths import without_paths
from uad_bench.sharing.zips import LISTING, opened_archive
from uad_bench.volumes.recipe import Recipe, find_recipe

READER = '''
"""It keeps the path of a file beside it."""
from uad_bench.method import FitReport, Method, MethodInfo

class Reader(Method):
    info = MethodInfo("reader", "Reader")
    file_: str

    def fit(self, train, validation, context):
        self.file_ = "/home/alice/net.pth"
        return FitReport()

    def score(self, slices):
        return slices.image
'''

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/alice/studies 2"


def cell(seed: int, value: float = 0.25, **more: object) -> CellRecord:
    spec = CellSpec(
        method="fae",
        params={"weights": f"{HOME}/net.pth", "steps": 5},
        seed=seed,
        dataset="wmh",
        protocol="strict",
        postprocessing="none",
    )
    return CellRecord.model_validate(
        {
            "spec": spec,
            "state": "done",
            "method_title": "FAE",
            "protocol_version": open_registry(None).protocol("strict").version,
            "run": "0a1b2c3d",
            "data": DatasetUse(
                dataset="wmh",
                simulated=False,
                manifest_hash="0123456789abcdef",
                recipe="median",
                subjects=1,
                scans=1,
                slices=3,
                excluded=({"scan": "b", "reason": f"{HOME}/b.nii.gz: no brain in it"},),
            ),
            "fit": FitRecord(detector="fae-s0-11111111", notes=("read /data/alice/net.pth",)),
            "metrics": {"dice": Metric(value=value, low=0.1 + 0.2, high=0.5, subjects=1)},
            "scans": (ScanScores(subject="a", metrics={"dice": value}),),
            "histograms": f"histograms/{spec.name}.npz",
            "environment": Environment(
                versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
            ),
            **more,
        }
    )


def results(root: Path, *records: CellRecord) -> ub.Results:
    folder = ResultsFolder(root)
    tally = Tally.at(np.array([3], np.uint16), np.array([7]))
    for record in records:
        write_cell(folder, record)
        if record.histograms is not None:
            save_histograms(root / record.histograms, {"a": ScoreHistogram(tally, tally)})
    settings = {
        "data_root": "scans of alice/all",
        "datasets": ["bids:/home/alice/wmh", "mslub"],
        "recipe": "median",
        "atlas": None,
        "param": {"fae.weights": f"{HOME}/net.pth"},
    }
    folder.runs.mkdir(exist_ok=True)
    (folder.runs / "0a1b2c3d.json").write_text(json.dumps(settings))
    return ub.load_results(root)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An export of two cells."""
    root = tmp_path_factory.mktemp("archive")
    return results(root / "results", cell(0), cell(1)).export(root / "run.zip")


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as found:
        return {name: found.read(name) for name in found.namelist()}


def zipped(path: Path, files: dict[str, bytes], listed: bool = True) -> Path:
    """Write a zip; ``listed`` makes its listing true, as an attacker would."""
    if listed:
        listing = json.loads(files[LISTING])
        listing["files"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
            if name != LISTING
        }
        files = {**files, LISTING: json.dumps(listing).encode()}
    with zipfile.ZipFile(path, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def refused(path: Path, into: Path) -> str:
    with pytest.raises(ub.UadBenchError) as caught:
        ub.import_results(path, into)
    assert not (into / "cells").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_comes_in_is_what_went_out(archive, tmp_path):
    found = ub.import_results(archive, tmp_path / "b")
    assert [one.spec.seed for one in found.cells] == [0, 1]
    assert found.computed == 2
    assert found.cells[0].metrics == cell(0).metrics
    assert found.cells[0].scans == cell(0).scans
    (again,) = {found.export(tmp_path / "again.zip"), tmp_path / "again.zip"}
    assert members(again) == members(archive)
    assert ub.import_results(archive, tmp_path / "b").computed == 0


def test_the_same_content_is_the_same_bytes(archive, tmp_path):
    root = tmp_path / "elsewhere" / "results"
    again = results(root, cell(1), cell(0)).export(tmp_path / "run.zip")
    assert again.read_bytes() == archive.read_bytes()


def test_no_path_of_the_machine_goes_out(archive):
    for name, data in members(archive).items():
        assert b"alice" not in data, name
        assert b"studies" not in data, name
    (seed,) = [json.loads(d) for n, d in members(archive).items() if "s0-" in n and ".json" in n]
    assert seed["spec"]["params"]["weights"] == "net.pth"
    assert seed["data"]["excluded"][0]["reason"] == "b.nii.gz: no brain in it"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /data/x y/a.nii: gone", "cannot read a.nii: gone"),
        ("~/my scans/a.nii", "a.nii"),
        (
            "see https://example.org/a/b, 3 mm/s and 1/2",
            "see https://example.org/a/b, 3 mm/s and 1/2",
        ),
        ("bids:/data/wmh", "bids:wmh"),
        (["/a/b", {"c": "/d/e.npz"}, 1.5, None], ["b", {"c": "e.npz"}, 1.5, None]),
    ],
)
def test_of_a_path_the_last_part_is_left(text, left):
    assert without_paths(text) == left
    assert without_paths(left) == left


Edit = Callable[[dict[str, bytes]], None]


def first(files: dict[str, bytes], start: str) -> str:
    return next(name for name in files if name.startswith(start))


def change(files: dict[str, bytes], start: str, old: bytes, new: bytes) -> None:
    name = first(files, start)
    assert old in files[name]
    files[name] = files[name].replace(old, new)


def rename(files: dict[str, bytes], start: str, name: str) -> None:
    files[name] = files.pop(first(files, start))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda f: change(f, "cells/", b"0.25", b"0.95"), "was edited: cells/"),
        (lambda f: change(f, "runs/", b"median", b"medium"), "was edited: runs/"),
        (lambda f: f.pop(first(f, "histograms/")), "is missing"),
        (lambda f: f.update({"cells/more.json": b"{}"}), "cells/more.json is not in its"),
        (lambda f: f.pop(LISTING), f"has no {LISTING}"),
        (lambda f: change(f, LISTING, b'"format": 1', b'"format": 2'), "has format 2"),
        (lambda f: change(f, LISTING, b'"results"', b'"detector"'), "is of a detector"),
        (lambda f: f.update({LISTING: b"[]"}), "is damaged"),
    ],
)
def test_an_edited_archive_is_refused_whole(archive, tmp_path, edit, said):
    files = members(archive)
    edit(files)
    path = zipped(tmp_path / "edited.zip", files, listed=False)
    assert said in refused(path, tmp_path / "into")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda f: rename(f, "cells/", "cells/other.json"), "is not its own cell"),
        (lambda f: change(f, "cells/", b"histograms/", b"../../"), "another cell's histograms"),
        (lambda f: change(f, "cells/", b"fae-s0-1", b"../../etc/"), "outside of a folder"),
        (lambda f: change(f, "cells/", b"0123456789abcdef", b"../../x"), "outside of a folder"),
        (lambda f: f.pop(first(f, "histograms/")), "histograms of cells/"),
        (lambda f: f.update({"report.html": b"<script>"}), "which no export does"),
        (lambda f: f.update({".lock": b""}), "which no export does"),
        (lambda f: change(f, "cells/", b"0.25", b"1e999"), "finite number); get it again"),
        (lambda f: change(f, "cells/", b'"seed": 0', b'"seed": "x"'), "as an integer"),
        (lambda f: change(f, "histograms/", b"PK", b"KP"), "is damaged (File is not a zip"),
        (lambda f: change(f, "histograms/", b"lesion_sizes", b"lesion_sixes"), "KeyError"),
        (lambda f: change(f, "runs/", b"{", b""), "holds no settings; get it again"),
        (lambda f: f.update({"runs/0a1b2c3d.json": b"[" * 200_000}), "holds no settings; get it"),
        (lambda f: f.update({"tuning/a-1.log": b"[" * 200_000}), "a-1.log is damaged"),
        (lambda f: f.update({"plan.json": b"{}"}), "plan.json is damaged"),
        (lambda f: f.update({"tuning/a-1.log": b"{}\n1\n"}), "line 2 is no entry"),
        (lambda f: f.update({"detectors/a/validation.npz": b""}), "no detector.json beside it"),
        (lambda f: [f.pop(n) for n in list(f) if n.startswith("cells/")], "holds no cell"),
        (lambda f: f.update({"manifests/0.json": b"{}"}), "no manifest"),
        (lambda f: f.update({"detectors/a/detector.json": b"{}"}), "is no detector's"),
    ],
)
def test_an_archive_that_lies_well_is_refused_too(archive, tmp_path, edit, said):
    files = members(archive)
    edit(files)
    text = refused(zipped(tmp_path / "lie.zip", files), tmp_path / "into")
    assert said in text
    assert "delete" not in text


def test_a_detector_whose_weights_are_none_is_refused(mean, archive, tmp_path):
    files, state = members(archive), b"no weights"
    mean.save(tmp_path / "kept")
    record = json.loads((tmp_path / "kept/detector.json").read_text())
    record["sha256"] = hashlib.sha256(state).hexdigest()
    files["detectors/a/detector.json"] = json.dumps(record).encode()
    files["detectors/a/state.safetensors"] = state
    said = refused(zipped(tmp_path / "lie.zip", files), tmp_path / "into")
    assert "detectors/a/state.safetensors is damaged" in said


def test_small_histograms_that_unpack_to_much_are_refused(archive, tmp_path, monkeypatch):
    files, stream = members(archive), io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("names.npy", bytes(3_000_000))
    files[first(files, "histograms/")] = stream.getvalue()
    monkeypatch.setattr("uad_bench.sharing.archive.LARGEST_TEXT_MB", 1)
    said = refused(zipped(tmp_path / "bomb.zip", files), tmp_path / "into")
    assert "it unpacks to more than 1 MB" in said


def test_the_name_of_a_recipe_leads_nowhere(tmp_path):
    """A run with a recipe of its own is repeated with a file that is written for it."""
    recipe = Recipe(name="../../stolen", n4=True)
    manifests = {"0123456789abcdef": SimpleNamespace(recipe=recipe)}
    archive = ArchivedResults(None, (), {}, manifests)
    file = _written_recipe(archive, [cell(0)], tmp_path / "a" / "new")
    assert file.parent == tmp_path / "a" / "new"
    assert [one.name for one in tmp_path.rglob("*.yaml")] == [file.name]
    assert find_recipe(str(file)) == recipe


PARTS = st.sampled_from(["..", ".", "", "a", "cells", "C:", "\\", "\0", "~", "a b", "\u202e", "\n"])


@given(parts=st.lists(PARTS | st.text(max_size=4), min_size=1, max_size=5))
def test_no_name_leads_out_of_the_folder(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("names")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = "/".join(parts) or "x"
        try:
            out.writestr(info, b"")
        except (UnicodeEncodeError, ValueError):  # lone surrogates cannot be in a zip
            return
    path = root / "bad.zip"
    path.write_bytes(stream.getvalue())
    # Names that are harmless go on to the next refusal: nothing says what they are.
    with pytest.raises(ub.UadBenchError) as caught, opened_archive(path, "results"):
        pass
    name = zipfile.ZipFile(path).infolist()[0].filename
    if f"has no {LISTING}" in str(caught.value):
        assert (root / name).resolve().is_relative_to(root.resolve())
        assert ".." not in name.split("/")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO])
def test_a_link_is_refused(tmp_path, mode):
    info = zipfile.ZipInfo("cells/a.json")
    info.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as out:
        out.writestr(info, "/etc/passwd")
    assert "is a link or a folder" in refused(tmp_path / "link.zip", tmp_path / "into")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(archive, tmp_path, monkeypatch):
    files = members(archive)
    files["tuning/a-0.log"] = bytes(3_000_000)
    monkeypatch.setattr("uad_bench.sharing.zips.LARGEST_GB", 0)
    monkeypatch.setattr("uad_bench.sharing.zips._digest", lambda _: pytest.fail("unpacked"))
    assert "unpacks to more than" in refused(zipped(tmp_path / "bomb.zip", files), tmp_path / "i")


@pytest.mark.parametrize(
    "name", ["tuning/a-0.log", "histograms/a.npz", "detectors/a/state.safetensors"]
)
def test_no_small_archive_fills_the_memory(archive, tmp_path, monkeypatch, name):
    files = members(archive)
    files[name] = bytes(3_000_000)
    path = zipped(tmp_path / "bomb.zip", files)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "small.zip", "w", 8) as new:
        for one in old.namelist():
            new.writestr(one, old.read(one))
    monkeypatch.setattr("uad_bench.sharing.zips.LARGEST_TEXT_MB", 1)
    monkeypatch.setattr("uad_bench.sharing.zips._digest", lambda _: pytest.fail("unpacked"))
    assert f"{name} has over 1 MB" in refused(tmp_path / "small.zip", tmp_path / "into")


def test_a_name_that_is_no_text_is_refused_in_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "name.zip", "w") as out:
        out.writestr("cells/ä.json", b"")
    raw = (tmp_path / "name.zip").read_bytes()
    (tmp_path / "name.zip").write_bytes(raw.replace("ä".encode(), b"\xff\xff"))
    assert "no zip, or a damaged one" in refused(tmp_path / "name.zip", tmp_path / "into")


@given(data=st.data())
def test_no_archive_that_was_cut_off_comes_in(archive, tmp_path_factory, data):
    raw = archive.read_bytes()
    root = tmp_path_factory.mktemp("cut")
    (root / "run.zip").write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    assert "damaged" in refused(root / "run.zip", root / "into")


def test_names_that_are_not_ascii_go_out_and_come_in(tmp_path):
    spec = cell(0).spec.model_copy(update={"dataset": "läsionen-病変"})
    made = cell(0, spec=spec, histograms=f"histograms/{spec.name}.npz")
    path = results(tmp_path / "a", made).export(tmp_path / "run.zip")
    (found,) = ub.import_results(path, tmp_path / "b").cells
    assert found.spec.dataset == "läsionen-病変"


@given(data=st.data())
def test_no_changed_byte_changes_a_number(archive, tmp_path_factory, data):
    raw = bytearray(archive.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    root = tmp_path_factory.mktemp("flip")
    (root / "run.zip").write_bytes(raw)
    try:
        found = ub.import_results(root / "run.zip", root / "into").cells
    except ub.UadBenchError:
        assert not (root / "into" / "cells").exists()
        return
    assert [one.metrics for one in found] == [cell(0).metrics, cell(1).metrics]


def test_what_is_no_archive_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.zip").write_text("text")
    assert "no zip" in refused(tmp_path / "text.zip", tmp_path / "into")
    assert "cannot read" in refused(tmp_path / "none.zip", tmp_path / "into")
    assert "cannot read" in refused(tmp_path, tmp_path / "into")
    with pytest.raises(ub.UadBenchError, match=r"name a \.zip file"):
        results(tmp_path / "r", cell(0)).export(tmp_path / "run.tar")


def test_cells_that_contradict_those_that_are_there_stop_an_import(archive, tmp_path):
    mine = results(tmp_path / "mine", cell(0, 0.5))
    with pytest.raises(ub.UadBenchError, match=r"-s0-wmh.* there already with other content"):
        ub.import_results(
            mine.export(tmp_path / "mine.zip"), ub.import_results(archive, tmp_path / "b").folder
        )
    (file,) = (tmp_path / "b" / "histograms").glob("*-s1-*")
    file.write_bytes(b"other")
    with pytest.raises(ub.UadBenchError, match=r"\.npz: there already with other content"):
        ub.import_results(archive, tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.json", "{"),
        ("plan.json", "{}"),
        ("runs/0a1b2c3d.json", "[]"),
        ("runs/0a1b2c3d.json", '{"a": '),
        ("manifests/0123456789abcdef.json", "{"),
        ("histograms/*", "PK"),
        ("tuning/fae-1.log", '{"op_code": 0}\n{"op\n'),
    ],
)
def test_an_export_of_a_damaged_file_is_refused_in_one_line(tmp_path, name, text):
    tuned = FitRecord(detector="fae-s0-11111111", trials=2)
    found = results(tmp_path / "r", cell(0, fit=tuned))
    file = next((tmp_path / "r").glob(name), tmp_path / "r" / name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(ub.UadBenchError) as caught:
        found.export(tmp_path / "run.zip")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run.zip").exists()


def test_the_cut_last_line_of_a_journal_does_not_stop_an_export(tmp_path):
    tuned = FitRecord(detector="fae-s0-11111111", trials=2)
    found = results(tmp_path / "r", cell(0, fit=tuned))
    (tmp_path / "r/tuning").mkdir()
    (tmp_path / "r/tuning/fae-1.log").write_text('{"op_code": 0}\n{"op')
    files = members(found.export(tmp_path / "run.zip"))
    assert files["tuning/fae-1.log"] == b'{"op_code": 0}\n'


def test_an_export_says_which_file_is_gone(tmp_path):
    found = results(tmp_path / "r", cell(0))
    (tmp_path / "r" / found.cells[0].histograms).unlink()
    with pytest.raises(ub.UadBenchError, match=r"npz: is gone, and a cell stands on it"):
        found.export(tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


@pytest.fixture(scope="module")
def mean(lab, prepared) -> ub.Detector:
    return ub.fit("control-mean", data_root=lab, cache=prepared, progress=False)


def test_a_shared_detector_gives_the_same_map_as_folder_and_as_zip(mean, lab, tmp_path):
    scan = lab / "MSLUB" / "patient11" / "FLAIR.nii.gz"
    expected = mean.predict(scan).map
    for out in (tmp_path / "folder", tmp_path / "file.zip"):
        shared = ub.load_detector(mean.share(out, licence="cc-by-4.0"))
        assert np.array_equal(shared.predict(scan).map, expected)
        assert shared.threshold() == mean.threshold()
        with pytest.raises(ub.UadBenchError, match="is there already"):
            mean.share(out, licence="MIT")
    files = {file.name: file.read_bytes() for file in (tmp_path / "folder").iterdir()}
    assert files == members(tmp_path / "file.zip")
    assert b"SPDX-License-Identifier: CC-BY-4.0" in files["LICENSE"]
    assert find_recipe(str(tmp_path / "folder" / "recipe.yaml")).hash == mean.recipe.hash
    card = files["README.md"].decode()
    assert "scans of 4 people" in card
    assert f"| none | {mean.threshold():.6g} |" in card


@pytest.mark.parametrize("cut", [0, 100])
def test_a_damaged_detector_is_not_shared(mean, tmp_path, cut):
    mean.save(tmp_path / "kept")
    file = tmp_path / "kept/state.safetensors"
    file.write_bytes(file.read_bytes()[:cut] if cut else file.read_bytes()[:-1] + b"?")
    for out in ("folder", "one.zip"):
        with pytest.raises(ub.UadBenchError, match=r"state\.safetensors: damaged, its SHA-256"):
            share_detector(tmp_path / "kept", tmp_path / out, "MIT", open_registry(None))
        assert not (tmp_path / out).exists()
    file.unlink()
    with pytest.raises(ub.UadBenchError, match=r"state\.safetensors: No such file"):
        share_detector(tmp_path / "kept", tmp_path / "one.zip", "MIT", open_registry(None))


def test_an_edited_detector_is_refused_by_its_zips_name(mean, tmp_path):
    whole = mean.share(tmp_path / "whole.zip", licence="MIT")
    files = members(whole)
    files["detector.json"] = files["detector.json"].replace(b"control-mean", b"control-none")
    edited = zipped(tmp_path / "edited.zip", files, listed=False)
    with pytest.raises(ub.UadBenchError, match=r"edited\.zip: was edited: detector\.json"):
        ub.load_detector(edited)
    with pytest.raises(ub.UadBenchError, match=r"lie\.zip: needs the method control-none"):
        ub.load_detector(zipped(tmp_path / "lie.zip", files))
    with pytest.raises(ub.UadBenchError, match="is of a detector; give a zip"):
        ub.import_results(whole, tmp_path / "results")


@pytest.mark.parametrize("name", ["", "mine", "MIT OR GPL-3.0-only", "LicenseRef-mine"])
def test_what_is_no_licence_is_refused(mean, tmp_path, name):
    with pytest.raises(ub.UadBenchError, match="no licence of that name"):
        mean.share(tmp_path / "out", licence=name)


def test_a_detector_that_reads_a_file_of_the_machine_is_not_shared(lab, prepared, tmp_path):
    plugin = tmp_path / "reader.py"
    plugin.write_text(READER)
    detector = ub.fit(
        "reader", data_root=lab, cache=prepared, limit=1, plugin=plugin, progress=False
    )
    with pytest.raises(ub.UadBenchError, match=r"reads .*net\.pth, which a shared detector"):
        detector.share(tmp_path / "out", licence="MIT")


def test_a_memory_of_patches_is_said():
    registry = open_registry(None)
    said = {name: held_of_people(registry.method(name)) for name in ("patchcore", "spa", "padim")}
    assert "features of single patches" in said["patchcore"]
    assert "weights or averages" in said["spa"]
    assert "weights or averages" in said["padim"]


def submit(folder: Path, about: str = "by: A. Person\nlink: https://example.org/x") -> Path:
    folder.mkdir(parents=True)
    results(folder.parent / "results", cell(0)).export(folder / "mine.zip")
    (folder / "mine.yaml").write_text(about)
    return folder


def test_the_submissions_of_this_repository_have_no_fault():
    assert submissions.faults(ROOT / "results" / "submitted") == []


def test_a_whole_submission_has_no_fault_and_is_shown_as_somebodys(tmp_path):
    folder = submit(tmp_path / "submitted", "by: 'A|B <b>'\nlink: https://example.org/x")
    assert submissions.faults(folder) == []
    found = submissions.read_submissions(folder)
    page = "\n".join(submissions.sections(found, [cell(1)], ["dice", "hd95"]))
    assert "## Submitted: real patients" in page
    assert "simulated" not in page
    (row,) = [line for line in page.splitlines() if "FAE" in line]
    assert row.startswith(r"| [A\|B &lt;b&gt;](https://example.org/x) | FAE | wmh, none | same |")
    assert row.endswith("| 0.250 | – |")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("by: A", "link: Field required"),
        ("by: A\nlink: javascript:alert(1)", "link: String should match"),
        ("by: ''\nlink: https://a.org", "by: String should have at least 1"),
        ("by: A\nlink: https://a.org\nmore: 1", "more: Extra inputs"),
    ],
)
def test_a_submission_says_whose_it_is(tmp_path, about, said):
    (fault,) = submissions.faults(submit(tmp_path / "submitted", about))
    assert said in fault


def test_what_cannot_be_submitted_is_named(tmp_path, monkeypatch):
    folder = submit(tmp_path / "submitted")
    (folder / "notes.txt").write_text("x")
    (fault,) = submissions.faults(folder)
    assert "belongs to no submission" in fault
    (folder / "notes.txt").unlink()
    old = results(tmp_path / "old", cell(0, protocol_version=99))
    old.export(folder / "mine.zip")
    (fault,) = submissions.faults(folder)
    assert "version" in fault
    monkeypatch.setattr(submissions, "LARGEST_MB", 0)
    (fault,) = submissions.faults(folder)
    assert "over 0 MB" in fault


def test_simulated_and_real_people_are_apart():
    use = DatasetUse(
        dataset="wmh",
        simulated=True,
        manifest_hash="0",
        recipe="median",
        subjects=1,
        scans=1,
        slices=1,
    )
    about = submissions.About(by="A", link="https://example.org")
    one = submissions.Submission(about, (cell(0), cell(1, data=use)))
    page = "\n".join(submissions.sections([one], [], ["dice"]))
    simulated, real = page.split("## Submitted: real patients")
    assert simulated.count("FAE") == real.count("FAE") == 1
    assert "| other | 1 |" in simulated
