"""The atlas: right by brute force, whole or not there, never built from those it is tested on."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import multiprocessing
import os
import shutil
import signal
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.report.figures.atlas_picture import atlas_picture
from uad_bench.results import load_cells
from uad_bench.volumes.recipe import RECIPES, Recipe
from uad_bench.volumes.store import atlas as atlases
from uad_bench.volumes.store.atlas import AtlasManifest, build_atlas, known_people, open_atlas
from uad_bench.volumes.store.prepared import (
    InputFile,
    Manifest,
    PreparedDataset,
    PreparedScan,
    Standard,
)
from uad_bench.volumes.store.tissue_prior import tissue_prior

SHAPE = (3, 2, 2)
"""A grid small enough for brute force."""

NEEDY = '''
"""White matter of the prior, seen through the slice: says which prior it was given."""
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Needy(Method):
    info = MethodInfo("needy", "Needy", needs=frozenset({"tissue_prior"}))

    def fit(self, train, validation, context):
        self.white_ = context.tissue_prior.mean[2]
        return FitReport(steps=1, slices_seen=len(train), notes=("a note of its own",))

    def score(self, slices):
        return np.clip(slices.image * self.white_[slices.z][:, None], 0, 1).astype(np.float32)

    def state(self):
        return {"white": self.white_}

    def load(self, state, device="cpu"):
        self.white_ = state["white"]
'''

PLAIN = '''
"""The slice itself, without a prior."""
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Plain(Method):
    info = MethodInfo("plain", "Plain")

    def fit(self, train, validation, context):
        assert context.tissue_prior is None
        return FitReport()

    def score(self, slices):
        return np.clip(slices.image, 0, 1).astype(np.float32)
'''


def scan(
    number: int, split: str = "train", *, session: str | None = None, start: int
) -> PreparedScan:
    """A scan with maps on every slice of the grid."""
    subject = f"s{number:02d}"
    name = subject if session is None else f"{subject}_{session}"
    flair = InputFile(role="flair", path=f"{name}.nii", size=1, sha256=f"flair of {name}")
    return PreparedScan.model_construct(
        name=name,
        subject=subject,
        split=split,
        start=start,
        stop=start + SHAPE[0],
        has_tissue=True,
        files=(flair,),
        standard=Standard.model_construct(voxels=f"voxels of {name}"),
    )


def dataset(
    folder: Path, maps: np.ndarray, scans: list[PreparedScan], *, simulated: bool = False
) -> PreparedDataset:
    """A store of these maps ``[N, 3, H, W]``, as far as a prior looks at one."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tissue.npy", maps)
    manifest = Manifest.model_construct(
        dataset="toy",
        simulated=simulated,
        recipe=Recipe(),
        grid_affine=(
            (0.0, 0.0, 1.0, 0.0),
            (0.0, 1.0, 0.0, 0.0),
            (1.0, 0.0, 0.0, 0.0),
            (0, 0, 0, 1),
        ),
        grid_shape=SHAPE,
        manifest_hash="0123456789abcdef",
        scans=tuple(scans),
    )
    return PreparedDataset(folder, manifest, np.tile(np.arange(SHAPE[0]), len(scans)))


