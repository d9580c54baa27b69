"""A machine where little can be written: a read-only package, no HOME, somebody else's cache."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from uad_bench import kernels

ROOT = Path(__file__).parents[2]
RUN = (
    "run",
    "--methods",
    "thresholding",
    "--controls",
    "control-black",
    "--postprocessing",
    "none",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program, and an empty home, that nobody may write to."""
    folder = tmp_path_factory.mktemp("installed")
    for part in ("uad_bench", "methods", "datasets"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)  # tells a checkout from an installed package
    (folder / "home").mkdir()
    lock_up(folder)
    return folder


def lock_up(folder: Path) -> None:
    """Let nobody write below a folder."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


def program(
    installed: Path, *arguments: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run as a user whom permissions bind; root is one without its capabilities."""
    powerless: tuple[str, ...] = ()
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("permissions do not bind root, and setpriv is not installed")
        powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    keep = {"PATH", "OMP_NUM_THREADS", "LANG"}
    return subprocess.run(
        [*powerless, sys.executable, "-m", "uad_bench", *arguments],
        env={name: value for name, value in os.environ.items() if name in keep}
        | {"HOME": str(installed / "home"), "PYTHONPATH": str(installed)}
        | environment,
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_read_only_package_and_home_are_enough(installed, lab, tmp_path):
    """numba/numba#4908: a container has no place for compiled code."""
    data = ("--datasets", "wmh", "--data-root", str(lab), "--cache", "c", "-j1")
    once = {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")}  # `validate` below does without
    first = program(installed, *RUN, *data, cwd=tmp_path, PYTHONWARNDEFAULTENCODING="1", **once)
    assert first.returncode == 0, first.stderr
    assert "2 cells, 2 computed now" in first.stderr
    assert "MLflow" not in first.stderr
    ours = [line for line in first.stderr.splitlines() if line.startswith(str(installed))]
    assert not [line for line in ours if "EncodingWarning" in line], "files are always in UTF-8"
    assert (tmp_path / "results" / "mlflow.db").is_file()

    lock_up(tmp_path / "c")  # a second user finds the first one's cache
    again = ("--results", "r2", "--no-mlflow")
    second = program(installed, *RUN, *data, *again, cwd=tmp_path, **once)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout

    again = ("--recipe", "paper", "--results", "r3")
    other = program(installed, *RUN, *data, *again, cwd=tmp_path, **once)
    assert other.returncode == 2
    assert "Permission denied" in other.stderr.splitlines()[-1]
    assert "--cache" in other.stderr.splitlines()[-1]
    assert "Traceback" not in other.stderr


def test_validate_needs_no_place_to_write(installed, lab):
    shown = program(installed, "validate", f"bids:{lab / 'HI'}", cwd=installed)
    assert "Traceback" not in shown.stderr
    assert "error" not in shown.stderr, shown.stderr


def test_a_home_that_cannot_be_written_asks_for_a_cache(installed, lab, tmp_path):
    data = ("--datasets", "wmh", "--data-root", str(lab))
    shown = program(installed, *RUN, *data, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    *before, error = shown.stderr.splitlines()
    assert all(line.startswith("Compiling inner loops") for line in before)
    assert "--cache" in error
    assert not (tmp_path / "results").exists()


def test_without_room_for_a_cache_a_kernel_is_compiled_anew(monkeypatch):
    njit = numba.njit

    def no_room(function, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", no_room)
    assert kernels.compiled(lambda number: number + 1)(2) == 3


KERNELS = """
from uad_bench.kernels import compiled, compiled_or

@compiled
def doubled(number):
    return 2 * number

def by_hand(number):
    return float("nan")

@compiled_or(by_hand)
def outer(number):
    return doubled(number) + 1
"""


def kernel_program(tmp_path, begin=None, **environment):
    """Call a kernel that calls another one; what the first and a second process say."""
    (tmp_path / "loops.py").write_text(KERNELS)
    code = "import sys, loops; print('numba' in sys.modules, loops.outer(20))"
    return [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=begin,
        )
        for _ in range(2)
    ]


def test_a_kernel_imports_numba_when_it_is_called_and_compiles_once(tmp_path):
    first, second = kernel_program(tmp_path)
    assert first.stdout == second.stdout == "False 41\n"
    assert first.stderr.startswith("Compiling inner loops")
    assert len(first.stderr.splitlines()) == 1
    assert second.stderr == ""


def test_where_nothing_can_be_compiled_a_kernel_takes_the_plain_function(tmp_path):
    for done in kernel_program(tmp_path, NUMBA_DISABLE_JIT="1"):
        assert (done.stdout, done.stderr) == ("False nan\n", "")


def write_nothing():
    """Let no file have a byte, as on a full disk: they can be made all the same."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_where_machine_code_cannot_be_kept_a_kernel_is_compiled_anew(tmp_path):
    here = {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONDONTWRITEBYTECODE": "1"}
    for done in kernel_program(tmp_path, write_nothing, **here):
        assert done.stdout == "False 41\n"
        assert done.stderr.startswith("Compiling inner loops")
    assert not list(tmp_path.rglob("*.nbi")), "an index may name machine code of other loops"


def test_kept_machine_code_that_is_damaged_is_made_again(tmp_path):
    here = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    kernel_program(tmp_path, **here)
    kept = list(tmp_path.rglob("*.nb?"))
    assert kept
    for file in kept:
        file.write_bytes(b"")
    found = [done for _ in range(2) for done in kernel_program(tmp_path, **here)]
    assert {done.stdout for done in found} == {"False 41\n"}
    assert found[-1].stderr == "", "it heals"
