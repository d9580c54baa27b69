"""Pretrained networks: the right layers, and one line where their weights lack."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet as MonaiResNet
from pydantic import create_model
from torch import nn
from uad_bench.methods.anomaly_dino import AnomalyDINO
from uad_bench.methods.fae import FAE
from uad_bench.methods.padim import PaDiM
from uad_bench.methods.patchcore import PatchCore

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.models.backbones import CHANNELS, BackboneName, find_backbone, load_backbone, vit
from uad_bench.models.backbones.contract import coloured
from uad_bench.models.backbones.resnet import DESIGNS
from uad_bench.models.batches import Batch
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.conformance.toy import toy_dataset
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import load_config
from uad_bench.runner.plan.make import make_plan


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
    for key, shape in DESIGNS[name].expected().items():
        drawn = torch.randn(shape, generator=generator)
        fan = max(1, drawn[0].numel())
        state[key] = drawn.abs() + 0.5 if key.endswith("running_var") else drawn / fan**0.5
    return state


def dino_state(design: vit.Design, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights with the keys and shapes of a vision transformer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(shape, generator=generator) / max(1, shape[-1]) ** 0.5
        for key, shape in sorted(design.expected().items())
    }


def of_blocks(depth: int, name: str = "dinov2-vits14") -> vit.Design:
    """A vision transformer with other than its twelve blocks."""
    return replace(vit.DESIGNS[name], depth=depth)


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
    with torch.no_grad():
        stem = reference.bn1(reference.conv1(coloured(given.image)))
        wanted = [reference.maxpool(reference.act(stem))]
        for stage in (reference.layer1, reference.layer2, reference.layer3):
            wanted.append(stage(wanted[-1]))
        found = list(network.layers(given))
    assert tuple(layer.shape[1] for layer in found) == CHANNELS[name]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_slices_are_normalised_as_photographs_of_imagenet():
    found = coloured(torch.full((1, 1, 2, 2), 0.5))
    assert found[0, :, 0, 0].tolist() == pytest.approx([0.0655, 0.1964, 0.4178], abs=1e-4)


def test_a_wide_resnet_is_twice_as_wide_inside():
    # torchvision: Bottleneck with width_per_group 128
    shapes = DESIGNS["wide-resnet50-2"].expected()
    assert shapes["layer1.0.conv2.weight"] == (128, 128, 3, 3)
    assert shapes["layer3.5.conv3.weight"] == (1024, 512, 1, 1)
    assert shapes["layer2.0.downsample.1.running_mean"] == (512,)
    assert CHANNELS["wide-resnet50-2"] == CHANNELS["resnet50"]


def test_a_vision_transformer_equals_that_of_torch_on_the_same_weights():
    state = dino_state(of_blocks(2))
    state["blocks.1.ls1.gamma"] *= 3
    network = vit.VisionTransformer(of_blocks(2), state, "")
    height = width = 37  # the grid of the learnt positions, which are then taken as they are
    given = batch(4 * height, 4 * width)
    (found,) = network.layers(given)
    picture = nn.functional.interpolate(coloured(given.image), scale_factor=3.5, mode="bilinear")
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    tokens = nn.functional.unfold(picture, 14, stride=14).transpose(1, 2) @ weight.flatten(1).T
    tokens = torch.cat((state["cls_token"].expand(2, -1, -1), tokens + bias), dim=1)
    tokens = tokens + state["pos_embed"]
    for index in range(2):
        block = nn.TransformerEncoderLayer(
            384, 6, 1536, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
        ).eval()
        own = {key.removeprefix(f"blocks.{index}."): value for key, value in state.items()}
        one, two = own["ls1.gamma"], own["ls2.gamma"]  # the scales, as part of the layers before
        block.load_state_dict({
            "self_attn.in_proj_weight": own["attn.qkv.weight"],
            "self_attn.in_proj_bias": own["attn.qkv.bias"],
            "self_attn.out_proj.weight": one[:, None] * own["attn.proj.weight"],
            "self_attn.out_proj.bias": one * own["attn.proj.bias"],
            "linear1.weight": own["mlp.fc1.weight"], "linear1.bias": own["mlp.fc1.bias"],
            "linear2.weight": two[:, None] * own["mlp.fc2.weight"],
            "linear2.bias": two * own["mlp.fc2.bias"],
            **{f"norm{n}.{part}": own[f"norm{n}.{part}"]
               for n in (1, 2) for part in ("weight", "bias")},
        })  # fmt: skip
        with torch.no_grad():
            tokens = block(tokens)
    wanted = nn.functional.layer_norm(
        tokens, (384,), state["norm.weight"], state["norm.bias"], 1e-6
    )
    wanted = wanted[:, 1:].transpose(1, 2).reshape(2, 384, height, width)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_learnt_positions_are_brought_to_the_grid_of_the_slices():
    state = dino_state(of_blocks(0))
    ramp = torch.arange(37.0).repeat_interleave(37) / 36  # rises from row to row
    state["pos_embed"][0, 1:] = ramp[:, None]
    for key in ("cls_token", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        state[key].zero_()
    network = vit.VisionTransformer(of_blocks(0), state, "")
    rows = network._positions(8, 12, 37)[0, 1:, 0].reshape(8, 12)
    assert torch.allclose(rows, rows[:, :1].expand(-1, 12), atol=1e-6)
    torch.testing.assert_close(rows[:, 0], (torch.arange(8) + 0.5) * 37 / 8 / 36 - 0.5 / 36,
                               atol=0.01, rtol=0)  # fmt: skip
    assert [one.shape for one in network.layers(batch())] == [(2, 384, 8, 12)]


def as_transformers_writes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of DINOv3 with the keys of transformers' ``DINOv3ViTModel``."""
    found = {}
    for name, value in state.items():
        key = name
        if ".attn.qkv." in name:
            for part, one in zip("qkv", value.chunk(3), strict=True):
                if (part, one.ndim) != ("k", 1):  # a bias of keys is not written
                    key = name.replace("attn.qkv", f"attention.{part}_proj")
                    found[key.replace("blocks", "layer")] = one.clone()
            continue
        for ours, theirs in (
            ("cls_token", "embeddings.cls_token"),
            ("storage_tokens", "embeddings.register_tokens"),
            ("patch_embed.proj", "embeddings.patch_embeddings"),
            ("blocks", "layer"), ("attn.proj", "attention.o_proj"),
            ("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1"),
            ("fc1", "up_proj"), ("fc2", "down_proj"),
        ):  # fmt: skip
            key = key.replace(ours, theirs)
        found[key] = value
    return found


