"""Tuning: the published setting comes first, and a killed study goes on as if never killed."""

import errno
import math
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import SearchRange
from uad_bench.study_record import StudyMetric, Trial
from uad_bench.tuning.choice import choose, pareto_front
from uad_bench.tuning.grid import grid
from uad_bench.tuning.search import Search, search
from uad_bench.tuning.storage import Database, Journal, Storage

SPACE = {"beta": SearchRange(1e-6, 1e-1, log=True), "snr": SearchRange(1.0, 64.0)}
FIRST = {"beta": 1e-3, "snr": 16.0}
DEFAULT = {"beta": 1e-5, "snr": 16.0}


def bowl(number, params):
    """A validation loss with its minimum at beta = 1e-2."""
    return {"l1": 1.0 + (math.log10(params["beta"]) + 2) ** 2, "kl": 2.0}


class Found(NamedTuple):
    params: dict[str, float]
    trials: tuple[Trial, ...]


def wanted(**changed) -> Search:
    return Search(
        **{
            "space": SPACE,
            "metrics": (StudyMetric(name="l1"), StudyMetric(name="kl")),
            "first": FIRST,
            "default": DEFAULT,
            "trials": 12,
            "seed": 3,
            **changed,
        }
    )


def study(storage: Path | Storage, evaluate=bowl, trials=12, **changed) -> Found:
    """Search with a function of the place and the parameters that reports no checks."""
    kept = Journal(storage) if isinstance(storage, Path) else storage
    asked = wanted(trials=trials, **changed)
    found = search(lambda place, params, _: evaluate(place, params), asked, "a", kept)
    finished = [trial for trial in found.trials if trial.state == "finished"]
    chosen = choose(finished, asked.metrics, asked.default)
    return Found(found.trials[chosen.number - 1].params, found.trials)


def test_first_trial_is_the_published_setting_and_second_the_default(tmp_path):
    seen = []

    def evaluate(number, params):
        seen.append(dict(params))
        return bowl(number, params)

    found = study(tmp_path / "a.log", evaluate)
    assert seen[:2] == [FIRST, DEFAULT]
    assert len(seen) == 12
    assert [trial.number for trial in found.trials] == list(range(1, 13))
    assert all(SPACE[k].low <= v <= SPACE[k].high for p in seen for k, v in p.items())


def test_killed_study_draws_what_it_would_have_drawn(tmp_path):
    whole, parts = [], []

    def recorder(into, stop_at=None):
        def evaluate(number, params):
            if number == stop_at:
                raise KeyboardInterrupt
            into.append((number, dict(params)))
            return bowl(number, params)

        return evaluate

    complete = study(tmp_path / "whole.log", recorder(whole))
    for stop in (1, 4, 9):
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path / "parts.log", recorder(parts, stop))
    resumed = study(tmp_path / "parts.log", recorder(parts))
    assert parts == whole
    assert resumed == complete


def test_finished_study_trains_nothing(tmp_path):
    complete = study(tmp_path / "a.log")

    def never(number, params):
        raise AssertionError("no trial was missing")

    assert study(tmp_path / "a.log", never) == complete


def test_defaults_are_kept_unless_another_trial_reconstructs_clearly_better(tmp_path):
    def flat(number, params):
        return {"l1": 1.0 if params == FIRST else 1.05, "kl": 1.0}

    def steep(number, params):
        return {"l1": 1.0 if params == FIRST else 1.5, "kl": 1.0}

    assert study(tmp_path / "flat.log", flat, trials=4).params == DEFAULT
    assert study(tmp_path / "steep.log", steep, trials=4).params == FIRST


def test_a_collapsed_trial_is_not_chosen_for_its_vanishing_divergence(tmp_path):
    def evaluate(number, params):
        collapsed = params["beta"] >= FIRST["beta"]
        return {"l1": 3.0 if collapsed else 1.0, "kl": 1e-3 if collapsed else 50.0}

    assert study(tmp_path / "a.log", evaluate, trials=6).params["beta"] < FIRST["beta"]


def test_diverged_trial_counts_but_is_never_chosen(tmp_path):
    def evaluate(number, params):
        if number in (0, 3):
            raise DivergenceError("loss is nan")
        return bowl(number, params)

    found = study(tmp_path / "a.log", evaluate, trials=5)
    assert [trial.number for trial in found.trials if trial.state == "diverged"] == [1, 4]
    assert len(found.trials) == 5
    assert found.params != FIRST


