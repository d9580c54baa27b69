"""participants.tsv is understood, whoever saved it, or refused in one line."""

import importlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.dataset import Scan
from uad_bench.discovery.locate import inspect
from uad_bench.discovery.people.health_words import HEALTH_COLUMNS, says_healthy
from uad_bench.discovery.people.participants import Participants, read_participants
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import discover
from uad_bench.runner.data.source import find_source
from uad_bench.volumes.checks.validate import validate_dataset

SPELLINGS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PEOPLE = [("01", "train", True), ("02", "validation", False), ("x3", "test", None)]


def table(root: Path, content: str | bytes) -> Participants:
    found = parse(root, content)
    assert found is not None
    return found


def parse(root: Path, content: str | bytes) -> Participants | None:
    raw = content.encode() if isinstance(content, str) else content
    (root / "participants.tsv").write_bytes(raw)
    return read_participants(root)


def bids(root: Path, *subjects: str, lesion: bool = False) -> None:
    for subject in subjects:
        names = [f"{subject}/anat/{subject}_FLAIR.nii.gz"]
        if lesion:
            names.append(f"derivatives/manual/{subject}/anat/{subject}_label-lesion_mask.nii.gz")
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()


def scans(root: Path, name: str = "bids") -> dict[str, Scan]:
    dataset = getattr(importlib.import_module(f"uad_bench.datasets.{name}"), name.capitalize())()
    return {scan.subject: scan for scan in dataset.scans(root)}


@given(data=st.data())
def test_separator_encoding_letter_case_and_blanks_do_not_change_what_a_table_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    separator = data.draw(st.sampled_from("\t,;"))
    encoding = data.draw(
        st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"))
    )
    ending = data.draw(st.sampled_from(("\n", "\r\n", "\r")))
    blanks = st.sampled_from(("", " ", "  "))
    case = st.sampled_from((str.lower, str.upper, str.title))

    def cell(text: str) -> str:
        return data.draw(blanks) + data.draw(case)(text) + data.draw(blanks)

    columns = ["participant_id", "centre", "split", "group"]
    order = data.draw(st.permutations(columns))
    lines = [[cell(column) for column in order]]
    for label, split, healthy in PEOPLE:
        words = {True: "healthy control", False: "patient", None: "n/a"}
        row = {
            "participant_id": f"{data.draw(st.sampled_from(('', 'sub-', ' SUB-')))}{label}",
            "centre": "Tübingen",
            "split": cell(data.draw(st.sampled_from(SPELLINGS[split]))),
            "group": cell(words[healthy]),
        }
        lines.append([row[column] for column in order])
    text = ending.join(separator.join(line) for line in lines) + ending
    found = table(tmp_path_factory.mktemp("table"), text.encode(encoding))
    assert found.subjects == ("sub-01", "sub-02", "sub-x3")
    assert found.splits == {f"sub-{label}": split for label, split, _ in PEOPLE}
    assert found.healthy == {"sub-01": True, "sub-02": False}
    assert found.columns == ("group",)


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_the_file_holds_it_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    refusal = ""
    try:
        parse(tmp_path_factory.mktemp("table"), content)
    except UadBenchError as error:
        refusal = str(error)
    assert refusal == "" or "participants.tsv: " in refusal
    assert len(refusal.splitlines()) <= 1


