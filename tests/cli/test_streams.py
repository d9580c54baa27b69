"""No terminal, pipe or closed stream makes a traceback of a finished run."""

import io
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from uad_bench.cli import application, main
from uad_bench.cli.streams import echo, open_streams
from uad_bench.front.progress import LiveProgress

CODECS = ("ascii", "latin-1", "cp1252", "cp437", "koi8-r", "shift_jis", "utf-8")
anything = st.text(st.characters(codec=None, exclude_characters="\x1b"), max_size=40)


PUBLISHED = "uad-bench table --published --results nowhere"


@cache
def program(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of ``command``, in which ``uad-bench`` is this one; once per command.

    That a kernel is compiled is not shown: whether it was before is chance.
    """
    done = subprocess.run(
        ["bash", "-c", f'uad-bench() {{ {sys.executable} -m uad_bench "$@"; }}; {command}'],
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        timeout=120,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONIOENCODING": "",  # tox sets one
            **environment,
        },
    )
    said = re.sub(r"(?m)^Compiling inner loops.*\n", "", done.stderr)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout, said)


@given(
    text=anything,
    codec=st.sampled_from(CODECS),
    errors=st.sampled_from(["strict", "surrogateescape"]),
)
def test_every_text_can_be_printed_in_every_encoding(text, codec, errors):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=codec, errors=errors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        open_streams()
        echo(f"{text} 0.51 ± 0.02")
        Console(width=200).print(f"{text} 0.51 ± 0.02", markup=False)
        stream.flush()
    assert stream.buffer.getvalue().count(b"0.51 ") == 2


@pytest.mark.parametrize("codec", ["ascii", "cp1252"])
def test_a_narrow_terminal_gets_the_whole_answer(codec):
    wide = program("uad-bench show hi", PYTHONIOENCODING="utf-8")
    narrow = program("uad-bench show hi; uad-bench data hi", PYTHONIOENCODING=codec)
    assert (narrow.returncode, narrow.stderr) == (0, "")
    assert len(narrow.stdout.splitlines()) > len(wide.stdout.splitlines())


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_what_an_ascii_terminal_lacks_is_a_question_mark(environment):
    """``typer.echo`` takes ASCII for a mistake and writes UTF-8."""
    command = f"{PUBLISHED} -f markdown; uad-bench show \u2264"
    wide = program(command, PYTHONIOENCODING="utf-8")
    assert not wide.stdout.isascii()
    assert not wide.stderr.isascii()
    narrow = program(command, **environment)
    for had, got in ((wide.stdout, narrow.stdout), (wide.stderr, narrow.stderr)):
        assert got.isascii()
        assert got.count("\n") == had.count("\n")
    assert "?" in narrow.stdout


def test_the_command_line_prints_with_its_own_echo():
    source = Path(__file__).parents[2] / "uad_bench" / "cli"
    texts = {file.name: file.read_text() for file in source.glob("*.py")}
    assert not [name for name, text in texts.items() if "typer.echo(" in text]


@pytest.mark.parametrize("stream", ["", "| cat", "> {}/out; cat {}/out", ">> {}/out; cat {}/out"])
def test_a_table_can_be_written_to_dev_stdout(stream, tmp_path):
    behind = stream.replace("{}", str(tmp_path))
    table = f"{PUBLISHED} -f csv"
    shown = program(f"{{ echo before; {table} -o /dev/stdout; echo after; }} {behind}")
    assert shown.stderr == ""
    first, *rows, last = shown.stdout.splitlines()
    assert (first, last) == ("before", "after")
    assert rows == program(table).stdout.splitlines()


def test_a_notebook_that_asks_for_colours_gets_lines_and_no_bar(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    kept = io.StringIO()
    with LiveProgress(Console(file=kept)) as progress:
        progress.stage("prepare")
        progress.step(1, 2)
    assert kept.getvalue() == "[00:00] prepare\n"


def test_a_reader_who_goes_away_is_told_nothing():
    shown = program("set -o pipefail; uad-bench list | true")
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", "")


@pytest.mark.parametrize(
    "command", ["list", "data hi", "show hi", "--version", "check thresholding"]
)
def test_a_closed_stdout_is_no_error(command):
    shown = program(f"uad-bench {command} >&-")
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_bad_command_line_is_told_where_stdout_is_closed_and_survives_a_closed_stderr():
    assert program("uad-bench show nobody >&-").stderr.count("\n") == 1
    assert program("uad-bench show nobody 2>&-").returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["list", "data hi", "--help"])
def test_a_full_disk_below_stdout_is_one_line(command, unbuffered):
    shown = program(f"uad-bench {command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert shown.returncode == 2
    (line,) = shown.stderr.splitlines()
    assert line.startswith("error: the disk is full while writing standard output: make room")


def test_a_closed_stream_leaves_its_number_to_nobody(tmp_path):
    """A file that got number 1 would receive what a library prints."""
    file = tmp_path / "file"
    code = (
        "import os, sys; from uad_bench.cli.streams import open_streams; open_streams(); "
        f"stream = open({str(file)!r}, 'w'); print(stream.fileno(), file=sys.stderr)"
    )
    shown = program(f'{sys.executable} -c "{code}" <&- >&-')
    assert int(shown.stderr) > 2


def test_little_memory_is_one_line(monkeypatch, capsys):
    def hungry() -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(application, "_function", lambda target: hungry)
    assert main(["list"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: not enough memory (Unable to allocate 3 TiB): use fewer jobs")
    assert told.count("\n") == 1


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_idle_threads_sleep_soon_unless_the_user_says_how(monkeypatch, chosen):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    found = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    assert {name: value for name, value in found.items() if value} == (
        chosen or {"GOMP_SPINCOUNT": "1000"}
    )
