"""What others submit to the leaderboard: an export, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_archives import cell, results

from studies import submissions
from uad_bench.cells import DatasetUse

ROOT = Path(__file__).resolve().parents[2]


def submit(folder: Path, about: str = "by: A. Person\nlink: https://example.org/x") -> Path:
    folder.mkdir(parents=True)
    results(folder.parent / "results", cell(0)).export(folder / "mine.zip")
    (folder / "mine.yaml").write_text(about)
    return folder


def test_the_submissions_of_this_repository_have_no_fault():
    assert submissions.faults(ROOT / "results" / "submitted") == []


def test_a_whole_submission_has_no_fault_and_is_shown_as_somebodys(tmp_path):
    folder = submit(tmp_path / "submitted", "by: 'A|B <b>'\nlink: https://example.org/x")
    assert submissions.faults(folder) == []
    found = submissions.read_submissions(folder)
    page = "\n".join(submissions.sections(found, [cell(1)], ["dice", "hd95"]))
    assert "## Submitted: real patients" in page
    assert "simulated" not in page
    (row,) = [line for line in page.splitlines() if "FAE" in line]
    assert row.startswith(r"| [A\|B &lt;b&gt;](https://example.org/x) | FAE | wmh, none | same |")
    assert row.endswith("| 0.250 | – |")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("by: A", "link: Field required"),
        ("by: A\nlink: javascript:alert(1)", "link: String should match"),
        ("by: ''\nlink: https://a.org", "by: String should have at least 1"),
        ("by: A\nlink: https://a.org\nmore: 1", "more: Extra inputs"),
    ],
)
def test_a_submission_says_whose_it_is(tmp_path, about, said):
    (fault,) = submissions.faults(submit(tmp_path / "submitted", about))
    assert said in fault


def test_what_cannot_be_submitted_is_named(tmp_path, monkeypatch):
    folder = submit(tmp_path / "submitted")
    (folder / "notes.txt").write_text("x")
    (fault,) = submissions.faults(folder)
    assert "belongs to no submission" in fault
    (folder / "notes.txt").unlink()
    old = results(tmp_path / "old", cell(0, protocol_version=99))
    old.export(folder / "mine.zip")
    (fault,) = submissions.faults(folder)
    assert "version" in fault
    monkeypatch.setattr(submissions, "LARGEST_MB", 0)
    (fault,) = submissions.faults(folder)
    assert "over 0 MB" in fault


def test_simulated_and_real_people_are_apart():
    use = DatasetUse(
        dataset="wmh",
        simulated=True,
        manifest_hash="0",
        recipe="median",
        subjects=1,
        scans=1,
        slices=1,
    )
    about = submissions.About(by="A", link="https://example.org")
    one = submissions.Submission(about, (cell(0), cell(1, data=use)))
    page = "\n".join(submissions.sections([one], [], ["dice"]))
    simulated, real = page.split("## Submitted: real patients")
    assert simulated.count("FAE") == real.count("FAE") == 1
    assert "| other | 1 |" in simulated


def test_a_number_of_another_protocol_or_space_and_a_control_say_so():
    """A run under two protocols once gave two numbers of one name, side by side and unmarked."""
    whole = cell(0)
    others = [
        whole.model_copy(update={"spec": whole.spec.model_copy(update=change)})
        for change in ({"protocol": "paper"}, {"space": "native"})
    ]
    control = whole.model_copy(update={"control": True})
    about = submissions.About(by="A", link="https://example.org")
    one = submissions.Submission(about, (whole, *others, control))
    page = "\n".join(submissions.sections([one], [], ["dice"]))
    rows = [line for line in page.splitlines() if "FAE" in line]
    assert [row.split(" | ")[1:3] for row in rows] == [
        ["FAE", "wmh, none"],
        ["FAE", "wmh, none, protocol paper"],
        ["FAE", "wmh, none, native space"],
        ["FAE (control)", "wmh, none"],
    ]
