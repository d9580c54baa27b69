"""Walking through a dataset's folder: every file is seen, and links in a circle end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import touch

from uad_bench.discovery import walk
from uad_bench.discovery.walk import walk_files


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def seen(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk_files(root)]


def test_two_subjects_that_link_to_one_store_are_both_seen(tmp_path: Path) -> None:
    root, store = tmp_path / "dataset", tmp_path / "store"
    touch(store, "anat/x.nii.gz")
    link(store / "ses-2", tmp_path / "later")
    touch(tmp_path / "later", "y.nii.gz")
    for subject in ("sub-01", "sub-02"):
        link(root / subject, store)
    assert seen(root) == [
        f"{subject}/{name}"
        for subject in ("sub-01", "sub-02")
        for name in ("anat/x.nii.gz", "ses-2/y.nii.gz")
    ]


def test_links_of_folders_below_a_linked_folder_are_followed(tmp_path: Path) -> None:
    root, store = tmp_path / "dataset", tmp_path / "store"
    touch(store, "a/x.nii.gz", "b/y.nii.gz")
    link(store / "manual/sub-01/anat", store / "a")
    link(store / "manual/sub-02/anat", store / "b")
    link(root / "derivatives/manual", store / "manual")
    link(root / "derivatives/inside", root / "derivatives/manual")
    assert seen(root) == [
        f"derivatives/{folder}/{name}"
        for folder in ("inside", "manual")
        for name in ("sub-01/anat/x.nii.gz", "sub-02/anat/y.nii.gz")
    ]


def test_a_folder_is_seen_by_its_own_name_beside_a_link_to_it(tmp_path: Path) -> None:
    root, store = tmp_path / "dataset", tmp_path / "store"
    touch(store, "manual/x.nii.gz")
    link(store / "latest", store / "manual")
    link(root / "derivatives", store)
    assert seen(root) == ["derivatives/latest/x.nii.gz", "derivatives/manual/x.nii.gz"]


def test_folders_that_all_link_to_each_other_end(tmp_path: Path) -> None:
    count = 14  # by all paths without a circle, more than 10 ** 11 folders
    for i in range(count):
        touch(tmp_path, f"p{i}/x.nii.gz")
        for j in range(count):
            link(tmp_path / f"p{i}/in{j}", tmp_path / f"p{j}")
    files = seen(tmp_path)
    assert {f"p{i}/x.nii.gz" for i in range(count)} <= set(files)
    assert len(files) <= count**3


def test_folders_that_link_to_each_other_too_often_are_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_BELOW_LINKS", 10_000)
    count = 14
    for i in range(count):
        touch(tmp_path, f"p{i:02}/x.nii.gz")
        for j in range(count):
            link(tmp_path / f"p{i:02}/in{j}", tmp_path / f"p{j:02}")
    with pytest.raises(OSError, match="lead to each other too often") as caught:
        seen(tmp_path)
    assert Path(caught.value.filename).is_dir()


def test_a_folder_below_links_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    scandir = walk.os.scandir
    monkeypatch.setattr(walk.os, "scandir", lambda path: (read.append(path), scandir(path))[1])
    touch(tmp_path, "store/anat/x.nii.gz")
    for n in range(5):
        link(tmp_path / f"root/sub-{n}", tmp_path / "store")
    assert len(seen(tmp_path / "root")) == 5
    assert len(read) == 3


def test_chains_of_links_that_part_and_meet_again_end(tmp_path: Path) -> None:
    count = 40  # by all paths, 2 ** 40 folders
    for i in range(count):
        for name in ("a", "b"):
            link(tmp_path / f"d{i:02}/{name}", tmp_path / f"d{i + 1:02}")
    touch(tmp_path, f"d{count}/x.nii.gz")
    assert f"d{count}/x.nii.gz" in seen(tmp_path)


LINKS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60)


@settings(max_examples=40, deadline=None)
@given(links=LINKS)
def test_every_folder_is_seen_by_its_name_and_by_every_link_and_no_oftener_than_that(
    tmp_path_factory: pytest.TempPathFactory, links: set[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("dataset")
    touch(root, *(f"p{i}/x.nii.gz" for i in range(10)))
    for i, j in links:
        link(root / f"p{i}/in{j}", root / f"p{j}")
    files = seen(root)
    assert len(files) == len(set(files)) <= 10 + 10 * len(links)
    assert {f"p{i}/x.nii.gz" for i in range(10)} <= set(files)
    assert {f"p{i}/in{j}/x.nii.gz" for i, j in links if i != j} <= set(files)


@pytest.mark.parametrize("name", ["manual", "manual.v2", "sub-01", "anat.2019-05-01"])
def test_a_link_to_a_folder_that_is_gone_is_named(tmp_path: Path, name: str) -> None:
    link(tmp_path / name, tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="link to a folder that is not there") as caught:
        seen(tmp_path)
    assert caught.value.filename == str(tmp_path / name)


@pytest.mark.parametrize("name", ["x.nii.gz", "X.NII", "README", "a.json", "x.bval"])
def test_a_link_to_a_file_that_is_gone_is_a_file(tmp_path: Path, name: str) -> None:
    link(tmp_path / name, tmp_path / "gone")
    assert seen(tmp_path) == [name]


def test_a_file_that_git_annex_has_not_fetched_is_a_file_by_any_name(tmp_path: Path) -> None:
    link(tmp_path / "notes", Path(".git/annex/objects/aa/bb/SHA256E-s1--00/SHA256E-s1--00"))
    assert seen(tmp_path) == ["notes"]
