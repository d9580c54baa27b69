"""Every adapter says what its dataset is, and finds it whole."""

import os
import re
from pathlib import Path

import pytest
from made_datasets import adapter, read, touch

from uad_bench.discovery.locate import inspect
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.report.bercea2022 import BERCEA_2022

SHARED = Path(
    os.environ.get("UAD_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data")
)
NAMES = ("hi", "mslub", "msisbi", "msi", "wmh", "gbi", "brats", "bids")


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_complete_and_reads_one_entry_per_reference(name: str) -> None:
    info = adapter(name).info
    assert info.name == name
    assert all((info.title, info.disease, info.citation, info.licence, info.obtain))
    assert bool(info.folders) == (name != "bids"), "bids is bound to a path of the user's"
    assert info.bibtex.startswith("@")
    assert info.bibtex.count("{") == info.bibtex.count("}")
    for entry in info.bibtex.split("\n@"):
        assert all(f"  {key} = " in entry for key in ("title", "author"))
        assert "year = " in entry
    assert info.layout.splitlines()[0].rstrip("/") in {name, "PATH"}


def test_table_1_is_kept_as_printed() -> None:
    assert {name: facts.splits for name, facts in BERCEA_2022.data.items()} == {
        "hi": (125, 15, 23),
        "mslub": (0, 0, 30),
        "msisbi": (0, 0, 21),
        "msi": (0, 0, 48),
        "wmh": (0, 0, 60),
        "gbi": (0, 0, 94),
        "brats": (0, 0, 285),
    }
    assert list(BERCEA_2022.data) == list(BERCEA_2022.datasets)
    for name, facts in BERCEA_2022.data.items():
        assert adapter(name).info.expected_scans == sum(facts.splits)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_has_no_scans(name: str, tmp_path: Path) -> None:
    assert read(name, tmp_path) == []


def test_the_example_in_the_guide_is_a_dataset(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-dataset.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    plugin = tmp_path / "clinic.py"
    plugin.write_text(example, encoding="utf-8")
    dataset = discover(PluginSources((plugin,))).dataset("clinic")()
    touch(tmp_path, "clinic/p001/flair.nii.gz")
    found = inspect(dataset, tmp_path / "clinic")
    assert [path.name for path in found.missing] == ["lesion.nii.gz"]


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real patients at {SHARED}")
@pytest.mark.parametrize(
    ("name", "folder", "subjects"),
    [
        ("mslub", "MSLUB", ["patient07", "patient19"]),
        ("brats", "BraTS", [f"Brats18_2013_{n}_1" for n in (1, 2, 5, 6)]),
        ("bids", "extra-ms-bids", ["sub-104252", "sub-105074", "sub-105465"]),
    ],
)
def test_real_datasets_are_found_whole(name: str, folder: str, subjects: list[str]) -> None:
    scans = read(name, SHARED / folder)
    assert [scan.subject for scan in scans] == subjects
    for scan in scans:
        assert scan.flair.is_file()
        assert [mask.is_file() for mask in scan.lesion] == [True]
        assert (scan.brain_mask is not None) == (name == "mslub")
