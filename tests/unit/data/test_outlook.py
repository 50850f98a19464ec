"""What a run would stumble over is told by the plan, before the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from danlu.cli.main import main
from danlu.core.errors import DataError
from danlu.data.config import DataConfig
from danlu.data.outlook import outlook
from tests.unit.data.test_stage import make


def look(path: Path, *, task: str = "classify", **values: Any) -> list[str]:
    config = DataConfig.model_validate({"sources": [{"path": str(path)}], **values})
    return outlook(config, [path], task=task)


def table(folder: Path, rows: list[str]) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


TORN = [f"review {n // 2},{'ab'[n % 2]}" for n in range(80)]


def test_good_data_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert look(table(tmp_path, [f"review {n},{'ab'[n % 2]}" for n in range(40)])) == []


def test_labels_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    path = table(tmp_path, [*TORN[:20], *(f"a review {n},{'ab'[n % 2]}" for n in range(40))])
    assert look(path) == ["10 of 50 texts occur with different labels; such rows are rejected (data.label_conflicts)."]
    assert look(path, label_conflicts="keep") == look(path, label_conflicts="majority") == []
    assert look(path, task="generate") == []


#: What a run refuses, and what the recipe's data section says beside it.
REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "two rows": (["good one,a", "bad one,b"], {}, "Only 2 usable rows are left of 2 read"),
    "one row": (["good one,a"], {}, "Only 1 usable row is left of 1 read"),
    "one class": ([f"review {n},好" for n in range(40)], {}, "All 40 usable rows have the label '好'"),
    "one by merging": (
        [f"re {n},{'ab'[n % 2]}" for n in range(40)],
        {"labels": {"merge": {"a": ["b"]}}},
        "All 40 usable",
    ),
    "a label a row": ([f"review {n},{n}" for n in range(60)], {}, "has 60 different labels in 60 rows"),
    "too short": ([f"{n},{'ab'[n % 2]}" for n in range(60)], {"min_characters": 3}, "Dropped: 60 too_short"),
    "no labels": ([f"review {n}," for n in range(40)], {}, "Dropped: 40 no_label"),
    "repeats": ([f"review {n % 6},{'ab'[n % 2]}" for n in range(60)], {}, "Dropped: 54 exact_duplicate"),
    "all torn": (TORN, {}, "Dropped: 80 label_conflict"),
    "no majority": (TORN, {"label_conflicts": "majority"}, "Dropped: 80 label_conflict"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_run_refuses_is_refused_before_it_in_the_same_words(case: str, tmp_path: Path) -> None:
    rows, values, words = REFUSED[case]
    path = table(tmp_path, rows)
    with pytest.raises(DataError) as before:
        look(path, **values)
    with pytest.raises(DataError) as run:
        make(tmp_path / "run", [path], **values)
    assert words in str(before.value)
    assert str(before.value) == str(run.value)


def test_what_people_decided_may_change_the_classes(tmp_path: Path) -> None:
    path = table(tmp_path, [f"review {n},a" for n in range(40)])
    assert look(path, labels={"decisions": str(path)}) == []


def test_pairs_and_conversations_are_read_as_a_run_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("text,pair\n" + "".join(f"where is it,here {n}\n" for n in range(40)), encoding="utf-8")
    assert look(path, task="embed") == []
    path = tmp_path / "turns.csv"
    turns = "".join(f"{n},买家,好吗\n{n},小二,好的 {n}\n" for n in range(10))
    path.write_text("id,who,text\n" + turns, encoding="utf-8")
    asked = {"speaker": "who", "conversation": "id", "speakers": {"买家": "user", "小二": "assistant"}, "label": None}
    with pytest.raises(DataError, match="Only 10 usable rows are left of 10 read"):
        look(path, task="generate", **asked)


def test_data_too_large_to_look_at_is_warned_of_by_its_first_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danlu.data.outlook._MOST_ROWS", 50)
    (told,) = look(table(tmp_path, [f"review {n},a" for n in range(60)]))
    assert told.startswith("Of the first 50 rows: All 50 usable rows have the label 'a'")
    (told,) = look(table(tmp_path, TORN))
    assert told.startswith("Every text occurs with different labels")


def test_the_plan_refuses_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = (
        "name: x\ntask: classify\ndata:\n  sources:\n    - path: a.csv\nmodel:\n  scratch: {layers: 1, width: 16}\n"
        "train: {learning_rate: 50.0}\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    monkeypatch.setattr("danlu.api.plan", lambda *_, **__: Planned())
    (tmp_path / "a.csv").write_text("text,mood\nfine,good\n", encoding="utf-8")
    assert main(["plan", "recipe.yaml"]) == 2
    assert "recipe.yaml:5: a.csv has no column 'label'" in capsys.readouterr().err
    table(tmp_path, [f"a review {n},a" for n in range(40)])
    assert main(["plan", "recipe.yaml"]) == 2
    said = capsys.readouterr()
    assert "All 40 usable rows have the label 'a'" in said.err
    assert "Next:" not in said.out
    table(tmp_path, [*TORN[:20], *(f"a review {n},{'ab'[n % 2]}" for n in range(40))])
    assert main(["plan", "recipe.yaml", "--json"]) == 0
    unlikely, torn = json.loads(capsys.readouterr().out)["warnings"]
    assert unlikely.startswith("recipe.yaml:8: train.learning_rate is 50.0")
    assert torn.startswith("10 of 50 texts occur with different labels")


TEACHER = {"endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "big"}, "labels": ["a", "b"], "licence": "MIT"}

#: Rows of which a teacher answers all or some, what else the section says, and what is told.
TAUGHT: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "no label": ([f"review {n},a" for n in range(40)], {"label": None}, []),
    "all cells empty": ([f"review {n}," for n in range(40)], {}, []),
    "half of them": ([f"review {n},{'a' * (n % 2)}" for n in range(40)], {}, []),
    "the same text": ([f"review {n // 2},{'a' * (n % 2)}" for n in range(80)], {}, []),
    "people differ": (
        [*TORN[:20], *(f"re {n}," for n in range(40))],
        {},
        ["Every text occurs with different labels; such rows are rejected (data.label_conflicts)."],
    ),
}


@pytest.mark.parametrize("case", TAUGHT)
def test_what_a_teacher_answers_is_not_known_before(case: str, tmp_path: Path) -> None:
    rows, values, told = TAUGHT[case]
    assert look(table(tmp_path, rows), teacher=TEACHER, **values) == told


def test_too_few_rows_for_a_teacher_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Only 7 usable rows are left of 14 read"):
        look(table(tmp_path, [f"review {n // 2}," for n in range(14)]), teacher=TEACHER)


def test_a_plan_for_a_teacher_and_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path, [f"review {n},{'a' * (n % 2)}" for n in range(40)])
    monkeypatch.setattr("danlu.api.plan", lambda *_, **__: Planned())

    def planned(label: str, teacher: dict[str, Any]) -> int:
        source = {"path": "a.csv", "licence": "CC0-1.0"}
        data = {"sources": [source], "label": label or None, "teacher": teacher}
        sections = {"name": "x", "task": "classify", "data": data, "model": {"scratch": {"layers": 1, "width": 16}}}
        (tmp_path / "recipe.yaml").write_text(json.dumps(sections, indent=1), encoding="utf-8")
        return main(["plan", "recipe.yaml", "--json"])

    for label in ("", "label"):
        assert planned(label, TEACHER) == 0
        assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert planned("labell", TEACHER) == 2
    assert "a.csv has no column 'labell'" in capsys.readouterr().err
    assert planned("", {name: value for name, value in TEACHER.items() if name != "licence"}) == 0
    (told,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "data.teacher.licence is empty" in told and "trains anew" in told


def test_columns_beside_the_text_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text,label,amount\n" + "fine,a,1\n" * 3, encoding="utf-8")
    recipe = (
        "name: x\ntask: classify\ndata:\n  sources:\n    - path: a.csv\n  columns:\n    numeric: [amout]\n"
        "model:\n  scratch: {layers: 1, width: 16}\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    assert main(["recipe", "check", "recipe.yaml"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "recipe.yaml:7: a.csv has no column 'amout', which data.columns.numeric names" in said
    assert "Did you mean 'amount'?" in said


class Planned:
    """Stands for the plan, which has tests of its own and takes seconds."""

    def json(self, _name: str) -> dict[str, Any]:
        return {"total": {}}
