"""The recipes of containers: both install the same, from what a checkout has."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = (ROOT / "containers" / "Dockerfile").read_text()
APPTAINER = (ROOT / "containers" / "uad-bench.def").read_text()


def copied() -> set[str]:
    """What the Dockerfile takes from the checkout."""
    lines = re.findall(r"^COPY (.+) \S+$", DOCKER, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def test_both_recipes_take_and_install_the_same():
    files = APPTAINER.partition("%files\n")[2].partition("\n\n")[0]
    pairs = [line.split() for line in files.splitlines()]
    assert {source for source, _ in pairs} == copied()
    assert all(target == f"/opt/uad-bench/{source}" for source, target in pairs)
    install = re.compile(r"pip install .*'\.\[prepare,distributed\]' -c constraints\.txt")
    assert install.search(DOCKER)
    assert install.search(APPTAINER)
    bases = re.findall(r"^(?:FROM|From:) (\S+)$", f"{DOCKER}{APPTAINER}", re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1


@pytest.mark.slow
def test_what_they_take_is_enough_to_build_the_package(tmp_path):
    for name in copied():
        source, target = ROOT / name, tmp_path / "context" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*build, str(tmp_path / "context")], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"uad_bench/methods/spa.py", "uad_bench/report/published/table2.csv"} <= names
