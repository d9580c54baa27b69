"""Pretrained networks: the right layers, and one line where their weights lack."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet as MonaiResNet
from pydantic import create_model
from uad_bench.methods.fae import FAE
from uad_bench.methods.padim import PaDiM
from uad_bench.methods.patchcore import PatchCore

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.models.backbones import CHANNELS, BackboneName, find_backbone, load_backbone
from uad_bench.models.backbones.resnet import DESIGNS, IMAGENET_MEAN, IMAGENET_SD, expected
from uad_bench.models.batches import Batch
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import load_config
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.plan.plan import make_plan


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def resnet_state(name: str = "resnet18", seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights with the keys and shapes that are looked at."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in expected(DESIGNS[name]).items():
        drawn = torch.randn(shape, generator=generator)
        fan = max(1, drawn[0].numel())
        state[key] = drawn.abs() + 0.5 if key.endswith("running_var") else drawn / fan**0.5
    return state


def batch(height: int = 32, width: int = 48) -> Batch:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(2, 1, height, width, generator=generator)
    return Batch(image, torch.ones_like(image, dtype=torch.bool), torch.arange(2), (2.0, 1.5, 1.5))


@pytest.mark.parametrize(("name", "kind", "blocks"), [
    ("resnet18", "basic", [2, 2, 2, 1]),
    ("resnet50", "bottleneck", [3, 4, 6, 1]),
])  # fmt: skip
def test_a_resnet_equals_that_of_monai_on_the_same_weights(tmp_path, name, kind, blocks):
    reference = MonaiResNet(
        kind, blocks, [64, 128, 256, 512], spatial_dims=2, n_input_channels=3, conv1_t_size=7,
        conv1_t_stride=2, bias_downsample=False,
    ).eval()  # fmt: skip
    missing, _ = reference.load_state_dict(resnet_state(name), strict=False)
    assert all(key.startswith(("layer4", "fc")) for key in missing)
    file = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), file)
    network = load_backbone(name, file, None, "cpu")
    assert network.source.startswith(f"{name}, SHA-256 ")
    given = batch()
    mean, sd = (torch.tensor(part)[:, None, None] for part in (IMAGENET_MEAN, IMAGENET_SD))
    with torch.no_grad():
        wanted = [reference.maxpool(reference.act(reference.bn1(reference.conv1(
            (given.image - mean) / sd))))]  # fmt: skip
        for stage in (reference.layer1, reference.layer2, reference.layer3):
            wanted.append(stage(wanted[-1]))
        found = list(network.layers(given))
    assert tuple(layer.shape[1] for layer in found) == CHANNELS[name]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_wide_resnet_is_twice_as_wide_inside():
    # torchvision: Bottleneck with width_per_group 128
    shapes = expected(DESIGNS["wide-resnet50-2"])
    assert shapes["layer1.0.conv2.weight"] == (128, 128, 3, 3)
    assert shapes["layer3.5.conv3.weight"] == (1024, 512, 1, 1)
    assert shapes["layer2.0.downsample.1.running_mean"] == (512,)
    assert CHANNELS["wide-resnet50-2"] == CHANNELS["resnet50"]


def test_every_network_has_the_channels_that_it_says(tmp_path):
    layers = load_backbone("efficientnet-lite0", None, None, "cpu").layers(batch())
    assert [layer.shape[1:3] for layer in layers] == [(16, 16), (24, 8), (40, 4), (112, 2)]


def test_a_method_keeps_the_contract_on_weights_from_a_file(tmp_path):
    file = tmp_path / "resnet18.pth"
    torch.save(resnet_state(), file)
    chosen = {"backbone": (BackboneName, "resnet18"), "weights": (Path | None, file)}
    params = create_model("Params", __base__=PatchCore.Params, memory=(int, 50), **chosen)
    assert check_method(type("Filed", (PatchCore,), {"Params": params})) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"no weights", "not a state dict"),
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, "no conv1.weight of shape"),
        ({k: v for k, v in resnet_state().items() if "layer3.1" not in k}, "no layer3.1"),
    ],
    ids=["absent", "text", "shape", "keys"],
)
def test_a_wrong_weight_file_is_one_line(tmp_path, content, said):
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(UadBenchError, match=said) as caught:
        FAE.resolve(FAE.Params(backbone="resnet18", weights=file))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_named_or_not_looked_at_are_told(tmp_path):
    with pytest.raises(UadBenchError, match="resnet50 needs a weight file: set weights"):
        find_backbone("resnet50", None, None)
    with pytest.raises(UadBenchError, match="leave out weights"):
        find_backbone("efficientnet-lite0", tmp_path / "any.pth", None)


def test_a_run_with_other_weights_than_said_is_refused_before_any_data(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.pth"
    torch.save(resnet_state(), file)
    given = {"backbone": "resnet18", "weights": file, "weights_sha256": "a" * 64}
    flags = [w for key, value in given.items() for w in ("--param", f"patchcore.{key}={value}")]
    command = ["run", "--methods", "patchcore", "--datasets", "mslub", "--cache", "cache"]
    assert main([*command, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: weights {file}: SHA-256 is ")
    assert list(tmp_path.iterdir()) == [file]


def test_a_detector_is_known_by_the_content_of_its_weight_file(tmp_path):
    file, keys = tmp_path / "weights.pth", []
    asked = {"patchcore.backbone": "resnet18", "patchcore.weights": str(file)}
    given = {"methods": "patchcore", "datasets": "mslub", "param": asked, "controls": ""}
    config = load_config(None, given)
    results, nobody = ResultsFolder(tmp_path / "results"), lambda event: None
    trainer = Trainer(SimpleNamespace(manifest_hash="data"), results, config, "cpu", nobody)
    for seed in (0, 0, 1):
        torch.save(resnet_state(seed=seed), file)
        params = make_plan(config, open_registry(config.plugin), "cpu").methods[0].params
        assert params.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        keys.append(trainer.key(PatchCore, params, 0))
    assert keys[0] == keys[1] != keys[2]


def test_padim_draws_no_more_channels_than_there_are():
    with pytest.raises(UadBenchError, match="channels 81, but efficientnet-lite0 has 80"):
        PaDiM.resolve(PaDiM.Params(channels=81))
    assert PaDiM.resolve(PaDiM.Params(channels=80)).channels == 80


def test_layers_that_are_not_asked_for_are_not_computed(monkeypatch):
    seen: list[int] = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda *a, **k: (seen.append(1), convolve(*a, **k))[1]
    )
    counts = []
    for cls, levels in ((PatchCore, (0, 1)), (PatchCore, (0, 3))):
        monkeypatch.setattr(cls, "levels", levels)
        seen.clear()
        cls().layers(batch())
        counts.append(len(seen))
    assert np.all(np.diff(counts) > 0)
