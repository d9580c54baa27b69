"""Tuning: the published setting comes first, and a killed study goes on as if never killed."""

import errno
import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import SearchRange
from uad_bench.tuning import Tuned, tune

SPACE = {"beta": SearchRange(1e-6, 1e-1, log=True), "snr": SearchRange(1.0, 64.0)}
FIRST = {"beta": 1e-3, "snr": 16.0}
DEFAULT = {"beta": 1e-5, "snr": 16.0}


def bowl(number, params):
    """A validation loss with its minimum at beta = 1e-2."""
    return {"l1": 1.0 + (math.log10(params["beta"]) + 2) ** 2, "kl": 2.0}


def study(journal: Path, evaluate=bowl, trials=12) -> Tuned:
    return tune(
        evaluate,
        SPACE,
        objective=("l1", "kl"),
        first=FIRST,
        default=DEFAULT,
        trials=trials,
        seed=3,
        journal=journal,
    )


def test_first_trial_is_the_published_setting_and_second_the_default(tmp_path):
    seen = []

    def evaluate(number, params):
        seen.append(dict(params))
        return bowl(number, params)

    found = study(tmp_path / "a.log", evaluate)
    assert seen[:2] == [FIRST, DEFAULT]
    assert len(seen) == 12
    assert found.trials == 12
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
    assert found.trials == 5
    assert found.diverged == 2
    assert found.params != FIRST


def test_all_trials_diverged_is_an_error(tmp_path):
    def evaluate(number, params):
        raise DivergenceError("loss is nan")

    # A divergence, so that the runner lets this method fail and goes on with the others.
    with pytest.raises(DivergenceError, match="every tuning trial diverged"):
        study(tmp_path / "a.log", evaluate, trials=3)


@given(share=st.floats(0, 1))
@settings(max_examples=25)
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
    assert study(Path("tuning/a.log"), trials=2).trials == 2
    assert time.monotonic() - started < 10


def test_a_file_system_without_links_and_locks_takes_a_study(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("os.symlink", refuse)
    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("fcntl.flock", refuse)
    assert study(tmp_path / "a.log", trials=2).trials == 2
    assert [file.name for file in tmp_path.glob("*.held")] == []
