"""Shared detectors: the same maps elsewhere, and nothing that was edited is used."""

from __future__ import annotations

import numpy as np
import pytest
from made_archives import members, zipped

import uad_bench as ub
from uad_bench.plugins.registry import open_registry
from uad_bench.sharing.detector import share_detector
from uad_bench.sharing.held import held_of_people
from uad_bench.volumes.recipe import find_recipe

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
