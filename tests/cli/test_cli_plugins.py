"""The plugin commands: quick to start, one line for a mistake, and exit codes to rely on."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from uad_bench.cli import application, main
from uad_bench.cli.overview import COMMANDS
from uad_bench.errors import UadBenchError

METHOD = '''"""A toy (Somebody 2020)."""

import numpy as np

from uad_bench import method
from uad_bench.method import FitReport, MethodInfo, tunable


class Toy(method.Method):
    class Params(method.Params):
        """How much."""

        gain: float = tunable(0.5, 0.1, 1.0, log=True, ge=0, le=1)
        """The factor of
        ``image``."""

    info = MethodInfo("toy", "Toy", citation="Somebody 2020")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image * np.float32(self.params.gain)
'''


@pytest.fixture(autouse=True)
def _no_plugins_from_outside(monkeypatch):
    monkeypatch.delenv("UAD_BENCH_PLUGINS", raising=False)


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(METHOD)
    return path


def changed(toy, old, new):
    assert old in METHOD
    toy.write_text(METHOD.replace(old, new))
    return str(toy)


def error_of(capsys, *arguments) -> str:
    """The one line on stderr of a command that must exit with 2 and print nothing else."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("arguments", [[], ["--help"], ["list"], ["list", "methods"]])
def test_help_and_list_start_without_heavy_modules(arguments):
    code = (
        "import json, sys; from uad_bench.cli import main; main(sys.argv[1:]); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert not loaded & {"torch", "numpy", "scipy", "pandas", "mlflow", "optuna", "nibabel", "rich"}
    if arguments == ["list"]:
        assert not loaded & {"pydantic", "email"}  # email comes with importlib.metadata
    elif arguments != ["list", "methods"]:
        assert "typer" not in loaded


def test_no_commands_help_loads_what_computes():
    code = (
        "import sys; from uad_bench.cli import main; from uad_bench.cli.overview import COMMANDS\n"
        "for name in COMMANDS: main([name, '--help'])\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "uad_bench" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "pandas", "nilearn", "nibabel", "mlflow"}


def test_help_names_every_command_and_a_commands_help_is_its_own(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert name in shown
        assert summary in shown
    assert main(["check", "--help"]) == 0
    assert "--root" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [20, 52, 60, 80, 100, 300])
def test_the_programs_help_is_that_which_typer_writes(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["-h"]) == 0
    ours = capsys.readouterr().out
    assert max(map(len, ours.splitlines())) <= max(52, min(columns, 100))
    command = typer.main.get_command(application._application(None))
    theirs = command.make_context("uad-bench", [], resilient_parsing=True).get_help() + "\n"
    if columns >= 80:
        assert ours == theirs
    for line in theirs.splitlines():  # where it is narrow, typer ends summaries with three dots
        assert line.removesuffix("...") in ours


def test_every_command_can_be_imported():
    for target, _ in COMMANDS.values():
        assert callable(application._function(target))


def test_list_shows_plugins_and_what_cannot_be_used(capsys, toy):
    (toy.parent / "bad.py").write_text("def broken(:\n")
    assert main(["list", "--plugin", str(toy.parent)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(r.split()[:3] == ["toy", "ready", "plugin"] for r in rows)
    assert any(r.startswith("bad.py") and "broken" in r and "syntax error" in r for r in rows)


def test_list_can_be_limited(capsys):
    assert main(["list", "datasets"]) == 0
    shown = capsys.readouterr().out
    assert "DATASET" in shown
    assert "METHOD" not in shown


def test_plugins_come_from_the_environment_too(capsys, toy, monkeypatch):
    monkeypatch.setenv("UAD_BENCH_PLUGINS", str(toy))
    assert main(["list", "methods"]) == 0
    assert "A toy (Somebody 2020)" in capsys.readouterr().out


@pytest.mark.parametrize("objective", ["", '    objective = ("l1",)\n'])
def test_show_tells_parameters_search_ranges_and_origin(capsys, toy, objective):
    changed(toy, "\n    def fit", f"{objective}\n    def fit")
    assert main(["show", "toy", "--plugin", str(toy)]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("gain"))
    tuned = " Tuned from 0.1 to 1 (log scale)." if objective else ""
    assert " ".join(row.split()) == f"gain 0.5 float >= 0, <= 1 The factor of image.{tuned}"
    assert f"{toy}:9" in shown
    assert "Somebody 2020" in shown


@pytest.mark.parametrize("name", ["spa", "outlier", "dae"])
def test_show_fits_a_terminal_of_80_columns(capsys, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["show", name]) == 0
    table = capsys.readouterr().out.partition("\ndescription\n")[0]
    lines = [click.unstyle(line) for line in table.splitlines()]
    assert max(len(line) for line in lines if not line.startswith("origin")) <= 80
    assert sum(line.startswith("    ") for line in lines) > 5, "meanings wrap"


def test_a_plugin_in_the_working_folder_is_named_by_its_short_path(capsys, toy, monkeypatch):
    monkeypatch.chdir(toy.parent)
    assert main(["check", str(toy)]) == 0
    assert capsys.readouterr().out == f"toy: keeps every rule ({toy.name}:9)\n"


def test_show_prints_a_datasets_layout_and_bibtex(capsys, tmp_path):
    assert main(["new", "dataset", "my-lab", "--dir", str(tmp_path)]) == 0
    assert main(["show", "my-lab", "--plugin", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "PATIENT/" in shown
    assert "@misc{my-lab" in shown


@pytest.mark.parametrize("kind", ["method", "dataset"])
@pytest.mark.parametrize("name", ["mine", "my-2nd-way", "3d"])
def test_a_new_plugin_keeps_every_rule(capsys, tmp_path, kind, name):
    assert main(["new", kind, name, "--dir", str(tmp_path / "made")]) == 0
    path = tmp_path / "made" / f"{name.replace('-', '_')}.py"
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: keeps every rule")


def test_new_overwrites_nothing(capsys, toy):
    before = toy.read_text()
    assert "toy.py exists" in error_of(capsys, "new", "method", "toy", "--dir", str(toy.parent))
    assert toy.read_text() == before
    line = error_of(capsys, "new", "method", "toy", "--dir", "elsewhere", "--plugin", str(toy))
    assert f"The method name 'toy' is taken by {toy}:9" in line
    assert "must be lower-case" in error_of(capsys, "new", "method", "No Name")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("class Toy(", "class Toy((", "toy: load: {path}:9: syntax error: "),
        ("import numpy", "import no_numpy", "toy: load: {path}:3: toy does not import: ModuleNot"),
        ("Toy(method.Method)", "Toy", "toy: load: {path}: holds no plugin"),
        ("    def score", "class Two(Toy):\n    info = MethodInfo('two', 'Two')\n\n    def score",
         "toy: load: {path}: holds 2 plugins"),
        ("slices.image *", "slices.image[:, :, 1:] *", "toy: shape: score must have shape"),
        ("self.params.gain)", "np.nan)", "toy: finite: score must be finite, but "),
        ("self.params.gain)", "3)", "toy: range: score must lie in [0, 1], spans [0, 2.85]"),
        ("return slices", "return 1 / 0 + slices", "toy: score: score raised ZeroDivisionError"),
    ],
)  # fmt: skip
def test_each_fault_of_a_plugin_is_one_clear_line(capsys, toy, old, new, line):
    path = changed(toy, old, new)
    assert main(["check", path]) == 1
    captured = capsys.readouterr()
    shown = captured.out.splitlines()
    assert shown[0].startswith(line.format(path=path))
    assert all(row.startswith("toy: ") for row in shown)
    assert "Traceback" not in captured.out + captured.err


def test_check_reports_every_broken_rule_at_once(capsys, toy):
    path = changed(toy, '"Toy",', "3,")
    toy.write_text(toy.read_text().replace("slices.image *", "-slices.image[:, 0] *"))
    assert main(["check", path]) == 1
    captured = capsys.readouterr()
    rules = [row.split(": ")[1] for row in captured.out.splitlines()]
    assert rules == ["title", "shape", "range"]
    assert captured.err == "3 broken rules\n"


def test_check_looks_at_a_datasets_own_folder(capsys, tmp_path):
    assert main(["new", "dataset", "my-lab", "--dir", str(tmp_path)]) == 0
    path = str(tmp_path / "my_lab.py")
    empty = tmp_path / "data"
    empty.mkdir()
    assert main(["check", path, "--root", str(empty)]) == 1
    assert "no scans found" in capsys.readouterr().out
    (empty / "p1").mkdir()
    (empty / "p1" / "flair.nii.gz").write_bytes(b"")
    assert main(["check", f"my-lab:{empty}", "--plugin", path]) == 0
    capsys.readouterr()
    assert "nowhere is not a folder" in error_of(capsys, "check", path, "--root", "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "thresholdin"], "Unknown name 'thresholdin'. Did you mean 'thresh"),
        (["check", "thresholdin"], "Unknown name 'thresholdin'. Did you mean 'thresh"),
        (["check", "nowhere.py"], "nowhere.py does not exist"),
        (["check"], "Missing argument"),
        (["list", "--plugin", "nowhere"], "--plugin: nowhere does not exist"),
        (["list", "--no-such-option"], "No such option"),
        (["list", "everything"], "'everything' is not one of"),
        (["no-such-command"], "No such command"),
        (["new", "method"], "Missing argument"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(capsys, arguments, message):
    assert message in error_of(capsys, *arguments)


def test_a_plugin_file_named_on_the_command_line_must_work(capsys, toy):
    path = changed(toy, "class Toy(", "class Toy((")
    assert "toy.py:9: syntax error" in error_of(capsys, "show", "thresholding", "--plugin", path)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (UadBenchError("two\nlines"), 2, "error: two lines\n"),
        (OSError(28, "No space left on device", "x.npy"), 2,
         "error: the disk is full while writing x.npy: make room and run the same command again; "
         "finished work is kept\n"),
        (KeyboardInterrupt(), 130, ""),
        (None, 0, ""),
    ],
)  # fmt: skip
def test_what_a_command_raises_becomes_an_exit_code(capsys, monkeypatch, raised, code, message):
    def command() -> None:
        if raised is not None:
            raise raised

    monkeypatch.setattr(application, "COMMANDS", {"try": ("x:y", "Try."), "rest": ("x:z", "Rest.")})
    monkeypatch.setattr(application, "_function", lambda target: command)
    assert main(["try"]) == code
    assert capsys.readouterr().err == message


def test_a_bug_keeps_its_traceback(monkeypatch):
    def command() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(application, "COMMANDS", {"try": ("x:y", "Try."), "rest": ("x:z", "Rest.")})
    monkeypatch.setattr(application, "_function", lambda target: command)
    with pytest.raises(ZeroDivisionError):
        main(["try"])


def test_a_command_that_is_told_can_be_copied_whatever_the_folder_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my study"
    assert main(["new", "method", "my-own", "--dir", str(folder)]) == 0
    assert f"uad-bench check '{folder}/my_own.py'\n" in capsys.readouterr().err
