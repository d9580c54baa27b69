"""A stranger's package with entry points: built, installed, then listed, loaded and checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "strange-detectors"
version = "1.0"

[project.entry-points."uad_bench.methods"]
strange = "strange_detectors.detector:Strange"
misnamed = "strange_detectors.detector:Strange"
lost = "strange_detectors.no_such_module"
vae = "strange_detectors.rival:Rival"

[project.entry-points."uad_bench.datasets"]
strangers = "strange_detectors.people"

[tool.hatch.build.targets.wheel]
packages = ["strange_detectors"]
"""

DETECTOR = '''"""A stranger's detector (Stranger 2024)."""

from uad_bench import method
from uad_bench.method import FitReport, MethodInfo


class Strange(method.Method):
    info = MethodInfo("strange", "Strange")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image
'''

PEOPLE = '''"""Strangers."""

from uad_bench.dataset import Dataset, DatasetInfo


class Strangers(Dataset):
    info = DatasetInfo(
        name="strangers", title="Strangers", disease="none", citation="", bibtex="",
        licence="free", obtain="ask", layout="strangers/", folders=("strangers",),
    )

    def scans(self, root):
        return iter(())
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the stranger's package was built and installed, without a network."""
    source = tmp_path_factory.mktemp("source")
    package = source / "strange_detectors"
    package.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text('raise SystemExit("imported")\n')
    (package / "detector.py").write_text(DETECTOR)
    (package / "people.py").write_text(PEOPLE)
    (package / "rival.py").write_text(
        DETECTOR.replace("Strange", "Rival").replace('"strange"', '"vae"')
    )
    target = tmp_path_factory.mktemp("target")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    pip += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*pip, str(source)], check=True, capture_output=True, timeout=120)
    return target


def uad_bench(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from uad_bench.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_entry_points_are_listed_without_importing_the_package(installed):
    done = uad_bench(installed, "list")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if "entry point" in line}
    assert rows["strange"].split()[1:4] == ["ready", "entry", "point"]
    assert "A stranger's detector (Stranger 2024)" in rows["strange"]
    assert "Strangers" in rows["strangers"]
    assert "broken" in rows["misnamed"]
    assert "is called 'strange'" in rows["misnamed"]
    assert "strange-detectors: entry point 'lost = " in rows["lost"]
    assert "no module strange_detectors.no_such_module" in rows["lost"]


def test_its_rival_of_a_built_in_name_is_a_clash_that_names_both(installed):
    done = uad_bench(installed, "show", "vae")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "method name 'vae' is taken twice" in line
    assert "rival.py:7" in line
    assert "vae.py:" in line


def test_a_package_that_does_not_import_is_one_line(installed):
    done = uad_bench(installed, "check", "strange")
    assert done.returncode == 1
    assert "strange does not import: SystemExit: imported" in done.stdout
    assert "Traceback" not in done.stderr


def test_it_is_loaded_and_checked_once_it_imports(installed):
    (installed / "strange_detectors" / "__init__.py").write_text("")
    for name, file in (("strange", "detector.py"), ("strangers", "people.py")):
        done = uad_bench(installed, "check", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert file in done.stdout
    shown = uad_bench(installed, "show", "strange").stdout
    assert "entry point" in shown