def test_a_dataset_without_the_table_has_none(tmp_path: Path) -> None:
    assert read_participants(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ("", "no column participant_id"),
        ("\n\n", "no column participant_id"),
        ("sub-01\ttrain\nsub-02\ttest\n", "the first line must name the columns"),
        ("participant_id split\nsub-01 train\n", "separated by tabs, commas or semicolons"),
        ("name\tsplit\nsub-01\ttrain\n", "no column participant_id"),
        ("participant_id\tsplit\n\ttrain\n", "line 2: '' is no participant_id"),
        ("participant_id\tsplit\nn/a\ttrain\n", "line 2: 'n/a' is no participant_id"),
        ("participant_id\tsplit\nsub-\ttrain\n", "line 2: 'sub-' is no participant_id"),
        ("participant_id,split\nsub-01\ttrain\n", "is no participant_id; write one such as"),
        ("participant_id,split\nsub-01,train,5\n", "line 2 has 3 cells for 2 columns"),
        ("participant_id\tsplit\tSplit\nsub-01\ta\tb\n", "two columns are named 'split'"),
        ("participant_id\tsplit\nsub-01\ttrian\n", "sub-01 has 'trian' in the column 'split'"),
        ("participant_id\tPartition\nsub-01\tA\n", "'A' in the column 'partition'"),
        ("participant_id\tsplit\tset\n1\ttrain\ttest\n", "sub-1 is 'train' in the column 'split'"),
        ("participant_id\tage\n1\t5\n2\t7\n1\t6\n2\t8\n", "different lines for sub-1, sub-2;"),
        ("participant_id\tage\n1\t5\nsub-1\t6\n", "several different lines for sub-1;"),
        ('participant_id\tnote\n1\t"open\n2\tx\n', "not a table"),
        ("participant_id\tage\n1\t5\n".encode("utf-16-le"), "holds zero bytes"),
        (b"\xff\xfep", "broken utf-16 text; save it as UTF-8"),
        (b"participant_id\n\x81\n", "neither UTF-8 nor Windows-1252 (byte 0x81 at 15)"),
        ('participant_id\tgroup\n1\tHC\n2\t"MS\n3\tHC"\n4\tHC\n', "line 3: a cell in quotes spans"),
        ("participant_id\tfold\n1\ttrain\n2\tVal\n3\t\n", "column 'fold' looks like a split"),
        (
            "participant_id\tgroup\tdiagnosis\n1\tcontrol\tstroke\n",
            "sub-1 is 'stroke' in the column 'diagnosis' and 'control' in 'group'",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(
    tmp_path: Path, content: str | bytes, refusal: str
) -> None:
    with pytest.raises(UadBenchError) as caught:
        parse(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'participants.tsv'}: ")
    assert refusal in message
    assert "\n" not in message


def test_a_table_in_another_format_or_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "participants.xlsx").write_bytes(b"PK")
    with pytest.raises(UadBenchError, match=r"participants\.xlsx: not read; save it as UTF-8"):
        read_participants(tmp_path)
    assert table(tmp_path, "participant_id\n1\n").subjects == ("sub-1",)
    (tmp_path / "Participants.TSV").write_text("participant_id\n2\n")
    with pytest.raises(UadBenchError, match="keep one of them"):
        read_participants(tmp_path)


def test_a_table_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").mkdir()
    with pytest.raises(UadBenchError, match=r"participants\.tsv: cannot be read \(Is a directory"):
        read_participants(tmp_path)


def test_identical_lines_short_lines_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    found = table(
        tmp_path, "\nparticipant_id\tsplit\tage\t\n1\ttrain\n\nsub-1\ttrain\t\t\n2\ttest\t3\t\n"
    )
    assert found.splits == {"sub-1": "train", "sub-2": "test"}


def test_a_quoted_cell_may_hold_the_separator(tmp_path: Path) -> None:
    found = table(tmp_path, 'participant_id,"age, years",split\n1,"4, or 5",test\n')
    assert found.splits == {"sub-1": "test"}


@pytest.mark.parametrize("column", ["Split", "split ", "set", "partition", "subset", "data split"])
def test_a_column_that_looks_like_a_split_is_one(tmp_path: Path, column: str) -> None:
    assert table(tmp_path, f"participant_id\t{column}\n1\tdev\n").splits == {"sub-1": "validation"}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        *((column, "control", True) for column in HEALTH_COLUMNS),
        *((column, "Patient", False) for column in HEALTH_COLUMNS),
        *((column, "N/A", None) for column in HEALTH_COLUMNS),
        *(("group", value, True) for value in ("HC", "CN", "NC", "HV", "Healthy-Control")),
        *(("group", value, None) for value in ("1", "0", "young", "A", "not healthy")),
        *(("dx", value, False) for value in ("F20", "Alzheimer's disease", "unhealthy")),
        *(("dx", value, None) for value in ("2", "1.0", "none", "no", "other")),
        *(("healthy", value, True) for value in ("yes", "1", "TRUE", "1.0")),
        *(("healthy", value, False) for value in ("no", "0", "false")),
        *(("patient", value, False) for value in ("yes", "1")),
        *(("patient", value, True) for value in ("no", "0")),
        ("healthy", "perhaps", None),
        ("dx", "healthy (control)", True),
        *(
            ("group", v, False)
            for v in ("MS patient", "Patients (RRMS)", "acute stroke", "pwMS / MS")
        ),
        *(("group", v, None) for v in ("MS control", "non-MS", "no stroke", "healthy elderly")),
        *(
            (column, value, True)
            for value in ("Control Group", "Healthy volunteers (HV)", "unaffected", "Controls (HC)")
            for column in ("group", "dx")
        ),
        *(("dx", v, None) for v in ("elderly control", "healthy carrier")),
        *(("group", v, None) for v in ("HC?", "healthy?", "MS?", "control ?")),
        *(("dx", v, None) for v in ("no lesion", "not MS", "none detected", "MS control")),
    ],
)
def test_what_a_cell_says_of_health(column: str, value: str, said: bool | None) -> None:
    assert says_healthy(column, value) is said


