"""The registry finds plugins by reading, imports on first use, and never hides a conflict."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.declarations import first_sentence, read_declarations
from uad_bench.plugins.registry import PluginSources, discover, read_plugin, split_dataset

METHOD = '''"""{title} (Somebody 2020). More."""

from uad_bench import method
from uad_bench.method import FitReport, MethodInfo


class {cls}(method.Method):
    info = MethodInfo("{name}", "{title}")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image
'''

DATASET = '''"""Two dogs."""

from uad_bench.dataset import Dataset, DatasetInfo

_NAME = "dogs"


class Dogs(Dataset):
    info = DatasetInfo(
        name=_NAME, title="Two dogs", disease="none", citation="", bibtex="", licence="free",
        obtain="call them", layout="dogs/", folders=("dogs",),
    )

    def scans(self, root):
        return iter(())
'''


def write(path: Path, name: str = "toy", cls: str = "Toy", title: str = "A toy") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD.format(name=name, cls=cls, title=title), encoding="utf-8")
    return path


def registry(*paths: Path):
    return discover(PluginSources.gather(paths, environment={}))


def test_a_plugin_file_is_listed_and_loaded_with_its_origin(tmp_path):
    path = write(tmp_path / "toy.py")
    entry = registry(path).find("method", "toy")
    assert (entry.name, entry.source, entry.summary) == ("toy", "plugin", "A toy (Somebody 2020)")
    assert entry.origin == f"{path}:7"
    assert registry(path).method("toy").info.title == "A toy"


def test_a_folder_gives_all_its_files_but_private_ones(tmp_path):
    write(tmp_path / "toy.py")
    write(tmp_path / "_shared.py", "hidden")
    (tmp_path / "dogs.py").write_text(DATASET)
    found = registry(tmp_path)
    assert "toy" in found.names("method")
    assert "hidden" not in found.names("method")
    assert found.dataset("dogs").info.title == "Two dogs"
    assert found.find("dataset", "dogs").summary == "Two dogs"


def test_siblings_of_a_plugin_folder_import_each_other_relatively(tmp_path):
    write(tmp_path / "base.py", "base", "Base")
    (tmp_path / "derived.py").write_text(
        '"""D."""\nfrom uad_bench.method import MethodInfo\n\nfrom .base import Base\n\n\n'
        'class Derived(Base):\n    info = MethodInfo("derived", "Derived")\n'
    )
    assert registry(tmp_path).method("derived").__mro__[1].__name__ == "Base"


def test_listing_imports_nothing(tmp_path):
    path = write(tmp_path / "toy.py")
    path.write_text(path.read_text() + "\nraise SystemExit('imported')\n")
    found = registry(path)
    assert "toy" in found.names("method")
    with pytest.raises(PluginError, match=r"toy\.py:16: toy does not import: SystemExit: imported"):
        found.method("toy")


def test_a_failure_is_not_remembered(tmp_path):
    path = write(tmp_path / "toy.py")
    whole = path.read_text()
    path.write_text("import no_such_module_anywhere\n" + whole)
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        registry(path).method("toy")
    path.write_text(whole)
    assert registry(path).method("toy").info.name == "toy"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "bad.py:1: syntax error: "),
        ("x = 1\n", "bad.py: holds no plugin"),
        (METHOD.format(name="a", cls="A", title="A") + METHOD.format(name="b", cls="B", title="B"),
         "bad.py: holds 2 plugins (A in line 7, B in line 21); one file holds one"),
        (METHOD.format(name="Not A Name", cls="A", title="A"), "name 'Not A Name' must be"),
        (METHOD.format(name="all", cls="A", title="A"), "name 'all' is reserved"),
        (METHOD.format(name="a", cls="A", title="A").replace('"a"', "str(1)"), "string literal"),
        (METHOD.format(name="a", cls="A", title="A").replace("info =", "facts ="),
         "holds no plugin: a public class whose info is MethodInfo(...) or DatasetInfo(...)"),
        ("\0", "bad.py"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_a_row_with_its_reason(tmp_path, source, reason):
    path = tmp_path / "bad.py"
    path.write_text(source)
    write(tmp_path / "good.py", "good")
    found = registry(tmp_path)
    (row,) = [entry for entry in found.entries() if entry.state == "broken"]
    assert reason in row.reason
    assert "\n" not in row.reason
    with pytest.raises(PluginError):
        row.load()
    assert found.method("good").info.name == "good"


def test_the_reason_of_a_broken_file_is_told_where_a_name_is_missed(tmp_path):
    (tmp_path / "bad.py").write_text("def broken(:\n")
    with pytest.raises(UadBenchError, match=r"Unknown method 'wanted'.*syntax error"):
        registry(tmp_path / "bad.py").method("wanted")


def test_a_name_taken_twice_names_both_origins_and_replaces_nothing(tmp_path):
    one, two = write(tmp_path / "one.py"), write(tmp_path / "two.py")
    found = registry(one, two)
    states = [entry.state for entry in found.entries("method") if entry.name == "toy"]
    assert states == ["clash", "clash"]
    with pytest.raises(PluginError, match=r"one\.py:7 and .*two\.py:7"):
        found.method("toy")
    assert "toy" not in found.names("method")


def test_a_built_in_cannot_be_replaced_silently(tmp_path):
    path = write(tmp_path / "mine.py", "thresholding")
    with pytest.raises(PluginError, match="'thresholding' is taken twice"):
        registry(path).method("thresholding")


def test_the_same_file_found_twice_is_one_plugin(tmp_path):
    path = write(tmp_path / "toy.py")
    assert registry(path, tmp_path, path).method("toy").info.name == "toy"


def test_an_unknown_name_offers_the_nearest_and_all(tmp_path):
    found = registry(write(tmp_path / "gmvae2.py", "wobble-net"))
    with pytest.raises(
        UadBenchError, match=r"Unknown method 'woble-net'\. Did you mean 'wobble-net'\? Available: "
    ):
        found.method("woble-net")
    with pytest.raises(UadBenchError, match="Unknown dataset 'wobble-net'"):
        found.dataset("wobble-net")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("method.Method", "dict", "Toy is not a Method; derive it from uad_bench.method.Method"),
        ("def score", "def scores", "class Toy does not define score"),
    ],
)
def test_a_class_that_is_no_method_is_refused_by_name(tmp_path, old, new, reason):
    path = write(tmp_path / "toy.py")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PluginError, match=rf"toy\.py:7: {reason}"):
        read_plugin(path).load()


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ("MethodInfo('other', 'Other')", "listed as 'toy', but its name is 'other'"),
        ("None", "info of class Toy is not a MethodInfo; make it with uad_bench.method.MethodInfo"),
    ],
)
def test_facts_changed_at_run_time_are_noticed(tmp_path, info, reason):
    path = write(tmp_path / "toy.py")
    path.write_text(path.read_text() + f"\nToy.info = {info}\n")
    with pytest.raises(PluginError, match=rf"toy\.py:7: {reason}"):
        read_plugin(path).load()


def test_facts_that_lack_a_part_are_one_line_with_its_place(tmp_path):
    path = write(tmp_path / "toy.py")
    path.write_text(path.read_text().replace(', "A toy")', ")"))
    with pytest.raises(PluginError, match=r"toy\.py:8: toy does not import: .*argument: 'title'$"):
        read_plugin(path).load()


def test_plugin_paths_come_from_options_and_environment_and_must_exist(tmp_path):
    one, two = write(tmp_path / "a" / "one.py"), write(tmp_path / "b" / "two.py")
    variable = f"{two}{os.pathsep}{one}{os.pathsep}"
    sources = PluginSources.gather([one], environment={"UAD_BENCH_PLUGINS": variable})
    assert sources.paths == (one, two)
    with pytest.raises(PluginError, match=r"--plugin: .*nowhere does not exist"):
        PluginSources.gather([tmp_path / "nowhere"], environment={})
    (tmp_path / "empty").mkdir()
    with pytest.raises(PluginError, match=r"holds no \.py file"):
        PluginSources.gather([tmp_path / "empty"], environment={})


def test_a_worker_process_rebuilds_the_registry_from_pickled_sources(tmp_path):
    sources = PluginSources.gather([write(tmp_path / "toy.py")], environment={})
    code = (
        "import pickle, sys; from uad_bench.plugins.registry import discover; "
        "print(discover(pickle.loads(sys.stdin.buffer.read())).method('toy').info.title)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(sources), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "A toy"


def test_a_dataset_may_carry_a_folder(tmp_path):
    assert split_dataset("mslub") == ("mslub", None)
    assert split_dataset("bids:/a/b:c") == ("bids", Path("/a/b:c"))
    for text in ("bids:", ":/a", ""):
        with pytest.raises(UadBenchError, match="write NAME or NAME:PATH"):
            split_dataset(text)


def test_every_built_in_is_ready_and_lies_in_a_file_of_its_name():
    for entry in discover(PluginSources()).entries():
        if entry.source == "built-in":
            assert entry.state == "ready", entry.reason
            assert entry.path.stem == entry.name.replace("-", "_")
            assert entry.summary


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, ""),
        ("One.", "One"),
        ("One sentence (A et al. 2020). Two.", "One sentence (A et al. 2020)"),
        ("Baur et al. Two lines\nof text.\n\nMore.", "Baur et al. Two lines of text"),
        ("Version 1.5 of it, e.g. This", "Version 1.5 of it, e.g. This"),
    ],
)
def test_the_first_sentence_survives_abbreviations(text, sentence):
    assert first_sentence(text) == sentence


def test_parameter_models_and_private_classes_are_no_plugins(tmp_path):
    path = write(tmp_path / "toy.py")
    extra = "\n\nclass ToyParams(method.Params):\n    name: str = 'x'\n"
    extra += (
        "\n\nclass _Part(method.Method):\n    info = MethodInfo('part', 'Part')\n\n\n"
        "class Plain:\n    info = MethodInfo('p', 'P')\n"
    )
    path.write_text(path.read_text() + extra)
    assert [found.name for found in read_declarations(path)] == ["toy"]
