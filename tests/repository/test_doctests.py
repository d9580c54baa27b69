"""Every example in a docstring runs and shows what it says."""

import contextlib
import doctest
import importlib
import pkgutil
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest

import uad_bench
from uad_bench.plugins.registry import discover


@pytest.fixture(scope="module")
def made(lab, tmp_path_factory):
    """A folder for examples: ``data``, ``results`` of a run, and another's ``maps``."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "data").symlink_to(lab)
    (folder / "maps").mkdir()
    for scan in discover().dataset("mslub")().scans(lab / "MSLUB"):
        flair = nib.load(scan.flair)
        image = nib.Nifti1Image(flair.get_fdata(dtype=np.float32) / 300, flair.affine)
        nib.save(image, folder / "maps" / f"{scan.name}.nii.gz")
    with contextlib.chdir(folder):
        uad_bench.run(
            "thresholding", "mslub", data_root="data", controls=(), mlflow=False, progress=False
        )
    return folder


@pytest.fixture(autouse=True)
def _own_folder(made, tmp_path):
    """Examples write into it, so that each module has its own, whatever ran before."""
    shutil.copytree(made, tmp_path / "examples", symlinks=True)
    with contextlib.chdir(tmp_path / "examples"):
        yield


def with_examples() -> list[str]:
    """The modules of the package whose source has an example, found without importing them."""
    named = (module.name for module in pkgutil.walk_packages(uad_bench.__path__, "uad_bench."))
    sources = {name: find_spec(name) for name in named}
    return [
        name
        for name, spec in sources.items()
        if spec is not None and spec.origin and ">>> " in Path(spec.origin).read_text("utf-8")
    ]


@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", [name for name in uad_bench.__all__ if name[0] != "_"])
def test_every_public_name_shows_an_example(name):
    assert ">>> " in (getattr(uad_bench, name).__doc__ or "")


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="module 'uad_bench' has no attribute 'evalute'"):
        uad_bench.evalute  # noqa: B018


def test_the_python_way_of_the_readme_runs(monkeypatch, capsys):
    """Not sent to MLflow, which would take longer than all the rest."""
    monkeypatch.setattr("uad_bench.runner.run.Mlflow", Mock())
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 5
    names: dict[str, object] = {}
    exec(code.replace("outlier,", ""), names)  # the cheaper of the two
    assert "Thresh." in capsys.readouterr().out
    assert "<table>" in names["results"].table("auprc,dice")._repr_html_()