def random_maps(scans: int, seed: int) -> np.ndarray:
    """Bytes of three shares whose sum is at most 255."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet((0.3,) * 4, (scans * SHAPE[0], *SHAPE[1:]))[..., :3]
    return np.ascontiguousarray(np.moveaxis(np.floor(255 * shares), -1, 1).astype(np.uint8))


def healthy(folder: Path, subjects: int = 4, seed: int = 0) -> PreparedDataset:
    scans = [scan(number, start=number * SHAPE[0]) for number in range(subjects)]
    return dataset(folder, random_maps(subjects, seed), scans)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), subjects=st.integers(2, 6), twice=st.booleans())
def test_the_maps_are_mean_and_variance_across_people(
    tmp_path_factory: pytest.TempPathFactory, seed: int, subjects: int, twice: bool
) -> None:
    """By brute force over every voxel; two scans of a person are one vote, other splits none."""
    folder = tmp_path_factory.mktemp("maps")
    scans = [scan(n, start=n * SHAPE[0]) for n in range(subjects)]
    if twice:
        scans.append(scan(0, session="again", start=len(scans) * SHAPE[0]))
    votes = len(scans)
    scans.append(scan(90, "validation", start=len(scans) * SHAPE[0]))
    scans.append(scan(91, "test", start=len(scans) * SHAPE[0]))
    maps = random_maps(len(scans), seed)
    built = build_atlas(dataset(folder / "store", maps, scans), "toy", folder / "atlas")
    assert [s.name for s in built.manifest.subjects] == [f"s{n:02d}" for n in range(subjects)]
    by_person: dict[str, list[np.ndarray]] = {}
    for each in scans[:votes]:
        shares = maps[each.rows].astype(float) / 255
        whole = np.concatenate([shares, 1 - shares.sum(axis=1, keepdims=True)], axis=1)
        by_person.setdefault(each.subject, []).append(whole)
    for k, z, y, x in np.ndindex(4, *SHAPE):
        values = [sum(v[z, k, y, x] for v in some) / len(some) for some in by_person.values()]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        assert built.prior.mean[k, z, y, x] == pytest.approx(mean, abs=1e-6)
        assert built.prior.variance[k, z, y, x] == pytest.approx(variance, abs=1e-6)


@hypothesis_settings(max_examples=20)
@given(order=st.permutations(range(5)), seed=st.integers(0, 99))
def test_the_order_of_subjects_changes_no_byte(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    maps = random_maps(5, seed)
    blocks = maps.reshape(5, SHAPE[0], *maps.shape[1:])[order].reshape(maps.shape)
    scans = [scan(number, start=at * SHAPE[0]) for at, number in enumerate(order)]
    build_atlas(dataset(folder / "one", blocks, scans), "toy", folder / "permuted")
    build_atlas(healthy(folder / "two", 5, seed), "toy", folder / "sorted")
    assert contents(folder / "permuted") == contents(folder / "sorted")


def test_an_atlas_is_the_prior_of_its_dataset_to_the_bit(tmp_path: Path) -> None:
    store = healthy(tmp_path / "store")
    built, own = build_atlas(store, "toy", tmp_path / "atlas"), tissue_prior(store)
    np.testing.assert_array_equal(built.prior.mean, own.mean)
    np.testing.assert_array_equal(built.prior.variance, own.variance)
    assert built.prior.mean.dtype == built.prior.variance.dtype == np.float32
    assert built.prior.source == f"{own.source} (atlas {built.hash})"


def test_the_hash_knows_the_maps_and_the_people(tmp_path: Path) -> None:
    one = build_atlas(healthy(tmp_path / "1"), "toy", tmp_path / "one")
    other_maps = build_atlas(healthy(tmp_path / "2", seed=1), "toy", tmp_path / "two")
    other_name = build_atlas(healthy(tmp_path / "1"), "toys", tmp_path / "three")
    assert len({one.hash, other_maps.hash, other_name.hash}) == 3


def test_one_subject_makes_no_atlas_and_the_template_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "uad_bench.volumes.store.tissue_prior.template_tissues",
        lambda recipe: np.full((3, *SHAPE), 0.25, np.float32),
    )
    built = build_atlas(healthy(tmp_path / "store", 1), "toy", tmp_path / "atlas")
    assert built.manifest.fallback
    assert not built.manifest.simulated
    assert built.manifest.subjects == ()
    assert "fallback" in built.manifest.source
    np.testing.assert_allclose(built.prior.variance, 0.25 * 0.75)
    assert known_people(built, "toy", False, (scan(0, start=0),)) == ""


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_leaves_nothing_half_written(tmp_path: Path, writes: int) -> None:
    store = healthy(tmp_path / "store")

    def killed() -> None:
        original, done = atlases.write_whole, []

        def write(path: Path, data: bytes) -> None:
            if len(done) == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(path)
            original(path, data)

        atlases.write_whole = write  # type: ignore[assignment]
        build_atlas(store, "toy", tmp_path / "atlas")

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "atlas").exists()
    build_atlas(store, "toy", tmp_path / "atlas")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["atlas", "store"]
    assert sorted(contents(tmp_path / "atlas")) == ["manifest.json", "mean.npy", "variance.npy"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = healthy(tmp_path / "store")
    monkeypatch.setattr("uad_bench.system.disk.os.fsync", full)
    with pytest.raises(UadBenchError, match="the disk is full"):
        build_atlas(store, "toy", tmp_path / "atlas")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    store = healthy(tmp_path / "store")
    build_atlas(store, "toy", tmp_path / "atlas")
    before = contents(tmp_path / "atlas")
    with pytest.raises(UadBenchError, match="atlas: is there already"):
        build_atlas(store, "toy", tmp_path / "atlas")
    assert contents(tmp_path / "atlas") == before


def test_damage_is_told_by_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    build_atlas(healthy(tmp_path / "store"), "toy", folder)
    for name in ("mean.npy", "variance.npy"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(UadBenchError, match=rf"{name}: damaged"):
            open_atlas(folder)
        (folder / name).unlink()
        with pytest.raises(UadBenchError, match=rf"{name}: No such file"):
            open_atlas(folder)
        (folder / name).write_bytes(whole)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    assert '"s03"' in text
    manifest.write_text(text.replace('"s03"', '"s99"'))
    with pytest.raises(UadBenchError, match=r"manifest.json: changed since"):
        open_atlas(folder)
    manifest.write_text(text[:-30])
    with pytest.raises(UadBenchError, match=r"manifest.json: not an atlas's"):
        open_atlas(folder)
    with pytest.raises(UadBenchError, match="no atlas"):
        open_atlas(tmp_path / "store")


def test_other_tissues_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    built = build_atlas(healthy(tmp_path / "store"), "toy", folder)
    three = built.manifest.model_copy(update={"tissues": ("CSF", "GM", "WM")})
    rewrite(folder, three)
    with pytest.raises(UadBenchError, match="its 3 maps are CSF, GM, WM; a tissue prior has 4"):
        open_atlas(folder)
    rewrite(folder, built.manifest.model_copy(update={"grid_shape": (4, 2, 2)}))
    with pytest.raises(UadBenchError, match=r"mean.npy: is \(4, 3, 2, 2\)"):
        open_atlas(folder)


def rewrite(folder: Path, manifest: AtlasManifest) -> None:
    """A manifest as another program might write it: consistent, but not ours."""
    whole = manifest.model_copy(update={"atlas_hash": manifest.digest})
    (folder / "manifest.json").write_text(whole.model_dump_json())


def test_a_person_is_known_by_name_at_home_and_by_content_everywhere(tmp_path: Path) -> None:
    built = build_atlas(healthy(tmp_path / "store", 7), "toy", tmp_path / "atlas")
    same = (scan(1, "test", start=0), scan(50, "test", start=0))
    assert known_people(built, "toy", False, same) == "s01"
    others = Standard.model_construct(voxels="of somebody else")
    namesake = scan(1, "test", start=0).model_copy(update={"files": (), "standard": others})
    assert known_people(built, "toy", False, (namesake,)) == "s01"
    assert known_people(built, "other", False, (namesake,)) == ""
    assert known_people(built, "toy", True, (namesake,)) == ""
    assert known_people(built, "other", False, same) == "s01"
    converted = scan(1, "test", start=0).model_copy(update={"files": ()})
    assert known_people(built, "other", False, (converted,)) == "s01", "by voxels alone"
    many = [scan(number, "test", start=0) for number in range(7)]
    assert known_people(built, "toy", False, many) == "s00, s01, s02, s03, s04 and 2 more"


def test_the_picture_is_the_same_every_time_and_of_every_atlas(tmp_path: Path) -> None:
    built = build_atlas(healthy(tmp_path / "store"), "toy", tmp_path / "atlas")
    picture = atlas_picture(built)
    assert picture == atlas_picture(open_atlas(tmp_path / "atlas"))
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    other = build_atlas(healthy(tmp_path / "2", seed=2), "toy", tmp_path / "other")
    assert (np.asarray(Image.open(io.BytesIO(atlas_picture(other))).convert("RGB")) != pixels).any()


# The command line, on the miniature lab.


def uad_bench(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, lab: Path, prepared: Path) -> Path:
    """A folder with two methods, a cache, and the atlas of the lab's training subjects."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "needy.py").write_text(NEEDY)
    (folder / "plugins" / "plain.py").write_text(PLAIN)
    (folder / "cache").symlink_to(prepared)
    code, out, err = uad_bench(*building(lab, "atlas"), cwd=folder)
    assert code == 0, err
    assert "sub-001, sub-002, sub-003, sub-004\n" in out
    return folder


