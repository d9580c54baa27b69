"""Protects: supervised methods have no rank and say what they learned from; nothing is dropped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_cells import made_cell, made_use

import studies.leaderboard.__main__ as command
import uad_bench as ub
from studies.leaderboard import runs
from studies.leaderboard.page import Command, page
from studies.leaderboard.runs import Size, budgets, every_method, plan, refuse_impossible
from uad_bench.cells import CellRecord, FitRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric
from uad_bench.plugins.registry import open_registry

SIZE = Size(slices=60, phantoms=2, seeds=(0, 1), once=("gmvae-restoration",))
HEALTHY = "msi-with-healthy"


def cell(
    method: str, auprc: float, dataset: str = "mslub", *, simulated: bool = True, on: str = ""
) -> CellRecord:
    training = made_use(
        on or "hi", 4, simulated=simulated, title="msi and healthy people" if on else ""
    )
    people = {"patient_auroc": Metric(value=auprc)} if dataset == HEALTHY else {}
    return made_cell(
        method,
        dataset,
        post="star",
        on=on,
        protocol_version=STRICT.version,
        control=method.startswith("control"),
        supervised=bool(on),
        training=training,
        data=made_use(dataset, simulated=simulated),
        fit=FitRecord(detector=f"{method}-s0", wall_s=3.0, slices_seen=60),
        metrics={"auprc": Metric(value=auprc), **people},
    )


def written(tmp_path: Path, *parts: list[CellRecord], **command: object) -> str:
    found = [ub.Results(tmp_path, tuple(cells)) for cells in parts]
    return page(found, Command(SIZE, **command), (), "images/lesion.png")


def section(text: str, title: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"\n#+ ", text.partition(f"# {title}\n")[2])[0]


def test_a_supervised_method_is_in_the_tables_and_has_no_rank(tmp_path):
    cells = [
        *(cell(name, value) for name, value in (("spa", 0.4), ("vae", 0.3))),
        cell("control-random", 0.1),
        cell("unet", 0.9, on="with-healthy"),
    ]
    text = written(tmp_path, cells)
    ranks = section(text, "Simulated people: mean rank over the datasets, 1 is best")
    assert "U-Net" not in ranks
    assert "| SPA | 1.0 |" in ranks
    table = section(text, "Simulated people: AUPRC ↑")
    assert "**0.400**" in table, "the best is an unsupervised one"
    assert re.search(r"\*Supervised\*.*0\.900", table, re.DOTALL)
    assert "U-Net‡ learned from 4 subjects of msi and healthy people (simulated) with" in text


def test_people_without_masks_to_learn_from_and_without_healthy_ones_are_said(tmp_path):
    simulated = [cell(*one) for one in (("spa", 0.4, HEALTHY), ("vae", 0.3), ("vae", 0.3, HEALTHY))]
    real = [cell("spa", 0.4, simulated=False), cell("vae", 0.3, simulated=False)]
    text = written(tmp_path, simulated, real)
    first, second = section(text, "Simulated people"), section(text, "Real patients")
    assert "One dataset has 4 healthy people beside as many patients of MSI" in first
    assert "No dataset here has healthy people of its own" in second
    assert "No method learned from lesion masks of these people." in second
    told_apart = section(text, "Simulated people: Detection of patients: AUROC ↑")
    assert HEALTHY in told_apart
    assert "MSLUB (" not in told_apart, "nobody there is healthy"
    assert "### Real patients: Detection of patients: AUROC" not in text


def test_the_command_repeats_the_page_and_names_no_folder_of_this_machine(tmp_path):
    root = tmp_path / "data"
    text = written(
        tmp_path,
        [cell("spa", 0.4), cell("vae", 0.3)],
        data_root=root,
        datasets=f"all,bids:{root}/ours",
        supervised_on="brats",
    )
    assert (
        "python -m studies.leaderboard --results RESULTS --slices 60 --phantoms 2 --seeds 0,1 "
        "--once gmvae-restoration --data-root DIR --datasets all,bids:DIR/ours "
        "--supervised-on brats`"
    ) in text
    assert str(tmp_path) not in text


@pytest.fixture
def people(monkeypatch):
    """The simulated people are there already."""
    monkeypatch.setattr(runs, "_people", lambda *_: "msi:people/with-healthy")


@pytest.mark.usefixtures("people")
def test_both_parts_have_every_method_and_the_supervised_where_there_are_masks(tmp_path):
    simulated, real = plan(SIZE, tmp_path, data_root=tmp_path)
    everyone = set(every_method(open_registry(None)))
    assert "unet" in everyone
    for part, missing in ((simulated, set()), (real, {"unet"})):
        first, second = part.runs
        assert {*first["methods"], *second["methods"]} == everyone - missing
        assert second["methods"] == ["gmvae-restoration"]
        assert (first["seeds"], second["seeds"]) == ((0, 1), (0,))
        assert (first["controls"], second["controls"]) == (None, ())
    assert simulated.runs[0]["supervised_on"] == ("msi:people/with-healthy",)
    assert real.learned == simulated.folder / "detectors"


@pytest.mark.usefixtures("people")
def test_a_parameter_goes_to_the_runs_that_it_counts_for_and_one_of_nobody_is_refused(tmp_path):
    param = {"gmvae.width": "8", "gmvae-restoration.clip": "9", "unet.width": "4", "spa.no": "1"}
    size = Size(slices=60, phantoms=2, seeds=(0,), once=SIZE.once, param=param)
    simulated, real = plan(size, tmp_path, data_root=tmp_path)
    for part, learning in ((simulated, True), (real, False)):
        first, second = (one["param"] for one in part.runs)
        assert (first["gmvae.width"], second["gmvae.width"]) == ("8", "8")
        assert "gmvae-restoration.clip" not in first
        assert second["gmvae-restoration.clip"] == "9"
        assert ("unet.width" in first) == learning
        assert "spa.no" in first
    alone = Size(slices=60, phantoms=2, seeds=(0,), methods=("vae",), param={"spa.beta": "1"})
    (part,) = plan(alone, tmp_path)
    assert part.runs[0]["param"]["spa.beta"] == "1", "which the plan refuses"


@pytest.mark.usefixtures("people")
def test_what_cannot_be_is_refused_before_the_first_run_with_all_reasons(tmp_path):
    param = {"vae.no": "1"}
    size = Size(slices=60, phantoms=2, seeds=(0,), methods=("vae", "nosuch"), param=param)
    with pytest.raises(UadBenchError, match="nosuch"):
        plan(size, tmp_path)
    size = Size(slices=60, phantoms=2, seeds=(0,), methods=("vae",), param=param)
    parts = plan(size, tmp_path / "results", data_root=tmp_path, datasets=("all", "bids:nowhere"))
    with pytest.raises(UadBenchError) as error:
        refuse_impossible(parts)
    assert "vae.no" in str(error.value)
    assert "bids:nowhere" in str(error.value)
    assert not (tmp_path / "results").exists()


def test_every_network_sees_the_same_number_of_slices():
    registry = open_registry(None)
    found = budgets(registry, every_method(registry), 600)
    for key, steps in found.items():
        params = registry.method(key.partition(".")[0]).Params()
        assert 600 <= steps * params.batch_size < 600 + params.batch_size, key
    assert {"unet.steps", "spa.steps", "dae.steps"} <= found.keys()


@pytest.mark.usefixtures("people")
def test_a_batch_size_of_the_command_changes_the_steps_and_not_what_a_network_sees(tmp_path):
    sizes = {"unet": "20", "dae": "6", "anoddpm": "12", "vae": "many"}
    param = {f"{name}.batch_size": size for name, size in sizes.items()}
    methods = ("unet", "ensemble", "anoddpm", "thor", "vae", "ae")
    (part,) = plan(Size(60, 2, (0,), methods=methods, param=param), tmp_path)
    found = part.runs[0]["param"]
    steps = {"unet": 3, "dae": 10, "spa": 15, "anoddpm": 5, "thor": 5, "ae": 15}
    assert {name: found[f"{name}.steps"] for name in steps} == steps
    assert found["vae.batch_size"] == "many", "which the plan refuses"
    given = {"unet.batch_size": "20", "unet.steps": "7"}
    (part,) = plan(Size(60, 2, (0,), methods=("unet",), param=given), tmp_path)
    assert part.runs[0]["param"]["unet.steps"] == "7"


def test_a_method_to_be_run_once_that_is_not_run_is_refused_before_anybody_is_simulated(tmp_path):
    for methods in ((), ("vae", "spa")):
        size = Size(60, 2, (0, 1, 2), once=("vae", "gmvae_restoration"), methods=methods)
        with pytest.raises(UadBenchError, match="--once gmvae_restoration: no method of"):
            plan(size, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [("--seeds", "0,one", "whole numbers"), ("--param", "spa.beta", "METHOD.NAME=VALUE")],
)
def test_a_flag_that_cannot_be_read_is_one_line(flag, value, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        command._parser().parse_args(["--results", "somewhere", flag, value])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    read = command._parser().parse_args(
        ["--results", "r", "--param", "spa.tissues=a=b", "--seeds", "3"]
    )
    assert (read.seeds, read.param) == ((3,), [("spa.tissues", "a=b")])
    assert command._parser().parse_args(["--results", "r"]).seeds == (0, 1, 2)


def test_it_writes_into_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    out, part = tmp_path / "new" / "docs", runs.Part(tmp_path / "results", ())
    for name, made in {
        "plan": lambda *_, **__: (part,),
        "picture": lambda *_: b"picture",
        "page": lambda *_: "page",
    }.items():
        monkeypatch.setattr(command, name, made)
    monkeypatch.setattr(ub, "load_results", lambda folder: ub.Results(folder, ()))
    monkeypatch.setattr("sys.argv", ["", "--results", str(tmp_path), "--docs", str(out)])
    command.main()
    assert (out / "leaderboard.md").read_text(encoding="utf-8") == "page"
    assert (out / "images" / "leaderboard-lesion.png").read_bytes() == b"picture"


def test_cells_of_other_commands_in_the_folder_are_not_on_the_page(tmp_path, monkeypatch):
    """A second seed, that was half done before its method was to be run once, was averaged in."""
    own = {name: (cell(name, 0.5),) for name in ("spa", "vae")}
    monkeypatch.setattr(ub, "run", lambda results, methods: ub.Results(results, own[methods]))
    monkeypatch.setattr(ub, "load_results", None)
    part = runs.Part(tmp_path, ({"methods": "spa"}, {"methods": "vae"}))
    assert runs.run(part).cells == own["spa"] + own["vae"]
