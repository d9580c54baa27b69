"""One model behind flags, files and Python; and one way to name a dataset in every command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import RunConfig, load_config, load_settings
from uad_bench.runner.data.source import find_source
from uad_bench.runner.settings import default, heading, meaning

COMMANDS = [
    *(["run"], ["sweep"], ["evaluate"], ["predict"], ["prepare"], ["validate"], ["data"]),
    *(["exclude"], ["get"], ["phantom"], ["atlas", "build"]),
]
"""Every command that takes settings."""
OWN = {("predict", "postprocessing"), ("phantom", "jobs")}
"""Options with the name of a setting that mean something else."""
WITHOUT_DEFAULT = {(command, "datasets") for command in ("exclude", "get", "evaluate")}
"""They are about one dataset, and `all` is none."""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A dataset in BIDS of two people."""
    for subject in ("sub-01", "sub-02"):
        anat = tmp_path / "lab" / subject / "anat"
        anat.mkdir(parents=True)
        (anat / f"{subject}_FLAIR.nii.gz").touch()
    return tmp_path / "lab"


def shown(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main([*command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_a_setting_is_the_models(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "100")
    text = shown(capsys, *command)
    words = " ".join(text.split())
    flags = {name: f"--{name.replace('_', '-')}" for name in RunConfig.model_fields}
    there = {n for n, flag in flags.items() if re.search(rf"{flag}(?![\w-])", text)}
    there -= {name for name in there if (command[0], name) in OWN}
    assert there, "it takes some"
    for name in there:
        field = RunConfig.model_fields[name]
        assert meaning(field), f"{name} says what it means"
        assert meaning(field) in words
        if (known := default(field)) and (command[0], name) not in WITHOUT_DEFAULT:
            after = words.partition(meaning(field))[2]
            assert re.match(rf"( Repeatable\.)? *\[default: {re.escape(known)}[\];]", after), name
        assert f"\n{heading(RunConfig, name)}:\n" in text


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_the_terminal(capsys, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, shown(capsys, *command).splitlines())) <= columns


@pytest.mark.parametrize("command", [["validate"], ["exclude"], ["prepare"], ["get"], ["atlas"]])
def test_the_help_of_a_command_loads_no_torch(command):
    code = "import sys; from uad_bench.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy"} & set(done.stdout.splitlines()[-1].split())


def test_no_command_writes_a_flag_of_the_model_by_itself():
    """A flag that is written twice has two helps and two defaults."""
    flags = {f"--{name.replace('_', '-')}" for name in RunConfig.model_fields}
    found = set()
    for file in Path(main.__code__.co_filename).parent.glob("commands/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
                written = {one.value for one in node.args if isinstance(one, ast.Constant)}
                found |= {(file.stem, flag) for flag in written & flags}
    assert found <= {("phantom", "--jobs")}


@pytest.mark.parametrize("flag", ["--datasets", "--dataset"])
def test_every_command_names_a_dataset_by_the_same_flag(capsys, lab, tmp_path, flag, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in (f"bids:{lab}", str(lab), "bids:lab", "./lab"):
        where = [flag, word]
        assert main(["data", *where]) == 0
        assert "2 (2 subjects)" in capsys.readouterr().out
        assert main(["validate", *where]) == 1
        assert "in 2 scans of bids" in capsys.readouterr().out
        assert main(["exclude", *where]) == 0
        assert "2 of 2 scans" in capsys.readouterr().err
        assert main(["prepare", *where, "--dry-run"]) in (0, 2)
        assert "sub-01" in "".join(capsys.readouterr())
        assert main(["run", "--methods", "thresholding", *where, "--dry-run"]) == 2
        assert "sub-01" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["data", "validate", "get", "prepare"])
def test_a_command_about_datasets_alone_takes_them_without_the_flag(capsys, command):
    said = []
    for words in (["mslug"], ["--datasets", "mslug"]):
        assert main([command, *words, "--data-root", "."]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "Did you mean 'mslub'?" in said[0]
    assert main([command, "mslub", "--datasets", "wmh"]) == 2
    assert "named twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [["exclude"], ["get"], ["evaluate", "maps", "--name", "Ours"]],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("words", [["--datasets", "mslub,wmh"], ["--datasets", "all"], []])
def test_a_command_about_one_dataset_refuses_several_and_none(capsys, command, words):
    assert main([*command, *words]) == 2
    said = capsys.readouterr().err
    flag = " ".join(words) or "--datasets"
    assert said == f"error: {flag}: name one dataset at a time, as NAME or NAME:PATH\n"


def test_validate_checks_several_datasets(capsys, lab):
    assert main(["validate", "--datasets", f"{lab},bids:{lab}"]) == 1
    assert capsys.readouterr().out.count("in 2 scans of bids") == 2


def test_a_name_is_a_name_where_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mslub").mkdir()
    assert find_source("mslub", None, open_registry(()), tmp_path / "cache").folder is None


def test_python_names_a_dataset_by_its_folder_too(lab):
    source = find_source(str(lab), None, open_registry(()), lab / "cache")
    assert (source.label, source.folder) == ("bids-lab", lab)
    assert source.notes == (f"{lab} is read as bids:{lab}",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "spa", "--seeds", "0,1"], "--seeds: a map is of one detector; give one seed"),
        (["-m", "spa,vae"], "-m spa,vae: a map is of one detector; give one method"),
        (["-m", "spa", "--param", "spa"], "--param spa: write METHOD.NAME=VALUE"),
        (["-m", "spa", "--param", "spa.stepps=1"], "spa.stepps"),
        (["-m", "spa", "--atlas", "gone"], "gone"),
        (["-d", "gone", "--param", "spa.steps=1"], "--param: is for -m"),
        (["-d", "gone", "--seed", "1"], "--seeds: is for -m"),
    ],
)
def test_predict_takes_the_training_words_of_run(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path("scan.nii.gz").touch()
    assert main(["predict", "scan.nii.gz", *words, "-o", "map.nii.gz"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["validate", "bids:x", "--mask-shift", "-1"], "--mask-shift: input should be greater"),
        (["prepare", "--limit", "0"], "--limit: input should be greater than or equal to 1"),
        (["atlas", "build", "a", "--phantoms", "0"], "--phantoms: input should be greater"),
        (
            ["evaluate", "m", "--name", "x", "--space", "mine"],
            "--space: input should be 'template'",
        ),
        (["sweep", "spa.beta", "--seeds", "a"], "--seeds a: input should be a valid integer"),
    ],
)
def test_a_wrong_value_is_the_same_line_in_every_command(capsys, flags, said):
    assert main(flags) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_settings_without_methods_are_checked_by_the_same_model():
    assert (
        load_settings({"limit": 2}).limit == load_config(None, {"methods": "a", "limit": 2}).limit
    )
    with pytest.raises(UadBenchError, match=r"^limit: input should be"):
        load_settings({"limit": 0}, in_python=True)
