"""Bad input is one line before anything is written."""

from __future__ import annotations

import pytest
from box_runs import arguments, uad_bench


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--methods", "gmave"], "Did you mean 'gmvae'?"),
        (["--datasets", "mslab"], "Did you mean 'mslub'?"),
        (["--datasets", "hi"], "a healthy dataset trains detectors"),
        (["--datasets", "brats"], "dataset brats is not in"),
        (["--data-root", "nowhere"], "nowhere"),
        (["--param", "spa.beta=1"], "its method is not part of this run"),
        (
            ["--methods", "thresholding", "--param", "thresholding.variant=rank"],
            "--param thresholding.variant",
        ),
        (["--methods", "thresholding", "--param", "thresholding.sigma=1"], "unknown; thresholding"),
        (["--param", "beta"], "write METHOD.NAME=VALUE"),
        (["--config", "nested.yaml"], "nested.yaml: param box: write METHOD.NAME=VALUE"),
        (["--device", "cuda:7"], "--device cuda:7"),
        (["--methods", "spa", "--param", "spa.snr=0"], "--param spa.snr"),
        (["--methods", "spa", "--param", "spa.snr=["], "--param spa.snr"),
        (["--train", "wmh"], "--train wmh: a dataset of patients"),
        (["--recipe", "paper.yaml"], "--recipe paper.yaml: No such file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(lab, cache, box, tmp_path, change, said):
    (tmp_path / "nested.yaml").write_text("param: {box: {width: 1}}\n")
    done = uad_bench(*arguments(lab, cache, box), *change, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()