def test_all_trials_diverged_is_an_error(tmp_path):
    def evaluate(number, params):
        raise DivergenceError("loss is nan")

    # A divergence, so that the runner lets this method fail and goes on with the others.
    with pytest.raises(DivergenceError, match="every tuning trial diverged"):
        study(tmp_path / "a.log", evaluate, trials=3)


@given(share=st.floats(0, 1))
@settings(max_examples=8)
def test_a_journal_that_was_cut_off_anywhere_goes_on(share, tmp_path_factory):
    """A full disk or a power loss cuts the last line (optuna/optuna#5138)."""
    folder = tmp_path_factory.mktemp("study")
    expected = study(folder / "whole.log", trials=4)
    study(folder / "cut.log", trials=3)
    content = (folder / "cut.log").read_bytes()
    (folder / "cut.log").write_bytes(content[: round(share * len(content))])
    assert study(folder / "cut.log", trials=4) == expected
    assert study(folder / "cut.log", trials=4) == expected


def test_zeros_behind_a_journal_are_a_cut_line(tmp_path):
    """What a file system leaves where a power loss came before the data."""
    expected = study(tmp_path / "a.log", trials=3)
    with (tmp_path / "a.log").open("ab") as stream:
        stream.write(bytes(512))
    assert study(tmp_path / "a.log", trials=3) == expected


@pytest.mark.parametrize("damage", [b"\xff\x00", b'{"op_code":', b"7", b""])
def test_damage_inside_a_journal_is_one_line_with_what_to_do(damage, tmp_path):
    journal = tmp_path / "a.log"
    study(journal, trials=2)
    lines = journal.read_bytes().splitlines()
    lines[2] = damage
    journal.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(UadBenchError, match=r"a\.log, line 3 of \d+: damaged: delete the file"):
        study(journal, trials=3)


@pytest.mark.parametrize("entry", [b"{}", b'{"op_code": 4}', b'{"op_code": "x"}'])
def test_lines_that_are_no_study_are_one_line(entry, tmp_path):
    journal = tmp_path / "a.log"
    journal.write_bytes(entry + b"\n")
    with pytest.raises(UadBenchError, match=r"a\.log: its lines are no whole study .*delete it"):
        study(journal, trials=1)


@pytest.mark.parametrize("leave", [Path.touch, lambda lock: lock.symlink_to("tuning/a.log")])
def test_a_stale_lock_of_optuna_stops_nobody(leave, tmp_path, monkeypatch):
    """Optuna waits for ever for its own link where the journal's path is relative."""
    monkeypatch.chdir(tmp_path)
    Path("tuning").mkdir()
    leave(Path("tuning/a.log.lock"))
    started = time.monotonic()
    assert len(study(Path("tuning/a.log"), trials=2).trials) == 2
    assert time.monotonic() - started < 10