def test_a_value_that_is_not_understood_is_named(tmp_path: Path) -> None:
    found = table(tmp_path, "participant_id\tgroup\n1\tHC\n2\tarm A\n3\tarm A\n")
    assert found.healthy == {"sub-1": True}
    assert found.notes == ("column 'group': 'arm A': not known as healthy, so not read as such",)


@pytest.mark.parametrize("column", ["patient", "healthy", "control", "cohort"])
def test_a_doubtful_column_is_believed_whole_or_not_at_all(tmp_path: Path, column: str) -> None:
    known = "control" if column == "cohort" else "yes"
    found = table(tmp_path, f"participant_id\t{column}\n1\t{known}\n2\tP17\n3\t\n")
    assert (found.healthy, found.columns) == ({}, ())
    assert found.unclear == {"sub-1": (column, known), "sub-2": (column, "P17")}
    (note,) = found.notes
    assert note.startswith(f"column '{column}': 'P17': not known, so nobody is healthy")
    other = table(tmp_path, f"participant_id\t{column}\n1\tP16\n2\tP17\n")
    assert (other.healthy, other.unclear) == ({}, {}), "about something else"
    assert len(other.notes) == 1
    both = table(tmp_path, f"participant_id\t{column}\n1\t{known}\n2\t{known}\n3\tn/a\n")
    assert set(both.healthy) == {"sub-1", "sub-2"}


def test_a_column_of_another_name_that_speaks_of_health_is_named(tmp_path: Path) -> None:
    head, name = "participant_id\tclinical_diagnosis_text\tsite\tnote\n", "clinical_diagnosis_text"
    found = table(tmp_path, f"{head}1\tMS patient\tA\tHC\n2\thealthy\tB\ttired\n3\tn/a\tA\t\n")
    assert (found.healthy, found.unclear, found.columns) == ({}, {}, ())
    (note,) = found.notes
    assert note.startswith(
        f"column '{name}' seems to say who is healthy, but its name is not known"
    )
    assert "name it 'group'" in note


@pytest.mark.parametrize("arm", ["treatment", "Placebo", "active arm", "Sham stimulation"])
def test_a_plain_control_beside_the_arms_of_a_trial_is_not_healthy(
    tmp_path: Path, arm: str
) -> None:
    found = table(tmp_path, f"participant_id\tgroup\n1\t{arm}\n2\tControl\n3\thealthy control\n")
    assert found.healthy == {"sub-3": True}
    assert found.unclear == {"sub-1": ("group", arm), "sub-2": ("group", "Control")}


def test_a_treated_patient_is_no_arm_of_a_trial(tmp_path: Path) -> None:
    found = table(tmp_path, "participant_id\tgroup\n1\tactive MS\n2\ttreated patient\n3\tControl\n")
    assert found.healthy == {"sub-1": False, "sub-2": False, "sub-3": True}


@pytest.mark.parametrize("column", ["Healthy?", "healthy (yes/no)", "Is healthy?", "HEALTHY [0/1]"])
def test_a_question_is_a_columns_name_too(tmp_path: Path, column: str) -> None:
    found = table(tmp_path, f"participant_id\t{column}\n1\tFALSE\n2\tTRUE\n")
    assert found.healthy == {"sub-1": False, "sub-2": True}


@pytest.mark.parametrize(
    ("column", "levels", "healthy"),
    [
        ("patient", {"0": "patient", "1": "healthy control"}, {"sub-1": False, "sub-2": True}),
        ("group", {"0": "HC", "1": {"Description": "MS patient"}}, {"sub-1": True, "sub-2": False}),
        ("healthy", {"0": "see the protocol"}, {"sub-1": False, "sub-2": True}),
    ],
)
def test_what_participants_json_says_of_a_value_counts(
    tmp_path: Path, column: str, levels: dict[str, object], healthy: dict[str, bool]
) -> None:
    (tmp_path / "participants.json").write_text(json.dumps({column.title(): {"Levels": levels}}))
    assert table(tmp_path, f"participant_id\t{column}\n1\t0\n2\t1\n").healthy == healthy


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xff", b"[1]", b"null", b'{"group": {"Levels": 3}}']
)
def test_a_participants_json_of_any_form_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "participants.json").write_bytes(content)
    people = "participant_id\tgroup\n1\tHC\n"
    if content in (b"{", b"\xff\xff"):
        with pytest.raises(UadBenchError, match=r"participants\.json: cannot be read"):
            table(tmp_path, people)
    else:
        assert table(tmp_path, people).healthy == {"sub-1": True}


def test_who_is_clear_by_one_column_is_not_unclear_by_another(tmp_path: Path) -> None:
    found = table(tmp_path, "participant_id\tgroup\thealthy\n1\tyoung\tyes\n2\told\tn/a\n")
    assert found.unclear == {"sub-2": ("group", "old")}


