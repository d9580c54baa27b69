"""Fetching: whole files or none, resumed where they broke off, and one line for each failure."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pytest

from uad_bench.cli import main
from uad_bench.cli.overview import COMMANDS
from uad_bench.dataset import Dataset, Download, RemoteFile
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import discover
from uad_bench.system.locks import held
from uad_bench.volumes.files import download as module
from uad_bench.volumes.files.download import SUMS, FetchState, fetch


@dataclass
class Server:
    """Serves ``files`` with ranges; per path, the next answers may break off or be an error."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    ranges: bool = True
    pause_s: float = 0.0
    address: str = ""

    def download(self, *paths: str, **known: str) -> Download:
        files = tuple(RemoteFile(path, known.get(path)) for path in paths or sorted(self.files))
        return Download((self.address,), files, 1)


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, wanted = unquote(self.path.lstrip("/")), self.headers.get("Range")
            server.asked.append((path, wanted))
            if server.errors.get(path):
                self.send_error(server.errors[path].pop(0))
                return
            if path not in server.files:
                self.send_error(404)
                return
            content = server.files[path]
            start = int(re.findall(r"\d+", wanted)[0]) if wanted and server.ranges else 0
            if wanted and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if wanted and server.ranges else 200)
            if wanted and server.ranges:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = server.breaks[path].pop(0) if server.breaks.get(path) else len(content)
            for at in range(start, end, 4096):
                self.wfile.write(content[at : min(at + 4096, end)])
                time.sleep(server.pause_s)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    http.daemon_threads = True
    state.address = f"http://127.0.0.1:{http.server_port}/"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def nifti(seed: int = 0, size: int = 24) -> bytes:
    data = np.random.default_rng(seed).normal(size=(size, size, size)).astype(np.float32)
    return gzip.compress(nib.Nifti1Image(data, np.eye(4)).to_bytes(), 1, mtime=0)


def quick(download: Download, folder: Path, **options: object) -> tuple[str, ...]:
    return fetch(download, folder, pauses=(0.0, 0.0), **options)  # type: ignore[arg-type]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names(folder: Path) -> set[str]:
    found = {path.name for path in folder.rglob("*") if path.is_file()}
    return found - {".get.lock", SUMS}


def test_every_file_arrives_and_a_second_call_asks_for_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.files = {f"p{k}/FLAIR.nii.gz": nifti(k) for k in range(6)}
    states: list[FetchState] = []
    fetched = quick(server.download(), tmp_path / "new", on_progress=states.append)
    assert fetched == tuple(sorted(server.files))
    for path, content in server.files.items():
        assert (tmp_path / "new" / path).read_bytes() == content
    assert (states[-1].whole, states[-1].total) == (6, 6)
    assert states[-1].received == sum(map(len, server.files.values()))
    asked = len(server.asked)
    assert quick(server.download(), tmp_path / "new") == ()
    assert len(server.asked) == asked