def building(lab: Path, out: str) -> list[object]:
    return ["atlas", "build", out, "--data-root", lab, "--cache", "cache", "-j", "1"]


def running(lab: Path, results: str, *more: object) -> list[object]:
    return [
        *("run", "--methods", "needy,plain", "--controls", "", "--plugin", "plugins"),
        *("--datasets", "wmh", "--data-root", lab, "--cache", "cache", "-j", "1"),
        *("--postprocessing", "none", "--results", results, "--no-mlflow", *more),
    ]


def test_built_twice_gives_the_same_bytes(place: Path, lab: Path) -> None:
    code, _, err = uad_bench(*building(lab, "again"), cwd=place)
    assert code == 0, err
    assert contents(place / "again") == contents(place / "atlas")
    built = open_atlas(place / "atlas").manifest
    assert (built.dataset, built.simulated, built.fallback) == ("hi", True, False)
    assert built.grid_shape == (78, 128, 128)
    code, _, err = uad_bench(*building(lab, "atlas"), cwd=place)
    assert (code, err) == (2, "error: atlas: is there already; delete it or name another folder\n")


def test_show_tells_and_draws(place: Path) -> None:
    code, out, err = uad_bench("atlas", "show", "atlas", cwd=place)
    assert code == 0, err
    assert "SIMULATED" in out
    assert Image.open(place / "atlas.png").size[0] > 800
    code, out, err = uad_bench("atlas", "show", "nowhere", cwd=place)
    assert code == 2
    assert err.startswith("error: nowhere: no atlas (manifest.json: No such file")
    assert not (place / "nowhere.png").exists()


