"""One vocabulary: a YAML key is a flag's name, flags win, and every mistake is named at once."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.cli import main
from uad_bench.cli.options import parameters
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.runner.config import load_config
from uad_bench.runner.data.gather import tissue_source
from uad_bench.runner.plan.make import make_plan
from uad_bench.system.yaml_files import Written, parse_yaml
from uad_bench.volumes.recipe import find_recipe
from uad_bench.volumes.steps.tissue_maps import load_mapping


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
        ("methods: spa\nrecipe: raw\n", "--recipe raw: unknown; available: median, paper"),
        ("- spa\n", "must hold `key: value` lines"),
        ("methods: [spa\n", "not YAML"),
        ("datasets: all\n", "--methods is needed"),
        ("methods:\n", "methods: names nothing; give one or several"),
        ("methods: spa\nseeds:\n", "seeds: names nothing; give one or several"),
        ("methods: spa\ntrials: !!int abc\n", "'abc' does not fit !!int in "),
        ("methods: spa\ntrials: !!float abc\n", "'abc' does not fit !!float in "),
        ("methods: spa\ntune: !!bool abc\n", "'abc' does not fit !!bool in "),
        ("methods: spa\ntrials: !!timestamp abc\n", "'abc' does not fit !!timestamp in "),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, said):
    with pytest.raises(UadBenchError) as error:
        load_config(yaml_file(tmp_path, text), {})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["seeds", "trials", "phantoms", "limit", "jobs", "mask-shift"])
@pytest.mark.parametrize("switch", ["yes", "no", "true", "off", "[on]"])
def test_a_switch_where_a_number_is_meant_is_refused(tmp_path, key, switch):
    """Python counts True as 1."""
    if switch == "[on]" and key != "seeds":
        switch = "on"
    with pytest.raises(UadBenchError, match=f": {key}: must be a number, not a switch"):
        load_config(yaml_file(tmp_path, f"methods: spa\n{key}: {switch}\n"), {})


_TAGS = ("int", "float", "bool", "null", "timestamp", "binary", "str", "map", "seq", "set", "omap")


@given(
    tag=st.sampled_from([*_TAGS, "pairs", "merge", "value", "python/name:os.system", "nobody"]),
    value=st.sampled_from(["", "abc", "0x", "1:2:x", "9" * 5000, "2026-99-99", "[a]", "{a: b}"])
    | st.text("0123456789abcxo.:-+ _", max_size=12),
    around=st.sampled_from(["{}", "a: {}", "[{}]", "? {}\n: b", "{{<<: {}}}"]),
)
def test_a_value_that_does_not_fit_its_tag_is_no_traceback(tag, value, around):
    text = around.format(f"!!{tag} {value}")
    with suppress(yaml.YAMLError):
        parse_yaml(text)
    assert Written(text).text is not None


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


@pytest.mark.parametrize(("key", "said"), [("seeds", "--seeds x: "), ("plugin", "--plugin: ")])
@pytest.mark.parametrize("wrong", ["x", "0,x", "x,x"])
def test_a_wrong_item_of_a_list_is_one_complaint(key, said, wrong):
    items = wrong if key == "seeds" else [7 if one == "x" else "a" for one in wrong.split(",")]
    with pytest.raises(UadBenchError) as caught:
        load_config(None, {"methods": "spa", key: items})
    (line,) = str(caught.value).split("; ")
    assert line.startswith(said)


def test_two_values_for_one_parameter_are_refused():
    assert parameters(["spa.steps=5", "spa.width=8", "spa.steps=5"]).keys() == {
        "spa.steps",
        "spa.width",
    }
    with pytest.raises(UadBenchError, match=r"--param spa\.steps: is 5, and 7 as well; keep one"):
        parameters(["spa.steps=5", "spa.steps=7"])


@pytest.mark.parametrize(("failed", "said"), [(1, "1 cell failed"), (2, "2 cells failed")])
def test_failed_cells_are_counted_in_words(monkeypatch, capsys, failed, said):
    done = SimpleNamespace(cells=(), computed=0, folder="results", failed=(None,) * failed)
    monkeypatch.setattr("uad_bench.cli.commands.run._run", lambda *_: done)
    assert main(["run", "--methods", "spa"]) == 1
    assert f"\n{said}; the table's footnotes say why" in capsys.readouterr().err


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UadBenchError, match=r"gone\.yaml"):
        load_config(tmp_path / "gone.yaml", {})


def test_home_is_expanded_wherever_a_file_names_a_path(tmp_path, monkeypatch):
    """No shell looks into a file; a folder called ~ is nobody's wish."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("n4: true\n")
    (tmp_path / "maps.yaml").write_text("file: '{subject}.nii'\nlabels: fast\n")
    names = ("data-root", "template", "atlas", "anatomies", "cache", "results")
    text = "".join(f"{name}: ~/{name}\n" for name in names)
    file = yaml_file(
        tmp_path,
        f"methods: spa\n{text}plugin: [~/a.py, ~/b.py]\nrecipe: ~/mine.yaml\n"
        "tissues: ~/maps.yaml\nparam: {spa.vgg19_weights: ~/vgg.pth, spa.beta: 1e-3}\n",
    )
    config = load_config(file, {})
    for name in names:
        assert getattr(config, name.replace("-", "_")) == tmp_path / name
    assert config.plugin == (tmp_path / "a.py", tmp_path / "b.py")
    assert config.param == {"spa.vgg19_weights": str(tmp_path / "vgg.pth"), "spa.beta": 0.001}
    assert find_recipe(config.recipe, config.template).n4
    assert tissue_source(config.tissues) is not None
    assert load_config(None, {"methods": "spa", "results": Path("~/r")}).results == tmp_path / "r"
    home = yaml_file(tmp_path, "methods: spa\nresults: ~\n")
    assert load_config(home, {}).results == tmp_path
    nobody = yaml_file(tmp_path, "methods: spa\nresults: ~nobody-of-this-name/r\n")
    with pytest.raises(UadBenchError, match=r"run\.yaml: results: .*no such home folder"):
        load_config(nobody, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: vae\nlimit: 2\nmethods: gmvae\n", "methods is given twice, in lines 1 and 3"),
        ("methods: vae\nparam:\n  vae.steps: 2\n  vae.steps: 3\n", "in lines 3 and 4"),
        ("methods: vae\ndata-root: a\ndata_root: b\n", "data-root is given twice"),
    ],
)
def test_a_key_given_twice_is_refused(tmp_path, text, said):
    with pytest.raises(UadBenchError) as error:
        load_config(yaml_file(tmp_path, text), {})
    assert "run.yaml" in str(error.value)
    assert said in str(error.value)