def test_nobody_with_an_unknown_word_is_healthy_in_a_healthy_dataset(tmp_path: Path) -> None:
    bids(tmp_path, "sub-1", "sub-2", "sub-3")
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\n1\tarm A\n2\tHC\n3\t\n")
    assert [scan.healthy for scan in scans(tmp_path, "hi").values()] == [None, True, True]


def test_bids_takes_splits_and_healthy_people_from_the_table(tmp_path: Path) -> None:
    bids(tmp_path, "sub-1", lesion=True)
    bids(tmp_path, "sub-2", "sub-3")
    rows = "PARTICIPANT_ID;Split;Group\n1;test;patient\n2;test;control\n3;train;\n"
    (tmp_path / "participants.tsv").write_text(rows)
    found = scans(tmp_path)
    assert [(scan.split, scan.healthy) for scan in found.values()] == [
        ("test", False),
        ("test", True),
        ("train", None),
    ]
    assert not found["sub-2"].lesion, "nobody expects a mask of a healthy person"


def test_a_person_called_a_patient_is_not_healthy_in_a_healthy_dataset(tmp_path: Path) -> None:
    bids(tmp_path, "sub-1", "sub-2")
    (tmp_path / "participants.tsv").write_text("participant_id\tdx\n1\tMS\n2\t\n")
    assert [scan.healthy for scan in scans(tmp_path, "hi").values()] == [False, True]


def test_a_subject_with_a_scan_but_without_a_split_is_refused_by_name(tmp_path: Path) -> None:
    bids(tmp_path, "sub-01", "sub-02", "sub-03")
    (tmp_path / "participants.tsv").write_text("participant_id\tsplit\nsub-01\ttest\nsub-9\ttest\n")
    with pytest.raises(UadBenchError, match="no split for sub-02, sub-03: write train"):
        scans(tmp_path)


def test_people_without_scans_and_scans_without_people_are_named(tmp_path: Path) -> None:
    bids(tmp_path, "sub-1", "sub-2", lesion=True)
    rows = "".join(f"sub-{number}\t5\n" for number in (1, *range(3, 11)))
    (tmp_path / "participants.tsv").write_text("participant_id\tage\n" + rows)
    dataset = importlib.import_module("uad_bench.datasets.bids").Bids()
    lines = [
        "in the table, but without a scan: sub-3, sub-4, sub-5, sub-6, sub-7 and 3 more",
        "with a scan, but not in the table: sub-2",
    ]
    found = inspect(dataset, tmp_path)
    assert found.people is not None
    assert list(found.people.mismatches(scan.subject for scan in found.scans)) == lines
    warnings = [one.message for one in validate_dataset(dataset, tmp_path) if one.scan == "bids"]
    assert warnings[:2] == lines


@pytest.mark.parametrize("column", ["split\n{}\ttest", "group\n{}\tHC", "group\n{}\tarm A"])
@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("1", r"otherwise than the files' names: sub-1 \(files: sub-01\)"),
        ("AB", r"sub-AB \(files: sub-ab\)"),
        ("P7", "no id fits a subject: sub-P7 in the table, sub-01, sub-ab with scans"),
    ],
)
def test_a_table_of_other_ids_is_refused_where_it_matters(
    tmp_path: Path, column: str, row: str, refusal: str
) -> None:
    bids(tmp_path, "sub-01", "sub-ab")
    (tmp_path / "participants.tsv").write_text(f"participant_id\t{column.format(row)}\n")
    with pytest.raises(UadBenchError, match=refusal):
        scans(tmp_path)
    (tmp_path / "participants.tsv").write_text(f"participant_id\tage\n{row}\t5\n")
    assert set(scans(tmp_path)) == {"sub-01", "sub-ab"}, "ages do not matter"


def test_an_id_that_may_be_two_people_is_not_guessed(tmp_path: Path) -> None:
    bids(tmp_path, "sub-01", "sub-001", "sub-2")
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\n1\tHC\n2\tHC\n")
    assert [scan.healthy for scan in scans(tmp_path).values()] == [None, None, True]


def test_a_column_of_one_word_is_no_split(tmp_path: Path) -> None:
    assert table(tmp_path, "participant_id\tphase\n1\ttest\n2\ttest\n").splits is None


@pytest.mark.parametrize(("column", "told"), [("group\n1\tHC", True), ("age\n1\t5", False)])
def test_a_run_tells_who_is_not_in_a_table_that_matters(
    tmp_path: Path, column: str, told: bool
) -> None:
    root = tmp_path / "mine"
    bids(root, "sub-1", "sub-2", lesion=True)
    (root / "participants.tsv").write_text(f"participant_id\t{column}\n")
    source = find_source(f"bids:{root}", None, discover(), tmp_path / "cache")
    line = "bids-mine: with a scan, but not in participants.tsv: sub-2"
    assert (line in source.notes) is told