def test_a_run_takes_the_atlas_and_says_so(place: Path, lab: Path) -> None:
    """The same maps give the same numbers, yet the detectors of two priors never mix."""
    for results, more in (("own", ()), ("with", ("--atlas", "atlas"))):
        code, _, err = uad_bench(*running(lab, results, *more), cwd=place)
        assert code == 0, err
    own, given_ = ({c.spec.method: c for c in load_cells(place / r)} for r in ("own", "with"))
    assert own["needy"].metrics == given_["needy"].metrics
    assert own["needy"].fit is not None
    assert given_["needy"].fit is not None
    assert own["needy"].fit.detector != given_["needy"].fit.detector
    source = "tissue prior: tissue maps of 4 simulated training subjects of hi"
    hashed = open_atlas(place / "atlas").hash
    assert own["needy"].fit.notes == ("a note of its own", source)
    assert given_["needy"].fit.notes == ("a note of its own", f"{source} (atlas {hashed})")
    assert own["plain"].fit is not None
    assert given_["plain"].fit is not None
    assert own["plain"].fit.detector == given_["plain"].fit.detector
    assert given_["plain"].fit.notes == ()

    code, _, err = uad_bench(*running(lab, "own", "--atlas", "atlas"), cwd=place)
    assert code == 2
    assert "stands on another tissue prior than this run (--atlas)" in err
    code, _, err = uad_bench(*running(lab, "with", "--atlas", "atlas"), cwd=place)
    assert code == 0, err
    assert "2 cells, 0 computed now" in err


