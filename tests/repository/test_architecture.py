"""The plugin folders: no package file, one plugin per file, nothing but contracts and blocks."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from uad_bench.runner.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = {
    "methods": ("uad_bench.models", "uad_bench.training"),
    "datasets": (
        "uad_bench.discovery.bids",
        "uad_bench.discovery.file_mapping",
        "uad_bench.discovery.people.participants",
        "uad_bench.discovery.people.splits",
    ),
}
CONTRACTS = ("uad_bench.method", "uad_bench.dataset", "uad_bench.errors")
FILES = sorted([*ROOT.glob("methods/*.py"), *ROOT.glob("datasets/*.py")])


ONLY_NUMPY_AND_SCIPY = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = {*sys.stdlib_module_names, "numpy", "scipy", "uad_bench"}
        if top not in known and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled())
"""


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return {name for name in found if name.startswith("uad_bench")}


def test_plugin_folders_never_shadow_a_package_of_the_same_name():
    assert not (ROOT / "methods" / "__init__.py").exists()
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_text_is_always_utf_8():
    """ruff knows a path only where it is made; a call by name is found anywhere."""
    bare = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for part in ("uad_bench", "methods", "datasets", "studies", "benchmarks")
        for file in ROOT.glob(f"{part}/**/*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"read_text", "write_text"}
        and len(node.args) <= ["read_text", "write_text"].index(node.func.attr)
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not bare


def texts(file: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings, without what is put into them."""
    seen: set[int] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):  # wholes before parts
        if isinstance(node, ast.Expr):
            seen.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            seen |= set(map(id, parts))
            yield "".join(str(part.value) for part in parts)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen
        ):
            yield node.value


def test_the_runner_names_settings_as_their_user_does():
    """The command line has flags, Python arguments, a file keys: ``RunConfig.said`` knows which."""
    names = "|".join([*RunConfig.model_fields, "config", "name", "page", "values"])
    flag = re.compile(rf"--({names.replace('_', '-')})\b")
    flags = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in ROOT.glob("uad_bench/runner/**/*.py")
        for text in texts(file)
        if flag.search(re.sub(r"`[^`]*`", "", text)) and "in Python" not in text
    ]
    assert not flags


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_plugin_imports_contracts_and_blocks_only(file):
    allowed = CONTRACTS + BLOCKS[file.parent.name]
    foreign = [n for n in imports(file) if n != "uad_bench" and not n.startswith(allowed)]
    assert not foreign


@pytest.mark.parametrize("file", sorted(ROOT.glob("methods/*.py")), ids=lambda file: file.name)
def test_a_method_file_stays_small(file):
    assert len(file.read_text().splitlines()) <= 130


def test_metrics_work_where_only_numpy_and_scipy_are_installed():
    code = f"""
{ONLY_NUMPY_AND_SCIPY}
import pkgutil
import uad_bench.evaluation
for module in pkgutil.walk_packages(uad_bench.evaluation.__path__, "uad_bench.evaluation."):
    __import__(module.name)
print(*sorted(name for name in sys.modules if name.startswith("uad_bench.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "uad_bench.evaluation.protocols.strict" in loaded
    rest = {name for name in loaded if not name.startswith("uad_bench.evaluation")}
    assert rest == {"uad_bench.errors", "uad_bench.kernels"}


def test_arrays_are_scored_where_only_numpy_and_scipy_are_installed():
    code = f"""
{ONLY_NUMPY_AND_SCIPY}
import numpy as np
import uad_bench
lesion = np.zeros((1, 12, 12), np.uint8)
lesion[0, 4:6, 4:8] = 1
found = uad_bench.evaluate([lesion / 2], [lesion], [np.ones_like(lesion)], (3.0, 1.0, 1.0))
print(found.metrics["auprc"].value)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0"]


def test_the_lowest_versions_that_are_tested_are_those_that_are_stated():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    stated = [*project["dependencies"], *extras["prepare"], *extras["test"]]
    lowest = {line.replace(">=", "==") for line in stated if not line.startswith("torch>=")}
    text = (ROOT / "constraints-lowest.txt").read_text()
    tested = {line for line in text.splitlines() if not line.startswith("#")}
    pinned = set((ROOT / "constraints.txt").read_text().splitlines())
    (torch,) = tested - lowest
    assert torch in pinned
    assert tested - {torch} == lowest
