"""Tables call somebody's own dataset as its description or its folder does."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cells import made_use

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment
from uad_bench.discovery.titles import own_title
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.tables.arrange import dataset_titles, training_title
from uad_bench.runner.data.source import find_source


def describe(folder: Path, content: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    (folder / "dataset_description.json").write_bytes(raw)
    return folder


def test_a_description_names_the_dataset(tmp_path: Path) -> None:
    folder = describe(tmp_path / "ds1", json.dumps({"Name": "  Clinic Süd\n 2024 "}))
    assert own_title(folder) == "Clinic Süd 2024"
    describe(folder, b"\xef\xbb\xbf" + json.dumps({"Name": "With a mark"}).encode())
    assert own_title(folder) == "With a mark"


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"Name": ""}', '{"Name": 5}', "null"),
        *('{"Name": "TODO: name of the dataset"}', '{"Name": "REQUIRED. Name of the dataset"}'),
        b"\xff\xfe\x00",
        "[" * 100_000,
    ],
)
def test_without_a_name_in_it_the_folder_names_the_dataset(
    tmp_path: Path, content: str | bytes
) -> None:
    assert own_title(describe(tmp_path / "my-data", content)) == "my-data"


@given(name=st.text(max_size=200))
def test_a_title_is_one_short_line_whatever_the_name(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = describe(tmp_path_factory.mktemp("a") / "folder", json.dumps({"Name": name}))
    title = own_title(folder)
    assert 1 <= len(title) <= 60
    assert len(title.splitlines()) == 1


def use(dataset: str, title: str = "", *, simulated: bool = False) -> DatasetUse:
    return made_use(dataset, 1, title=title, simulated=simulated)


def cell(dataset: str, data: DatasetUse | None) -> CellRecord:
    spec = CellSpec(
        method="m", params={}, seed=0, dataset=dataset, protocol="strict", postprocessing="none"
    )
    return CellRecord.model_construct(
        spec=spec, data=data, environment=Environment.model_construct()
    )


def test_the_training_dataset_is_called_by_its_own_title() -> None:
    assert training_title(use("bids", "Clinic"), BERCEA_2022) == "Clinic"
    assert training_title(use("hi", "our people"), BERCEA_2022) == "our people"
    assert training_title(use("hi", simulated=True), BERCEA_2022) == "HI (simulated)"


def test_rows_have_the_titles_of_their_datasets_and_names_where_two_would_be_one() -> None:
    records = [
        cell("bids-a", use("bids", "Clinic")),
        cell("bids-a", None),
        cell("bids-b", use("bids", "Twins")),
        cell("bids-c", use("bids", "Twins")),
        cell("mslub", use("mslub")),
        cell("bids-failed", None),
    ]
    assert dataset_titles(records, BERCEA_2022) == {
        "bids-a": "Clinic",
        "bids-b": "bids-b",
        "bids-c": "bids-c",
        "mslub": "MSLUB",
        "bids-failed": "bids-failed",
    }


@pytest.mark.parametrize(
    ("name", "simulated", "described", "title"),
    [
        ("bids:FOLDER", False, "", "mine"),
        ("bids:FOLDER", False, "Clinic", "Clinic"),
        ("bids:FOLDER", True, "msi (simulated)", "msi"),
        ("hi", False, "", "hi"),
        ("hi", False, "Clinic", "Clinic"),
        ("hi", True, "hi (simulated)", ""),
    ],
)
def test_a_folder_called_hi_is_the_papers_only_where_it_is_simulated(
    tmp_path: Path, lab: Path, name: str, simulated: bool, described: str, title: str
) -> None:
    folder = tmp_path / ("hi" if name == "hi" else "mine")
    shutil.copytree(lab / "HI", folder)
    (folder / "dataset_description.json").unlink()
    if described:
        describe(folder, json.dumps({"Name": described}))
    if not simulated:
        for marker in folder.glob("*SIMULATED*"):
            marker.unlink()
    asked = name.replace("FOLDER", str(folder))
    found = find_source(asked, tmp_path, discover(PluginSources()), tmp_path / "cache")
    assert found.title == title


def test_a_released_dataset_keeps_its_name() -> None:
    registry = discover(PluginSources())
    own = {name for name in registry.names("dataset") if not registry.dataset(name).info.released}
    assert own == {"hi", "msi", "gbi", "bids"}
