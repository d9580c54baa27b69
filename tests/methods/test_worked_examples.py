"""The methods that the documentation shows keep the contract and learn, as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from uad_bench.cli import main
from uad_bench.method import FitContext, Method, Slices
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import read_plugin

DOCS = Path(__file__).resolve().parents[2] / "docs" / "how-to"
MOST_LINES = {"mean-intensity": 25, "plain-autoencoder": 45, "adversarial-pair": 80}
SIZE = 32


def examples() -> dict[str, str]:
    """The plugin files that the pages show, by the name of their method."""
    found = {}
    for page in ("add-a-method.md", "train-a-network.md"):
        for code in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
            if name := re.search(r'^    info = MethodInfo\("([^"]+)"', code, re.MULTILINE):
                found[name[1]] = code
    return found


@pytest.fixture(params=sorted(MOST_LINES))
def method(request, tmp_path) -> type[Method]:
    """A printed method, read as a plugin file."""
    file = tmp_path / f"{request.param.replace('-', '_')}.py"
    file.write_text(examples()[request.param])
    cls: type[Method] = read_plugin(file).load()
    assert cls.info.name == request.param
    return cls


def brains(count: int, seed: int = 0) -> Slices:
    """Discs of two tissues, with noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = np.hypot(row, column)[None, None] / rng.uniform(11, 15, (count, 1, 1, 1))
    image = np.where(radius < 0.6, 0.5, 0.65) + rng.normal(0, 0.02, radius.shape)
    brain = radius < 1
    values = np.where(brain, image, 0).astype(np.float32)
    return Slices(values, brain, np.arange(count) % 7, (2.0, 6.0, 6.0))


def test_a_printed_method_keeps_every_rule(method):
    assert check_method(method) == []


def test_a_printed_method_sees_a_bright_lesion(method):
    trained = "steps" in method.Params.model_fields
    detector = method(method.Params(steps=80, batch_size=8) if trained else None)
    report = detector.fit(brains(32), brains(8, seed=1), FitContext(0))
    if trained:
        curve = [value for _, value in report.curves["validation_l1"]]
        assert curve[-1] < 0.5 * np.abs(brains(8, seed=1).image).mean()
    scan = brains(4, seed=2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 18:21, 12:15] = True
    scan.image[lesion] = 0.95
    score = detector.score(scan)
    assert np.median(score[lesion]) > np.quantile(score[scan.brain & ~lesion], 0.95)


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_a_printed_method_stays_as_short_as_the_page_says(name, most):
    assert len(examples()[name].splitlines()) <= most


def test_check_says_of_the_printed_autoencoder_what_the_page_says(tmp_path, capsys):
    file = tmp_path / "plain_autoencoder.py"
    file.write_text(examples()["plain-autoencoder"])
    assert main(["check", str(file)]) == 0
    line = re.search(r"^plain-autoencoder: .*$", (DOCS / "train-a-network.md").read_text(), re.M)
    assert line is not None
    assert line[0] in capsys.readouterr().out.replace(f"{tmp_path}/", "")