def test_a_key_given_twice_is_refused_in_recipes_and_tissue_mappings(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("n4: true\npixel_mm: 2\nn4: false\n")
    with pytest.raises(UadBenchError, match=r"r\.yaml: n4 is given twice, in lines 1 and 3"):
        find_recipe(str(recipe))
    mapping = tmp_path / "m.yaml"
    mapping.write_text("file: '{subject}.nii'\nlabels:\n  csf: [1]\n  csf: [2]\n")
    with pytest.raises(UadBenchError, match=r"m\.yaml: csf is given twice, in lines 3 and 4"):
        load_mapping(mapping)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("010", 10), ("-7", -7), ("0x10", 16), ("0o10", 8), ("1:30", "1:30")],
        *[("2e3", 2000.0), ("1e-3", 0.001), ("1E+2", 100.0), ("1.", 1.0), (".5", 0.5)],
        *[("-.inf", float("-inf")), ("1e400", float("inf")), ("2026-11-26", "2026-11-26")],
        *[("on", True), ("no", False), ("null", None), ("1.2.3", "1.2.3"), ("e5", "e5")],
    ],
)
def test_a_value_means_the_same_in_a_file_and_on_the_command_line(tmp_path, text, value):
    file = yaml_file(tmp_path, f"methods: spa\nparam: {{spa.x: {text}}}\n")
    found = load_config(file, {}).param["spa.x"]
    assert (type(found), found) == (type(value), value)
    assert Written(text).value == value


@given(st.floats(allow_nan=False) | st.integers())
def test_every_number_that_python_writes_is_read_as_that_number(number):
    assert parse_yaml(f"x: {number!r}".replace("inf", ".inf")) == {"x": number}


def test_a_file_may_have_windows_line_ends_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_bytes("\ufeffmethods: spa\r\ntrials: 2\r\n".encode())
    assert load_config(file, {}).trials == 2


def test_anchors_and_merged_keys_are_no_key_given_twice():
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n"
    assert parse_yaml(text)["b"] == {"x": 3, "y": 2}


def test_a_wrong_parameter_is_blamed_on_where_it_came_from(tmp_path):
    file = yaml_file(tmp_path, "methods: vae\nparam: {vae.steps: many, vae.width: 4}\n")
    registry = discover(PluginSources.gather(()))
    with pytest.raises(UadBenchError, match=r"run\.yaml: param vae\.steps: "):
        make_plan(load_config(file, {}), registry)
    with pytest.raises(UadBenchError, match=r"^--param vae\.steps: "):
        make_plan(load_config(file, {"param": {"vae.steps": "few"}}), registry)
    file = yaml_file(tmp_path, "methods: vae\nparam: {vae.steps: 2e3}\n")
    (planned, *_) = make_plan(load_config(file, {}), registry).methods
    assert planned.params.steps == 2000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("recipe: raw", "run.yaml: --recipe raw: unknown"),
        ("train: brats", "run.yaml: train brats: a dataset of patients"),
        ("datasets: hi", "run.yaml: datasets hi: a healthy dataset"),
        ("data-root: /gone", "run.yaml: data-root /gone: no such folder"),
        ("preset: odd", "run.yaml: preset odd: unknown"),
        ("param: {spa.beta: 0.1}", "run.yaml: param spa.beta: its method is not part"),
    ],
)
def test_a_late_refusal_names_the_file_too(tmp_path, line, said):
    file = yaml_file(tmp_path, f"methods: vae\n{line}\n")
    registry = discover(PluginSources.gather(()))
    with pytest.raises(UadBenchError) as error:
        make_plan(load_config(file, {}), registry)
    assert said in str(error.value)
