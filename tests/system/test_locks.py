"""A lock is held by one process at a time, a wait for it ends, and says for whom it waits."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import uad_bench
from uad_bench.errors import UadBenchError
from uad_bench.system import locks
from uad_bench.system.locks import HeldError, Holder, held

ELSEWHERE = Holder("node7", "pid:[1]", 4711, "anna", "2026-11-26 14:00:00+00:00")


@pytest.fixture(params=["flock", *(errno.errorcode[code] for code in locks._NO_LOCKS[:3])])
def kind(request, monkeypatch):
    """A file system with ``flock``, and those that refuse it in their ways."""
    if request.param != "flock":
        code = getattr(errno, request.param)

        def refuse(*_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(locks.fcntl, "flock", refuse)
    return request.param


@pytest.fixture
def quick(monkeypatch):
    """Waits of an hour in a second."""
    for name, value in {"NOTE_S": 0.1, "QUIET_S": 0.6, "_LOOK_S": 0.02, "_BEAT_S": 0.1}.items():
        monkeypatch.setattr(locks, name, value)


def dead_process() -> Holder:
    """A process of this machine that is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return Holder(socket.gethostname(), locks._space(), gone.pid, "anna", "yesterday")


def leave(file: Path, holder: Holder) -> Path:
    """Leave a mark behind, as a kill does on a file system without ``flock``."""
    mark = file.with_name(f"{file.name}.held")
    mark.write_text(json.dumps(asdict(holder)))
    return mark


def test_one_at_a_time_and_the_next_one_after_it(kind, tmp_path):
    file = tmp_path / "folder" / "a.lock"
    with (
        held(file),
        pytest.raises(HeldError, match=f"held by process {os.getpid()} of "),
        held(file, wait=False),
    ):
        pass
    with held(file, wait=False):
        pass


def test_a_wait_ends_with_the_holder_and_says_who_it_was(quick, tmp_path):
    file = tmp_path / "a.lock"
    code = (
        "import sys, time; from pathlib import Path; from uad_bench.system.locks import held\n"
        f"with held(Path({str(file)!r})):\n    print('in', flush=True); time.sleep(1.5)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.MonkeyPatch.context() as patch:
            told: list[str] = []
            patch.setattr(locks._log, "warning", lambda text, *args: told.append(text % args))
            with held(file):  # it lives on this machine: longer than QUIET_S is right
                pass
    assert len(told) == 1
    assert told[0].startswith("note: waiting since 0 s for ")
    assert f"held by process {other.pid} of " in told[0]
    assert f" on {socket.gethostname()} since " in told[0]


def test_the_note_reaches_the_screen_as_it_is(quick, tmp_path):
    file = tmp_path / "a.lock"
    code = (
        "from pathlib import Path; from uad_bench.system import locks\n"
        "locks.NOTE_S, locks.QUIET_S, locks._LOOK_S = 0.1, 0.4, 0.02\n"
        f"with locks.held(Path({str(file)!r})): pass\n"
    )
    leave(file, ELSEWHERE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("note: waiting since 0 s for ")
    assert "process 4711 of anna on node7 since 2026-11-26" in first
    assert "without a sign of life" in last


def test_a_killed_process_leaves_no_lock(kind, tmp_path):
    file = tmp_path / "a.lock"
    leave(file, dead_process())
    with held(file, wait=False):
        pass


def test_a_holder_elsewhere_without_a_sign_of_life_ends_the_wait_with_what_to_do(
    kind, quick, tmp_path
):
    file = tmp_path / "a.lock"
    mark = leave(file, ELSEWHERE)
    with (
        pytest.raises(
            HeldError, match=r"of anna on node7 .*without a sign of life for .*delete"
        ) as told,
        held(file),
    ):
        pass
    assert str(mark) in str(told.value)
    assert mark.exists(), "nobody here can know whether it still runs"


def test_a_holder_elsewhere_that_lives_is_waited_for(quick, tmp_path):
    file = tmp_path / "a.lock"
    mark = leave(file, ELSEWHERE)
    code = (
        "import os, sys, time\n"
        "for n in range(15): os.utime(sys.argv[1], (n, n)); time.sleep(0.1)\n"
        "os.unlink(sys.argv[1])\n"
    )
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code, str(mark)]), held(file):
        assert time.monotonic() - started > 1.2  # twice the QUIET_S


def test_a_holder_shows_life(kind, quick, tmp_path):
    with held(tmp_path / "a.lock"):
        (place,) = {locks._mark(tmp_path / "a.lock"), tmp_path / "a.lock"} & set(
            tmp_path.iterdir()
        ) - ({tmp_path / "a.lock"} if kind != "flock" else set())
        os.utime(place, (0, 0))
        time.sleep(0.5)
        assert place.stat().st_mtime > 0


def test_a_lock_whose_file_was_deleted_is_another_lock(tmp_path):
    file = tmp_path / "a.lock"
    with held(file):
        file.unlink()
        with held(file, wait=False):
            pass


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.os, "open", _refuse)
    with (
        pytest.raises(UadBenchError, match=r"a\.lock: Permission denied, and"),
        held(tmp_path / "a.lock"),
    ):
        pass


def _refuse(path, *_):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_place_without_room_for_a_lock_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UadBenchError, match=r"name another folder \(--cache"),
        held(tmp_path / "file" / "a"),
    ):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_users_lock_is_taken_where_it_can_be_read(tmp_path):
    """The other one's umask keeps the file from being written, and his lock is free."""
    closed = [one for one in Path(uad_bench.__file__).parents if not one.stat().st_mode & 0o001]
    if closed:
        pytest.skip(f"the other user may not enter {closed[0]}, where this package is")
    with held(tmp_path / "a.lock"):
        pass
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:3]:  # one of them may be /tmp, which keeps what it has
        folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import sys; from pathlib import Path; from uad_bench.system.locks import held\n"
        "with held(Path(sys.argv[1])): print('in')"
    )
    shown = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            sys.executable,
            "-c",
            code,
            str(tmp_path / "a.lock"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if "Permission denied" in shown.stderr and "setpriv" in shown.stderr:
        pytest.skip("the other user may not run this Python")
    assert (shown.stdout, shown.stderr) == ("in\n", "")