@pytest.mark.parametrize("layout", ["authors", "transformers"])
def test_tokens_of_dinov3_are_those_of_transformers(layout, tmp_path, monkeypatch):
    small = replace(vit.DESIGNS["dinov3-vits16"], width=16, depth=2, heads=2)
    monkeypatch.setitem(vit.DESIGNS, "dinov3-vits16", small)
    state = dino_state(small)
    if layout == "authors":
        for index in range(2):
            state[f"blocks.{index}.attn.qkv.bias"][16:32] = torch.nan  # no bias of keys is used
    else:
        state = as_transformers_writes(state)
    file = tmp_path / "dinov3.pth"
    torch.save(state, file)
    (found,) = load_backbone("dinov3-vits16", file, None, "cpu").layers(batch(8, 12))
    assert found.shape == (2, 16, 2, 3)
    # transformers 4.57.6: DINOv3ViTModel with these weights, on the same enlarged slices
    wanted = [1.15432, 0.901871, -0.64676, -0.455106, 0.517697, -0.132188, 0.215925, 0.157007]
    assert found[1, :4, 1, 1:].flatten().tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_file_of_dinov3_that_lacks_weights_is_one_line(tmp_path):
    state = as_transformers_writes(dino_state(of_blocks(1, "dinov3-vits16")))
    file = tmp_path / "dinov3.pth"
    torch.save(state, file)
    said = "no blocks.1.attn.qkv.weight .* in its authors' or transformers' layout"
    with pytest.raises(UadBenchError, match=said):
        find_backbone("dinov3-vits16", file, None)


@pytest.fixture(params=["dinov2-vits14", "dinov3-vits16"])
def shallow_dino(request, tmp_path, monkeypatch) -> dict[str, Any]:
    """A file with the weights of one block, and nothing else is asked for."""
    design = of_blocks(1, request.param)
    monkeypatch.setitem(vit.DESIGNS, request.param, design)
    file = tmp_path / "weights.pth"
    torch.save(dino_state(design), file)
    return {"backbone": request.param, "weights": file}


def test_anomaly_dino_keeps_the_contract_on_weights_from_a_file(shallow_dino):
    chosen = {key: (type(value), value) for key, value in shallow_dino.items()}
    params = create_model("Params", __base__=AnomalyDINO.Params, memory=(int, 50), **chosen)
    assert check_method(type("Filed", (AnomalyDINO,), {"Params": params})) == []


def test_anomaly_dino_says_one_minus_the_cosine_to_the_nearest_token(shallow_dino):
    method = AnomalyDINO(AnomalyDINO.Params(**shallow_dino, memory=40))
    toy = toy_dataset()
    method.fit(toy.train, toy.validation, toy.context(frozenset(), 0))
    scan = toy.scans[0]
    given = Batch.read(scan, np.arange(2), torch.device("cpu"))
    (tokens,) = method.layers(given)
    kept = method.memory_.patches.double()
    for place in ((0, 3, 7), (1, 9, 4)):
        one = tokens[place[0], :, place[1], place[2]].double()
        cosines = kept @ one / (kept.norm(dim=1) * one.norm())
        found = method.distance(given)[place].item()
        assert found == pytest.approx(1 - cosines.max().item(), abs=1e-5)


def test_anomaly_dino_without_weights_is_one_line_when_planned():
    with pytest.raises(
        UadBenchError, match="dinov2-vits14 needs a weight file: set its parameter weights"
    ):
        AnomalyDINO.resolve(AnomalyDINO.Params())


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
    with pytest.raises(
        UadBenchError, match="resnet50 needs a weight file: set its parameter weights"
    ):
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
    assert line.startswith(f"error: patchcore: weights {file}: SHA-256 is ")
    assert list(tmp_path.iterdir()) == [file]


def test_a_detector_is_known_by_the_content_of_its_weight_file(tmp_path):
    file, planned = tmp_path / "weights.pth", []
    asked = {"patchcore.backbone": "resnet18", "patchcore.weights": str(file)}
    given = {"methods": "patchcore", "datasets": "mslub", "param": asked, "controls": ""}
    config = load_config(None, given)
    for seed in (0, 0, 1):
        torch.save(resnet_state(seed=seed), file)
        planned.append(make_plan(config, open_registry(config.plugin)).methods[0].params)
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        assert planned[-1].weights_sha256 == checksum
    assert planned[0] == planned[1] != planned[2]


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