def test_a_file_system_without_links_and_locks_takes_a_study(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("os.symlink", refuse)
    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("fcntl.flock", refuse)
    assert len(study(tmp_path / "a.log", trials=2).trials) == 2
    assert [file.name for file in tmp_path.glob("*.held")] == []


def test_a_trial_that_most_others_beat_in_every_metric_is_stopped_at_a_check(tmp_path):
    """Optuna prunes one objective only; two are compared by dominance."""

    def evaluate(number, params, checked):
        bad = number in (3, 5)
        for step in (10, 20):
            checked(step, {"l1": 2.0 if bad else 1.0, "kl": 2.0 if bad else 1.0 + number / 100})
        return {"l1": 1.0, "kl": 1.0}

    found = search(evaluate, wanted(trials=7), "a", Journal(tmp_path / "a.log"))
    assert [trial.state for trial in found.trials].index("stopped") == 5  # not before four ended
    assert found.trials[5].metrics == {"l1": 2.0, "kl": 2.0}
    assert found.trials[3].state == "finished"


def test_one_metric_is_pruned_by_optunas_median(tmp_path):
    def evaluate(number, params, checked):
        checked(10, {"misfit": 9.0 if number == 5 else 1.0})
        return {"misfit": 1.0}

    metrics = (StudyMetric(name="misfit"),)
    found = search(evaluate, wanted(trials=7, metrics=metrics), "a", Journal(tmp_path / "a.log"))
    assert [trial.number for trial in found.trials if trial.state == "stopped"] == [6]


def test_the_front_is_every_trial_that_no_other_beats():
    def trial(number, l1, kl):
        return Trial(number=number, params={}, metrics={"l1": l1, "kl": kl})

    trials = [trial(1, 1, 5), trial(2, 2, 2), trial(3, 3, 3), trial(4, 5, 1), trial(5, 2, 2)]
    metrics = [StudyMetric(name="l1"), StudyMetric(name="kl")]
    assert pareto_front(trials, metrics) == (1, 2, 4, 5)


def test_what_is_better_the_higher_it_is_is_chosen_so():
    def trial(number, found):
        return Trial(number=number, params={"beta": number}, metrics={"found": found})

    metric = StudyMetric(name="found", higher_is_better=True)
    trials = [trial(1, 0.10), trial(2, 0.14), trial(3, 0.20)]
    assert choose(trials, [metric], {"beta": 2}).number == 3
    assert choose([*trials, trial(4, 0.19)], [metric], {"beta": 4}).number == 4


def test_a_grid_has_every_point_once_and_the_published_setting_first(tmp_path):
    space = {"beta": SearchRange(1e-5, 1e-2, log=True), "snr": SearchRange(4.0, 64.0, log=True)}
    found = study(tmp_path / "a.log", trials=None, sampler="grid", space=space)
    tried = [trial.params for trial in found.trials]
    assert tried[:2] == [FIRST, DEFAULT]
    assert len(tried) == 20
    assert all(point in tried for point in grid(space, DEFAULT))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers_are_seeded(sampler, tmp_path):
    one, two = (study(tmp_path / f"{n}.log", trials=4, sampler=sampler) for n in "ab")
    assert one == two
    assert study(tmp_path / "c.log", trials=4, sampler=sampler, seed=4) != one
    largest = study(tmp_path / "d.log", trials=4, sampler=sampler, seed=2**32 - 1)
    assert len(largest.trials) == 4, "every seed that a run takes"


def test_processes_that_share_a_database_do_one_study_together(tmp_path):
    """Each does the trials that nobody else does, and both come to the same choice."""
    shared = Database(f"sqlite:///{tmp_path / 'team.db'}")
    done: list[tuple[str, int]] = []

    def work(name):
        def evaluate(number, params):
            done.append((name, number))
            time.sleep(0.05)
            return bowl(number, params)

        return study(shared, evaluate, trials=5)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(work, "ab")
    assert one == two
    assert {name for name, _ in done} == {"a", "b"}
    assert sorted(number for _, number in done) == sorted(set(range(5)))
    assert len(one.trials) == 5


def test_a_study_of_other_ranges_under_its_name_is_one_line(tmp_path):
    shared = Database(f"sqlite:///{tmp_path / 'team.db'}")
    study(shared, trials=2)
    other = SPACE | {"snr": SearchRange(1.0, 32.0)}
    with pytest.raises(
        UadBenchError, match=r"study a in sqlite.*\(snr 1 to 64 there, 1 to 32 here\)"
    ):
        study(shared, trials=3, space=other)


def test_a_study_that_others_made_is_not_gone_on_with(tmp_path):
    url = f"sqlite:///{tmp_path / 'team.db'}"
    made = optuna.create_study(study_name="a", storage=url, directions=["minimize"] * 2)
    made.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=1)
    with pytest.raises(UadBenchError, match="is of another search"):
        study(Database(url), trials=2)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////no/such/folder/team.db", "unable to open database file"),
        ("postgresql://ann:se%40cret@127.0.0.1:1/team", "Connection refused"),
        ("no address", "Could not parse"),
        ("nothing://host/team", "Can't load plugin"),
        ("mysql+nobody_has_it://host/team", "Can't load plugin"),
        ("oracle+cx_oracle://host/team", "needs the Python package cx_Oracle"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(url, reason):
    with pytest.raises(UadBenchError, match=reason) as caught:
        Database(url).refuse_unreachable()
    text = str(caught.value)
    assert "\n" not in text
    assert "cret" not in text + repr(Database(url))


def test_a_database_says_whether_there_is_something_to_go_on_with(tmp_path):
    file = tmp_path / "team.db"
    file.touch()
    closed = Database(f"sqlite:///file:{file}?mode=ro&uri=true")
    with pytest.raises(UadBenchError, match=r"cannot be used: .*readonly database$"):
        study(closed, trials=2)

    def lose(number, params):
        with sqlite3.connect(file) as database:
            database.execute("DROP TABLE trial_user_attributes")
        return bowl(number, params)

    with pytest.raises(UadBenchError, match=r"failed: no such table.*; trials that ended are in"):
        study(Database(f"sqlite:///{file}"), lose, trials=2)


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "team.db").write_text("text" * 1000)
    with pytest.raises(UadBenchError, match="not a database"):
        study(Database(f"sqlite:///{tmp_path / 'team.db'}"), trials=1)
