"""A disk that is full is one line, the same wherever it strikes, and leaves nothing half-written.

The disk is a small one of its own, mounted for the test; where that is not allowed, tests beside
the code that writes inject the error instead.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.runner.detectors.checkpoints import Checkpoints
from uad_bench.runner.events import Event, Noted
from uad_bench.runner.failures import failure_reason
from uad_bench.system.disk import writing

SIZE_KB = 64
FULL = "error: the disk is full while writing "

Mount = Callable[[Path], Path]


@pytest.fixture
def full() -> Iterator[Mount]:
    """Mounts a small disk that is full at a folder."""
    mounted: list[Path] = []

    def mount(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
            pytest.skip("a disk cannot be mounted here")
        mounted.append(folder)
        (folder / "rest").write_bytes(bytes(SIZE_KB * 1024))
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a database may be open


RUN = (
    *("run", "--methods", "thresholding", "--controls", "", "--datasets", "wmh", "--limit", "1"),
    *("--data-root", "{lab}", "--no-mlflow", "--results", "{box}/results"),
)
FOUND = ("--cache", "{cache}", "--data-root", "{lab}")
SWEEP = (
    *("sweep", "vae.width", "--values", "4", "--param", "vae.steps=1"),
    *("--param", "vae.perceptual_weight=0"),
    *("--results", "{box}/sweeps"),
)
TUNED = ("run", "--methods", "vae", "--param", "vae.perceptual_weight=0", *RUN[3:])
COMMANDS = {
    "results": (*RUN, "--cache", "{cache}"),
    "results/detectors": (*RUN, "--cache", "{cache}"),
    "results/cells": (*RUN, "--cache", "{cache}"),
    "results/histograms": (*RUN, "--cache", "{cache}"),
    "results/pictures": (*RUN, "--cache", "{cache}"),
    "results/tuning": (*TUNED, "--cache", "{cache}"),
    "cache": (*RUN, "--cache", "{box}/cache"),
    "phantoms": ("phantom", "{box}/phantoms", "--datasets", "wmh", "--subjects", "1"),
    "raw phantoms": (
        *("phantom", "{box}/raw phantoms", "--raw"),
        *("--datasets", "wmh", "--subjects", "1"),
    ),
    "plugins": ("new", "method", "mine", "--dir", "{box}/plugins"),
    "tables": ("table", "--results", "{made}", "-o", "{box}/tables/table.md", "-f", "markdown"),
    "pages": ("report", "--results", "{made}", "--no-images", "-o", "{box}/pages/report.html"),
    "figures": ("plot", "patients", "--results", "{made}", "-o", "{box}/figures/patients.pdf"),
    "exports": ("export", "{box}/exports/run.zip", "--results", "{made}"),
    "imported": ("import", "{archive}", "--results", "{box}/imported"),
    "shared": ("share", "{detector}", "{box}/shared/detector.zip", "--licence", "MIT"),
    "maps": ("predict", "{scan}", "-d", "{detector}", "-o", "{box}/maps/map.nii.gz"),
    "sweeps": (*SWEEP, *FOUND),
}


@pytest.fixture(scope="module")
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared


@pytest.fixture(scope="module")
def made(lab: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run on a disk with room."""
    box = tmp_path_factory.mktemp("made")
    words = (*RUN, "--cache", str(cache))
    assert main([word.format(lab=lab, box=box) for word in words]) == 0
    assert main(["export", str(box / "run.zip"), "--results", str(box / "results")]) == 0
    return box / "results"


@pytest.mark.parametrize("place", COMMANDS)
def test_a_full_disk_is_one_line_of_the_same_words(
    full: Mount,
    lab: Path,
    cache: Path,
    made: Path,
    tmp_path: Path,
    place: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    disk = full(tmp_path / place)
    (detector,) = (one for one in (made / "detectors").iterdir() if one.is_dir())
    scan, archive = sorted(lab.rglob("*FLAIR*.nii.gz"))[0], made.parent / "run.zip"
    capsys.readouterr()
    paths = {"lab": lab, "box": tmp_path, "cache": cache, "made": made, "archive": archive}
    words = [w.format(**paths, detector=detector, scan=scan) for w in COMMANDS[place]]
    assert main(words) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert line.startswith(f"{FULL}{disk}"), line
    assert line.endswith("make room and run the same command again; finished work is kept")
    left = [path for path in disk.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [disk / "rest"]


@pytest.mark.parametrize("place", ["database", "artefacts"])
def test_mlflow_without_room_is_told_and_the_run_goes_on(
    full: Mount,
    lab: Path,
    cache: Path,
    tmp_path: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [w.format(lab=lab, box=tmp_path, cache=cache) for w in (*RUN, "--cache", "{cache}")]
    words.remove("--no-mlflow")
    if place == "database":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{full(tmp_path / 'store')}/m.db")
    else:
        full(tmp_path / "results" / "mlartifacts")
    assert main(words) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "the run goes on" in told
    assert "not everything is in MLflow: `uad-bench sync" in told


def test_a_checkpoint_is_written_as_soon_as_there_is_room(full: Mount, tmp_path: Path) -> None:
    disk, told = full(tmp_path), list[Event]()
    checkpoints = Checkpoints(disk / "key", "train x", "cpu", told.append)
    state = bytes(4096)
    with checkpoints() as checkpoint:
        for _ in range(2):
            checkpoint.save(state)
        (disk / "rest").unlink()
        checkpoint.save(state)
    (note,) = told
    assert isinstance(note, Noted)
    assert note.text.startswith(f"train x: goes on without a new checkpoint: {FULL[7:]}{disk}")
    with Checkpoints(disk / "key", "train x", "cpu", told.append)() as checkpoint:
        assert checkpoint.load() == state


def test_what_is_not_full_says_what_it_is_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "absent" / "file"
    with pytest.raises(UadBenchError) as caught, writing(file, "make the folder first"):
        file.write_bytes(b"")
    assert str(caught.value) == (
        f"cannot write {file}: No such file or directory; make the folder first"
    )


def test_a_full_disk_is_no_failure_of_a_method() -> None:
    with pytest.raises(UadBenchError, match="the disk is full: make room"):
        failure_reason(OSError(28, "No space left on device"))


def test_too_little_memory_for_a_method_is_told_in_its_words() -> None:
    told = failure_reason(MemoryError("Unable to allocate 3 TiB"))
    assert told == "not enough memory (Unable to allocate 3 TiB): use a machine with more"