def test_the_record_is_what_sha256sum_checks(server: Server, tmp_path: Path) -> None:
    server.files = {"a.nii.gz": nifti(1), "b/c d.nii.gz": nifti(2)}
    quick(server.download(), tmp_path)
    check = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path, capture_output=True, check=True)
    assert check.stdout.count(b": OK") == 2


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_broken_connection_is_resumed_where_it_broke_off(
    server: Server, tmp_path: Path, ranges: bool
) -> None:
    content = nifti()
    server.files, server.ranges = {"a.nii.gz": content}, ranges
    server.breaks = {"a.nii.gz": [10_000, 10_000, 20_000, 30_000]}
    quick(server.download(**{"a.nii.gz": sha256(content)}), tmp_path)
    assert (tmp_path / "a.nii.gz").read_bytes() == content
    tries = [wanted for _, wanted in server.asked]
    later = ["bytes=10000-", "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    assert tries == [None, *later] if ranges else tries[0] is None


def test_a_server_that_always_breaks_off_at_one_place_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.files, server.ranges = {"a.nii.gz": nifti()}, False
    server.breaks = {"a.nii.gz": [10_000] * 99}
    with pytest.raises(UadBenchError, match=r"a\.nii\.gz: the connection breaks off"):
        quick(server.download(), tmp_path)
    assert names(tmp_path) == {"a.nii.gz.part"}


def test_a_part_of_an_earlier_call_is_resumed(server: Server, tmp_path: Path) -> None:
    content = nifti()
    server.files = {"a.nii.gz": content}
    (tmp_path / "a.nii.gz.part").write_bytes(content[:5000])
    quick(server.download(), tmp_path)
    assert server.asked == [("a.nii.gz", "bytes=5000-")]
    assert (tmp_path / "a.nii.gz").read_bytes() == content
    assert names(tmp_path) == {"a.nii.gz"}


def test_a_part_that_was_whole_already_is_only_renamed(server: Server, tmp_path: Path) -> None:
    content = nifti()
    server.files = {"a.nii.gz": content}
    (tmp_path / "a.nii.gz.part").write_bytes(content)
    quick(server.download(), tmp_path)
    assert (tmp_path / "a.nii.gz").read_bytes() == content


@pytest.mark.parametrize("part", [b"x" * 5000, b"x" * 10_000_000], ids=["short", "too long"])
def test_a_part_of_something_else_is_thrown_away(
    server: Server, tmp_path: Path, part: bytes
) -> None:
    content = nifti()
    server.files = {"a.nii.gz": content}
    (tmp_path / "a.nii.gz.part").write_bytes(part)
    quick(server.download(**{"a.nii.gz": sha256(content)}), tmp_path)
    assert (tmp_path / "a.nii.gz").read_bytes() == content


def test_wrong_bytes_are_deleted_and_named_and_the_others_arrive(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"a.nii.gz": nifti(1), "b.nii.gz": nifti(2)}
    wrong = server.download(**{"a.nii.gz": sha256(b"other")})
    with pytest.raises(UadBenchError, match=r"1 of 2 files .*a\.nii\.gz: its SHA-256 is") as caught:
        quick(wrong, tmp_path)
    assert sha256(b"other") in str(caught.value)
    assert names(tmp_path) == {"b.nii.gz"}


def test_a_wrong_size_is_refused(server: Server, tmp_path: Path) -> None:
    server.files = {"a.nii.gz": nifti(1)}
    download = Download((server.address,), (RemoteFile("a.nii.gz", size=7),), 1)
    with pytest.raises(UadBenchError, match="bytes, not 7"):
        quick(download, tmp_path)
    assert names(tmp_path) == set()


BAD = {
    "cut.nii.gz": nifti()[:-100],
    "page.nii.gz": b"<html>please log in</html>",
    "text.nii.gz": gzip.compress(b"hello"),
    "voxels.nii.gz": gzip.compress(gzip.decompress(nifti())[:-100]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_first_copy_that_is_no_whole_nifti_is_refused(
    server: Server, tmp_path: Path, name: str
) -> None:
    server.files = {name: BAD[name]}
    with pytest.raises(UadBenchError, match=rf"{name}: not a whole nii\.gz file"):
        quick(server.download(), tmp_path)
    assert names(tmp_path) == set()


def test_nifti_2_is_whole_too(server: Server, tmp_path: Path) -> None:
    image = nib.Nifti2Image(np.zeros((3, 4, 5), np.uint8), np.eye(4))
    server.files = {"a.nii.gz": gzip.compress(image.to_bytes()), "b.nii": image.to_bytes()}
    assert len(quick(server.download(), tmp_path)) == 2


def test_what_was_recorded_holds_from_then_on(server: Server, tmp_path: Path) -> None:
    first = nifti(1)
    server.files = {"a.nii.gz": first, "b.nii.gz": nifti(2)}
    quick(server.download(), tmp_path)
    (tmp_path / "a.nii.gz").write_bytes(nifti(3))  # as whole as the first, but not it
    assert quick(server.download(), tmp_path) == ("a.nii.gz",)
    assert (tmp_path / "a.nii.gz").read_bytes() == first
    (tmp_path / "a.nii.gz").unlink()
    server.files["a.nii.gz"] = nifti(4)
    with pytest.raises(UadBenchError, match=r"a\.nii\.gz: its SHA-256 is"):
        quick(server.download(), tmp_path)
    assert names(tmp_path) == {"b.nii.gz"}


def test_a_copy_from_elsewhere_is_kept_and_recorded(server: Server, tmp_path: Path) -> None:
    server.files = {"a.nii.gz": nifti()}
    (tmp_path / "a.nii.gz").write_bytes(nifti())
    assert quick(server.download(), tmp_path) == ()
    assert server.asked == []
    assert sha256(nifti()) in (tmp_path / SUMS).read_text()


def test_a_file_that_the_first_source_lacks_comes_from_the_second(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"new/a.nii.gz": nifti(1), "old/b.nii.gz": nifti(2), "new/b.nii.gz": nifti(3)}
    sources = (f"{server.address}old/", f"{server.address}new/")
    files = (RemoteFile("a.nii.gz"), RemoteFile("b.nii.gz"))
    quick(Download(sources, files, 1), tmp_path)
    assert (tmp_path / "a.nii.gz").read_bytes() == nifti(1)
    assert (tmp_path / "b.nii.gz").read_bytes() == nifti(2)


def test_a_file_that_is_gone_is_named_and_the_others_arrive(server: Server, tmp_path: Path) -> None:
    server.files = {"a.nii.gz": nifti(1), "c.nii.gz": nifti(2)}
    download = server.download("a.nii.gz", "b.nii.gz", "c.nii.gz")
    with pytest.raises(UadBenchError, match=r"1 of 3 files .*/b\.nii\.gz: HTTP 404"):
        quick(download, tmp_path)
    assert names(tmp_path) == {"a.nii.gz", "c.nii.gz"}


def test_a_passing_error_is_tried_again_and_a_lasting_one_is_not(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"a.nii.gz": nifti(1), "b.nii.gz": nifti(2)}
    server.errors = {"a.nii.gz": [503, 429]}
    assert len(quick(server.download(), tmp_path / "passing")) == 2
    server.errors = {"a.nii.gz": [403, 403]}
    with pytest.raises(UadBenchError, match=r"a\.nii\.gz: HTTP 403 Forbidden"):
        quick(server.download(), tmp_path / "lasting")
    assert server.errors["a.nii.gz"] == [403]


def test_no_network_is_one_line(tmp_path: Path) -> None:
    files = tuple(RemoteFile(f"{k}.nii.gz") for k in range(9))
    with pytest.raises(
        UadBenchError, match=r"9 of 9 .*no connection .*check the network"
    ) as caught:
        quick(Download(("http://127.0.0.1:9/",), files, 1), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_keeps_what_is_whole(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {"a.nii.gz": nifti(1), "b.nii.gz": nifti(2)}
    genuine = os.fsync
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(handle)

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(UadBenchError, match=r"the disk is full while writing .*b\.nii\.gz"):
        quick(server.download(), tmp_path, connections=1)
    assert (tmp_path / "a.nii.gz").read_bytes() == nifti(1)
    assert not (tmp_path / "b.nii.gz").exists()
    assert quick(server.download(), tmp_path) == ("b.nii.gz",)


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    server.files = {"a.nii.gz": nifti()}
    with (
        held(tmp_path / ".get.lock"),
        pytest.raises(UadBenchError, match="another process is fetching"),
    ):
        quick(server.download(), tmp_path)


SCRIPT = """
import sys
from pathlib import Path
from uad_bench.dataset import Download, RemoteFile
from uad_bench.volumes.files.download import fetch
files = (RemoteFile("a.nii.gz"), RemoteFile("b.nii.gz"))
fetch(Download((sys.argv[1],), files, 1), Path(sys.argv[2]), connections=1)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_an_interrupted_download_leaves_whole_files_and_goes_on(
    server: Server, tmp_path: Path, sign: signal.Signals
) -> None:
    server.files = {"a.nii.gz": nifti(1), "b.nii.gz": nifti(2, 64)}
    server.pause_s = 0.02
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, server.address, str(tmp_path)])
    part = tmp_path / "b.nii.gz.part"
    while not (part.exists() and part.stat().st_size > 8192):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sign)
    process.wait()
    assert names(tmp_path) == {"a.nii.gz", "b.nii.gz.part"}
    server.pause_s = 0.0
    assert quick(server.download(), tmp_path) == ("b.nii.gz",)
    assert server.asked[-1][1] is not None
    assert (tmp_path / "b.nii.gz").read_bytes() == server.files["b.nii.gz"]


class _Fake:
    """A stand-in registry with one dataset."""

    cls: ClassVar[type[Dataset]]

    def dataset(self, name: str) -> type[Dataset]:
        return self.cls


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "get", ("uad_bench.cli.commands.get:get", "Fetch a dataset."))


@pytest.fixture
def mslub(server: Server, registered: None, monkeypatch: pytest.MonkeyPatch) -> type[Dataset]:
    """The real adapter, with the test's server as its source, which has all of its files."""
    genuine = discover().dataset("mslub")
    assert genuine.info.download is not None
    server.files = {file.path: nifti(7, 6) for file in genuine.info.download.files}
    served = Download((server.address,), genuine.info.download.files, 1)
    info = genuine.info
    fields = {name: getattr(info, name) for name in info.__dataclass_fields__}
    changed = type(info)(**{**fields, "download": served})
    _Fake.cls = type("Mslub", (genuine,), {"info": changed})
    monkeypatch.setattr("uad_bench.cli.commands.get.open_registry", lambda plugin: _Fake())
    return _Fake.cls


def command(*arguments: object) -> int:
    return main(["get", *map(str, arguments)])


def test_mslub_arrives_in_the_layout_its_adapter_reads(
    mslub: type[Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("mslub", "--data-root", tmp_path / "data", "--accept-licence")
    assert command(*arguments) == 0
    assert "30 scans, all files right (60 fetched, 0 were there)" in capsys.readouterr().out
    scans = list(mslub().scans(tmp_path / "data" / "mslub"))
    assert [scan.subject for scan in scans] == [f"patient{k:02d}" for k in range(1, 31)]
    assert {scan.space for scan in scans} == {"mni152"}
    assert all(scan.flair.is_file() and scan.lesion[0].is_file() for scan in scans)
    assert command(*arguments) == 0
    assert "(0 fetched, 60 were there)" in capsys.readouterr().out


def test_without_acceptance_the_terms_are_shown_and_nothing_is_fetched(
    mslub: type[Dataset], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mslub", "--data-root", tmp_path / "data") == 2
    shown = capsys.readouterr()
    for part in ("CC BY", "Lesjak et al. (2018)", "@article", "60 files", str(tmp_path / "data")):
        assert part in shown.out
    assert len(shown.err.splitlines()) == 1
    assert "--accept-licence" in shown.err
    assert server.asked == []
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_gone_makes_the_command_fail_in_one_line(
    mslub: type[Dataset], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = sorted(server.files)[5]
    del server.files[gone]
    assert command("mslub", "--data-root", tmp_path, "--accept-licence") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(error) == 1
    assert f"1 of 60 files are lacking: {server.address}{gone}: HTTP 404" in error[0]


def test_an_existing_folder_of_the_dataset_is_completed(
    mslub: type[Dataset], tmp_path: Path
) -> None:
    (tmp_path / "open_ms_data").mkdir()
    assert command("mslub", "--data-root", tmp_path, "--accept-licence") == 0
    assert (tmp_path / "open_ms_data" / "cross_sectional" / "MNI" / "patient30").is_dir()


def test_without_a_data_root_one_line_says_what_to_give(
    mslub: type[Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mslub", "--accept-licence") == 2
    assert "--data-root" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["brats", "wmh", "msisbi", "gbi", "bids"])
def test_a_dataset_to_be_fetched_by_hand_shows_where_and_into_what(
    name: str, registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    info = discover().dataset(name).info
    assert command(name) == 0
    shown = capsys.readouterr().out
    assert "by hand" in shown
    assert info.obtain in shown
    assert all(line.strip() in shown for line in info.layout.splitlines())


def test_an_unknown_dataset_is_refused(
    registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mslubb") == 2
    assert "Did you mean" in capsys.readouterr().err
