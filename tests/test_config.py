"""One vocabulary: a YAML key is a flag's name, flags win, and every mistake is named at once."""

from pathlib import Path

import pytest

from uad_bench.errors import UadBenchError
from uad_bench.runner.config import load_config


def yaml_file(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text)
    return file


def test_yaml_keys_are_flag_names_and_flags_win(tmp_path):
    file = yaml_file(tmp_path, "methods: [spa, vae]\ndata-root: lab\nseeds: 0,1\ntrials: 9\n")
    config = load_config(file, {"trials": 2, "methods": None})
    assert config.methods == ("spa", "vae")
    assert config.data_root == Path("lab")
    assert config.seeds == (0, 1)
    assert config.trials == 2


def test_parameters_of_file_and_flags_are_merged(tmp_path):
    file = yaml_file(tmp_path, "methods: spa\nparam: {spa.beta: 0.1, spa.snr: 4}\n")
    config = load_config(file, {"param": {"spa.beta": 0.2}})
    assert config.param == {"spa.beta": 0.2, "spa.snr": 4}


def test_a_preset_is_a_key_of_the_file_and_a_flag(tmp_path):
    file = yaml_file(tmp_path, "methods: spa\npreset: paper\n")
    assert load_config(file, {}).preset == "paper"
    assert load_config(file, {"preset": "mine"}).preset == "mine"
    assert load_config(None, {"methods": "spa"}).preset is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: spa\nseed: 1\n", "seed: unknown key; known: methods, datasets"),
        ("methods: spa\ntrials: 0\n", "trials: input should be greater than or equal to 1"),
        ("methods: spa\nprotocol: easy\n", "protocol: input should be 'strict' or 'paper'"),
        ("methods: spa\nrecipe: raw\n", "--recipe raw: unknown; available: median, paper"),
        ("- spa\n", "must hold `key: value` lines"),
        ("methods: [spa\n", "not YAML"),
        ("datasets: all\n", "--methods is needed"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, said):
    with pytest.raises(UadBenchError) as error:
        load_config(yaml_file(tmp_path, text), {})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_every_mistake_is_named_at_once(tmp_path):
    with pytest.raises(UadBenchError) as error:
        load_config(yaml_file(tmp_path, "methods: spa\nseed: 1\ntrials: 0\n"), {})
    assert "seed" in str(error.value)
    assert "trials" in str(error.value)


def test_what_is_named_twice_counts_once():
    config = load_config(
        None, {"methods": "spa,vae,spa", "seeds": "0,1,0", "protocol": "paper,paper"}
    )
    assert config.methods == ("spa", "vae")
    assert config.seeds == (0, 1)
    assert config.protocol == ("paper",)


@pytest.mark.parametrize("key", ["methods", "datasets", "seeds", "protocol", "postprocessing"])
def test_an_empty_list_is_refused_by_name(key):
    with pytest.raises(UadBenchError, match=f"--{key}: names nothing"):
        load_config(None, {"methods": "spa"} | {key: " ,"})


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UadBenchError, match=r"gone\.yaml"):
        load_config(tmp_path / "gone.yaml", {})
