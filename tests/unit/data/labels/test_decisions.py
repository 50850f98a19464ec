from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.data.labels.decisions import Decision, apply_decisions, decide, load, read_decisions, save
from danlu.data.labels.files import guard, unguard


@pytest.mark.parametrize(
    ("votes", "adjudicated", "expected"),
    [
        ({"a": "x"}, {}, ("x", "single")),
        ({"a": "x", "b": "x"}, {}, ("x", "unanimous")),
        ({"a": "x", "b": "y"}, {}, ("", "open")),
        ({"a": "x", "b": "x", "c": "y"}, {}, ("x", "majority")),
        ({"a": "x", "b": "x", "c": "y", "d": "y"}, {}, ("", "open")),
        ({"a": "x", "b": "y", "c": "z"}, {}, ("", "open")),
        ({"a": "x", "b": "?"}, {}, ("", "open")),
        ({"a": "x", "b": "x", "c": "?"}, {}, ("x", "majority")),
        ({"a": "?"}, {}, ("", "open")),
        ({"a": "x", "b": "x"}, {"chief": "y"}, ("y", "adjudicated")),
        ({"a": "x", "b": "y"}, {"chief": "?"}, ("", "open")),
    ],
)
def test_more_than_half_decide_and_an_adjudication_wins(
    votes: dict[str, str], adjudicated: dict[str, str], expected: tuple[str, str]
) -> None:
    assert decide(votes, adjudicated) == expected


def test_nothing_is_lost_when_the_newest_wins(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    first = Decision(content="c" * 64, given="x").with_votes({"ann": "x"}, {}, "2026-01-01")
    second = first.with_votes({"bob": "y"}, {}, "2026-01-02")
    third = second.with_votes({}, {"chief": "y"}, "2026-01-03")
    fourth = third.with_votes({"ann": "z"}, {}, "2026-01-04")
    save(path, [fourth])
    (found,) = load(path).values()
    assert found == fourth
    assert (found.label, found.how, found.votes) == ("y", "adjudicated", {"ann": "z", "bob": "y"})
    assert [(entry["decided"], entry["how"], entry["label"]) for entry in found.history] == [
        ("2026-01-01", "single", "x"),
        ("2026-01-02", "open", ""),
        ("2026-01-03", "adjudicated", "y"),
    ]
    assert found.history[0]["votes"] == {"ann": "x"}
    assert found.with_votes({"ann": "z"}, {"chief": "y"}, "2026-01-05") is found


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@settings(max_examples=80, deadline=None)
@given(CELL)
def test_a_guarded_cell_is_no_formula_and_comes_back(cell: str) -> None:
    assert not guard(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguard(guard(cell)) == cell


@settings(max_examples=40, deadline=None)
@given(CELL.filter(bool), CELL, CELL.filter(bool))
@example("=1+1", "a\r\nb\rc\nd", "\r")
def test_any_label_and_any_name_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, label: str, text: str, annotator: str
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    decision = Decision(content="0" * 64, text=text).with_votes({annotator: label}, {}, "2026-01-01")
    save(path, [decision])
    assert load(path) == {decision.content: decision}


def test_no_cell_of_the_file_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    decision = Decision(content="0" * 64, text="=cmd|' /C calc'!A0", given="-1").with_votes({"=me": "+1"}, {}, "now")
    save(path, [decision])
    cells = [cell for row in csv.reader(path.open(encoding="utf-8-sig", newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert read_decisions(path) == {"0" * 64: "+1"}


def test_decisions_override_labels_by_content(tmp_path: Path) -> None:
    save(
        tmp_path / "labels.csv",
        [
            Decision(content="a").with_votes({"ann": "x"}, {}, "now"),
            Decision(content="b").with_votes({"ann": "x", "bob": "y"}, {}, "now"),
        ],
    )
    decisions = read_decisions(tmp_path / "labels.csv")
    assert decisions == {"a": "x"}
    applied = apply_decisions(["a", "b", "a", "c"], ["y", "y", "x", "z"], decisions)
    assert applied.labels == ["x", "y", "x", "z"]
    assert (applied.changed, applied.confirmed) == (1, 1)


def test_a_text_of_any_length_comes_back(tmp_path: Path) -> None:
    long = Decision(content="c" * 64, text="长" * 300_000).with_votes({"ann": "x"}, {}, "2026-01-01")
    save(tmp_path / "labels.csv", [long])
    assert load(tmp_path / "labels.csv") == {long.content: long}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "has no column content, how, label"),
        ("content,label,how\nx,y,guess\n", "line 2: how is 'guess'; expected one of single"),
        ("content,label,how,votes\nx,y,single,{oops\n", "line 2: a cell is no JSON"),
        ("content,label,how,votes\nx,y,single,[]\n", "line 2: votes, adjudicated or history is not"),
        ('content,label,how,votes\nx,y,single,"{""a"": 1}"\n', "line 2: votes, adjudicated or history is not"),
        ("content,label,how,history\nx,y,single,3\n", "line 2: votes, adjudicated or history is not"),
        ("content,label,how\nx,y,single\nx,z,single\n", "line 3: the text x stands there twice"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load(tmp_path / "labels.csv")


def test_no_file_is_no_decision_but_a_recipe_must_name_one_that_is_there(tmp_path: Path) -> None:
    assert load(tmp_path / "none.csv") == {}
    with pytest.raises(DataError, match="danlu label import"):
        read_decisions(tmp_path / "none.csv")
