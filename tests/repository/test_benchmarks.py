"""The table of a GPU: who measures one seldom has it a second time."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

from benchmarks import device, page
from benchmarks.measure import Row


def test_a_piece_that_fails_on_a_gpu_takes_no_other_with_it(monkeypatch, tmp_path, capsys):
    def fail(name, *_):
        raise RuntimeError(f"{name}: CUDA error: an illegal memory access")

    def absent(package):
        if package == "monai":  # of an extra that a GPU is measured without
            raise PackageNotFoundError(package)
        return version(package)

    def row(*given):
        return [Row(work=f"work {given[0] if given else 'tests'}", ours="1 s", got="2x")]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(page, "version", absent)
    monkeypatch.setattr(device, "slices", lambda _: None)
    monkeypatch.setattr(device, "trained", fail)
    for name in ("paid", "scored", "agreed", "tested"):
        monkeypatch.setattr(device, name, row)
    file = tmp_path / "device.md"
    monkeypatch.setattr(sys, "argv", ["device", "--page", str(file)])
    device.main()
    text = file.read_text(encoding="utf-8")
    assert "| training VAE, batch 2 |" in text
    assert "RuntimeError, see the traceback" in text
    assert "work tests" in text
    assert "`python -m benchmarks.device`." in text
    assert "illegal memory access" in capsys.readouterr().err


def test_what_a_gpu_has_no_time_for_is_in_its_table(monkeypatch):
    monkeypatch.setattr(device, "slices", lambda _: None)
    found = list(device.measured("cuda:0", end=-1.0))
    assert [row.got for row in found] == ["no time left"] * 13
    assert found[-1].work == "tests marked gpu"


@pytest.mark.parametrize("command", [page.COMMAND, device.COMMAND])
def test_a_page_names_the_command_that_makes_it(command):
    assert f"made again by\n{command}.\n" in page.page({}, command)
