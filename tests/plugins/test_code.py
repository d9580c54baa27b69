"""The code of a method is part of its identity: what a change of which line does to it."""

from __future__ import annotations

import sys
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from uad_bench.method import Method
from uad_bench.plugins import code as code_room
from uad_bench.plugins.code import code_of
from uad_bench.plugins.registry import discover, read_plugin

SHIFT = '''
"""How much brighter than a level a voxel is."""
from ._levels import LEVEL
from uad_bench.method import FitReport, Method, MethodInfo

class Shift(Method):
    """A method."""

    info = MethodInfo("shift", "Shift")

    def fit(self, train, validation, context):
        """Learn nothing."""
        return FitReport()

    def score(self, slices):
        # above the level
        return (slices.image - LEVEL).clip(0, 1)
'''
LEVELS = '"""Levels."""\nLEVEL = 0.5\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a method and a sibling that it imports."""
    (tmp_path / "shift.py").write_text(SHIFT)
    (tmp_path / "_levels.py").write_text(LEVELS)
    (tmp_path / "_other.py").write_text("UNUSED = 1\n")
    return tmp_path


def loaded(folder: Path) -> type[Method]:
    found = read_plugin(folder / "shift.py").load()
    assert issubclass(found, Method)
    return found


def code(folder: Path) -> str:
    return code_of(loaded(folder)).hash


def forget_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let codes be read again, as by another process."""
    monkeypatch.setattr(code_room, "_KNOWN", WeakKeyDictionary())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shift.py", "# above the level", "# brighter than the level,\n        # and no more"),
        ("shift.py", '"""Learn nothing."""', '"""Learn nothing at all."""'),
        ("shift.py", '        """Learn nothing."""\n', ""),
        ("shift.py", '"Shift")\n', '"Shift")\n    """What tables call it."""\n\n'),
        ("_levels.py", '"""Levels."""', "# Levels"),
        ("_other.py", "1", "2"),
    ],
)
def test_words_and_what_is_not_imported_change_nothing(folder, file, old, new):
    before = code(folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert code(folder) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shift.py", "- LEVEL", "- 2 * LEVEL"),
        ("shift.py", '"Shift"', '"Shift 2"'),
        ("_levels.py", "0.5", "0.6"),
        ("_levels.py", "LEVEL = 0.5", "from ._more import LEVEL"),
    ],
)
def test_a_change_of_code_in_the_file_or_a_sibling_is_another_identity(folder, file, old, new):
    (folder / "_more.py").write_text("LEVEL = 0.5\n")
    before = code(folder)
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace(old, new))
    assert code(folder) != before


def test_a_sibling_of_a_sibling_counts(folder):
    (folder / "_levels.py").write_text("from ._more import LEVEL\n")
    (folder / "_more.py").write_text("LEVEL = 0.5\n")
    before = code(folder)
    (folder / "_more.py").write_text("LEVEL = 0.7\n")
    assert code(folder) != before


def test_where_the_folder_is_does_not_matter(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("shift.py", "_levels.py"):
        (copy / name).write_text((folder / name).read_text())
    assert code(copy) == code(folder)


def test_an_edited_file_is_imported_again_in_the_same_process(folder):
    import numpy as np

    from uad_bench.method import Slices

    image = np.full((1, 1, 2, 2), 0.75, np.float32)
    slices = Slices(image, image > 0, np.arange(1), (1.0, 1.0, 1.0))
    assert float(loaded(folder)().score(slices).max()) == pytest.approx(0.25)
    (folder / "_levels.py").write_text(LEVELS.replace("0.5", "0.7"))
    assert float(loaded(folder)().score(slices).max()) == pytest.approx(0.05)
    assert loaded(folder) is loaded(folder)


@pytest.mark.parametrize("file", ["shift.py", "_levels.py"])
def test_an_edit_in_the_midst_of_a_run_is_not_the_code_that_runs(folder, file):
    """Scores of before would be kept as those of the edited method."""
    method = loaded(folder)
    before = code_of(method)
    (folder / file).write_text(f"{(folder / file).read_text()}EDITED = 1\n")
    assert code_of(method) == before
    assert code_of(loaded(folder)) != before


@pytest.mark.parametrize("block", ["models/blocks.py", "training/loop/train.py"])
def test_a_changed_building_block_changes_the_networks_made_of_it_and_nothing_else(
    monkeypatch, block
):
    methods = {name: discover().method(name) for name in ("spa", "outlier", "thresholding")}
    before = {name: code_of(method) for name, method in methods.items()}
    read = SourceFileLoader.get_source

    def edited(self: SourceFileLoader, name: str) -> str | None:
        source = read(self, name)
        is_block = self.path.endswith(f"uad_bench/{block}")
        return f"{source}\nEDITED = 1\n" if is_block else source

    monkeypatch.setattr(SourceFileLoader, "get_source", edited)
    forget_codes(monkeypatch)
    after = {name: code_of(method) for name, method in methods.items()}
    assert {name for name in methods if after[name] != before[name]} == {"spa"}


def test_a_control_changes_with_the_method_that_it_is_made_of(monkeypatch):
    before = code_of(discover().method("control-no-prior"))
    read = SourceFileLoader.get_source

    def edited(self: SourceFileLoader, name: str) -> str | None:
        source = read(self, name)
        return f"{source}\nEDITED = 1\n" if name == "uad_bench.methods.spa" else source

    monkeypatch.setattr(SourceFileLoader, "get_source", edited)
    forget_codes(monkeypatch)
    assert code_of(discover().method("control-no-prior")) != before


def test_a_method_in_an_archive_is_read_there_and_one_without_source_is_named(
    tmp_path, monkeypatch
):
    archive = tmp_path / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_detectors/__init__.py", "")
        file.writestr("zipped_detectors/shift.py", SHIFT)
        file.writestr("zipped_detectors/_levels.py", LEVELS)
    monkeypatch.syspath_prepend(str(archive))
    import zipped_detectors.shift as module  # type: ignore[import-not-found]

    whole = code_of(module.Shift)
    assert whole.unread == ()
    monkeypatch.setattr(module.__spec__, "loader", None)
    forget_codes(monkeypatch)
    assert code_of(module.Shift).unread == ("zipped_detectors.shift",)
    assert code_of(module.Shift).hash != whole.hash
    for name in ("zipped_detectors", "zipped_detectors.shift", "zipped_detectors._levels"):
        sys.modules.pop(name, None)
