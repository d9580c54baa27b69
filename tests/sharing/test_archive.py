"""Imports: nothing that was edited, lies or leads outside comes in."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_archives import cell, members, refused, results, zipped

import uad_bench as ub
from uad_bench.cells import FitRecord
from uad_bench.sharing.again import _written_recipe
from uad_bench.sharing.archive import ArchivedResults
from uad_bench.sharing.zips import LISTING, Archive, opened_archive
from uad_bench.volumes.recipe import Recipe, find_recipe


def test_what_comes_in_is_what_went_out(archive, tmp_path):
    found = ub.import_results(archive, tmp_path / "b")
    assert [one.spec.seed for one in found.cells] == [0, 1]
    assert found.computed == 2
    assert found.cells[0].metrics == cell(0).metrics
    assert found.cells[0].scans == cell(0).scans
    (again,) = {found.export(tmp_path / "again.zip"), tmp_path / "again.zip"}
    assert members(again) == members(archive)
    assert ub.import_results(archive, tmp_path / "b").computed == 0


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


@pytest.mark.parametrize(("then", "is_said"), [("9.9", True), (ub.__version__, False)])
def test_a_cell_of_another_version_names_the_version(archive, tmp_path, then, is_said):
    files = members(archive)
    name = first(files, "cells/")
    files[name] = json.dumps(json.loads(files[name]) | {"of_a_later_version": 1}).encode()
    listing = json.loads(files[LISTING])
    listing["versions"]["uad-bench"] = then
    files[LISTING] = json.dumps(listing).encode()
    said = refused(zipped(tmp_path / "later.zip", files), tmp_path / "into")
    assert "is not a cell record (of_a_later_version: Extra inputs" in said
    assert ("use the uad-bench that wrote it (9.9), or get it again" in said) is is_said
    assert said.endswith("get it again")


def test_an_import_that_is_killed_leaves_no_detector_without_its_weights(
    mean, tmp_path, monkeypatch
):
    """A run would take it for a detector, and fail."""
    made = results(tmp_path / "r", cell(0, fit=FitRecord(detector="mean-s0-1")))
    mean.save(tmp_path / "r" / "detectors" / "mean-s0-1")
    made.export(tmp_path / "run.zip", detectors=True)
    written: list[str] = []
    unpack = Archive.unpack

    def noted(archive: Archive, name: str, file: Path) -> None:
        written.append(name)
        unpack(archive, name, file)

    monkeypatch.setattr(Archive, "unpack", noted)
    ub.import_results(tmp_path / "run.zip", tmp_path / "others")
    of = "detectors/mean-s0-1"
    assert written.index(f"{of}/state.safetensors") < written.index(f"{of}/detector.json")
    assert written[-1].startswith("cells/")


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
