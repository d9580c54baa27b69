"""What the pages say: commands that exist, links that lead somewhere, one version, one word."""

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

import uad_bench
from uad_bench.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^ *```(?:bash|console|text)?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
GROUPS = {"atlas"}
"""Commands that are several."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every uad-bench command in a page's code blocks, from its name on."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                if (said := part.strip().removeprefix("$ ")).startswith("uad-bench "):
                    yield shlex.split(said, comments=True)[1:]


@cache
def options(command: tuple[str, ...]) -> frozenset[str]:
    """The options that the help of a command shows."""
    with redirect_stdout(StringIO()) as shown:
        assert main([*command, "--help"]) == 0, f"no command {command}"
    return frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", shown.getvalue()))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_exist_and_have_its_options(page):
    for words in commands(page):
        command = tuple(words[: 2 if words[0] in GROUPS else 1])
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
        if "--help" not in given and not command[0].startswith("-"):
            assert not given - options(command), f"{name(page)}: uad-bench {' '.join(words)}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=name)
def test_the_links_of_a_page_outside_the_site_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_pages_that_the_code_names_exist():
    named = {
        page
        for folder in ("uad_bench", "methods", "datasets", "benchmarks", "studies")
        for file in ROOT.glob(f"{folder}/**/*.py")
        for page in re.findall(r"docs/[\w/-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert named
    assert not [page for page in named if not (ROOT / page).is_file()]


def test_the_version_is_one():
    (newest, *_) = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest == citation["version"] == uad_bench.__version__


REPLACED = {"cohort": "dataset"}
"""Words that are not used, and the word of the glossary that is."""


@pytest.mark.parametrize("word", REPLACED)
def test_a_replaced_word_is_used_nowhere(word):
    """Code spans may name somebody's column of that name, and one module knows such columns."""
    sources = [
        file
        for folder in ("uad_bench", "methods", "datasets", "benchmarks", "studies")
        for file in ROOT.glob(f"{folder}/**/*.py")
        if file.name != "health_words.py"
    ]
    notebooks = ROOT.glob("docs/tutorials/*.ipynb")
    for file in (*PAGES, *notebooks, *sources):
        text = file.read_text(encoding="utf-8").replace(f"`{word}`", "").lower()
        assert word not in text, f"{name(file)}: say {REPLACED[word]}"


def test_no_file_of_the_documentation_is_large():
    large = [
        name(f) for f in ROOT.glob("docs/**/*") if f.is_file() and f.stat().st_size > 1_000_000
    ]
    assert not large


def test_a_word_of_the_glossary_has_one_meaning():
    text = (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^(\S.*)\n: ", text, re.MULTILINE)
    assert len(words) == len(set(words)) > 30


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all tutorials: they simulate the same healthy people."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted(ROOT.glob("docs/tutorials/*.ipynb")), ids=name)
def test_a_tutorial_runs_from_top_to_bottom(notebook, cache, tmp_path, monkeypatch):
    """In an empty folder, with the program beside this interpreter, as a reader would run it."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", programs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("UAD_BENCH_DATA", raising=False)
    pages = nbformat.read(notebook, as_version=4)
    NotebookClient(pages, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))


def test_the_outputs_of_a_tutorial_know_no_machine():
    for notebook in ROOT.glob("docs/tutorials/*.ipynb"):
        outputs = [cell.get("outputs") for cell in nbformat.read(notebook, as_version=4).cells]
        assert any(outputs), f"{name(notebook)}: run it and keep its outputs"
        assert not re.search(r"/(root|home|work|tmp|Users|site-packages)/", str(outputs))


def test_the_pages_that_the_program_writes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's own words of the program: its build alone would find a name that is gone."""
    monkeypatch.setenv("COLUMNS", "80")  # which the hook changes
    monkeypatch.chdir(ROOT)
    hook = runpy.run_path(str(ROOT / "docs" / "hooks" / "from_program.py"))
    pages = {mark: "\n".join(write()) for mark, write in hook["MARKS"].items()}
    assert all(len(text.splitlines()) > 30 for text in pages.values())
    assert any("$ uad-bench run --help" in text for text in pages.values())