def test_another_grid_is_refused_before_any_work_with_both_recipes(place: Path, lab: Path) -> None:
    asked = running(lab, "mismatch", "--atlas", "atlas", "--recipe", "paper", "--cache", "unused")
    code, _, err = uad_bench(*asked, cwd=place)
    assert code == 2
    default, paper = Recipe(), RECIPES["paper"]
    assert f"recipe median ({default.hash}: mni152, 1.5 mm pixels, 2 mm slices)" in err
    assert f"paper ({paper.hash}: mni152, 1.875 mm pixels, 1 mm slices)" in err
    assert err.count("\n") == 1
    assert not (place / "unused").exists()


def test_another_template_is_refused_even_on_the_same_grid(place: Path) -> None:
    atlas = open_atlas(place / "atlas")
    atlases.refuse_other_grid(atlas, Recipe(name="mine", anchor=0.4))
    with pytest.raises(UadBenchError, match=r"mine \(\w+: sri24"):
        atlases.refuse_other_grid(atlas, Recipe(name="mine", template="sri24"))


def test_an_atlas_of_a_validation_subject_is_refused(place: Path, lab: Path) -> None:
    """As the paper's own: 136 people in the atlas of a training set of 125."""
    shutil.copytree(place / "atlas", place / "leaky")
    built = open_atlas(place / "leaky").manifest
    people = (*built.subjects[:3], built.subjects[3].model_copy(update={"name": "sub-005"}))
    rewrite(place / "leaky", built.model_copy(update={"subjects": people}))
    code, _, err = uad_bench(*running(lab, "leak", "--atlas", "leaky"), cwd=place)
    assert code == 2
    assert "whom this run must not know, validation subjects of hi: sub-005: build" in err
    assert not (place / "leak" / "cells").exists()


def test_a_renamed_copy_of_the_dataset_hides_no_leak(
    place: Path, lab: Path, tmp_path: Path
) -> None:
    shutil.copytree(lab / "HI", tmp_path / "other-name")
    table = tmp_path / "other-name" / "participants.tsv"
    rows = table.read_text()
    assert rows.count("validation") == 2
    table.write_text(rows.replace("validation", "train", 1))
    train = ("--train", f"bids:{tmp_path / 'other-name'}")
    code, out, err = uad_bench(*building(lab, "wide"), *train, cwd=place)
    assert code == 0, err
    assert "sub-005" in out
    code, _, err = uad_bench(*running(lab, "leak", "--atlas", "wide"), cwd=place)
    assert code == 2
    assert "whom this run must not know, validation subjects of hi: sub-005: build" in err


def test_an_atlas_that_no_method_asks_for_is_refused_before_any_work(
    place: Path, lab: Path
) -> None:
    asked = running(lab, "idle", "--atlas", "atlas", "--methods", "plain", "--cache", "unused")
    code, _, err = uad_bench(*asked, cwd=place)
    assert code == 2
    assert err == (
        "error: --atlas atlas: no method of this run needs a tissue prior; leave it out\n"
    )
    assert not (place / "unused").exists()


def test_a_damaged_atlas_stops_a_run_before_any_work(place: Path, lab: Path) -> None:
    shutil.copytree(place / "atlas", place / "damaged")
    with (place / "damaged" / "mean.npy").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff")
    asked = running(lab, "damaged-run", "--atlas", "damaged", "--cache", "unused")
    code, _, err = uad_bench(*asked, cwd=place)
    assert code == 2
    assert err.startswith("error: damaged/mean.npy: damaged, its SHA-256 is not the manifest's")
    assert not (place / "unused").exists()
    assert json.loads((place / "damaged" / "manifest.json").read_text())["sha256"]["mean"]
