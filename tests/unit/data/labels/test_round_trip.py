"""Out to people and back, on real files."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest

from danlu.core.artifact import Artifact
from danlu.core.errors import DataError, UserError
from danlu.core.store import Workspace
from danlu.data.labels.batch import load_batches
from danlu.data.labels.decisions import load, read_decisions
from danlu.data.labels.hand_out import Asked, export
from danlu.data.labels.take_in import take_in
from danlu.data.steps import content_of
from danlu.examples import tiny_rows
from tests.unit.data.labels.example import corpus_rows, fill_in, make_corpus, other, rows_in

pytest.importorskip("cleanlab")

ROWS = corpus_rows()
TRUTH = {row["text"]: row["truth"] for row in ROWS}
NEW = [row["text"] for row in tiny_rows(60, seed=9) if row["text"] not in TRUTH]
Space = tuple[Workspace, Artifact]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return make_corpus(tmp_path_factory.mktemp("space") / "space", ROWS)


@pytest.fixture(scope="module")
def sheet(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One export that many tests fill in, each its own copy."""
    path = tmp_path_factory.mktemp("sheet") / "labels.xlsx"
    export(space[1], space[0], Asked(out=path, test_sample=20))
    return path


def unlabelled(folder: Path) -> Path:
    path = folder / "new.csv"
    with path.open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows(
            [["review"], *([text] for text in [*NEW, NEW[0], ROWS[1]["text"], " ", "写信给 a@b.com 的顾客"])]
        )
    return path


def test_suspects_come_first_and_test_rows_not_at_all(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    done = export(corpus, workspace, Asked(out=tmp_path / "labels.xlsx", rows=30, unlabelled=unlabelled(tmp_path)))
    rows = rows_in(tmp_path / "labels.xlsx")
    why = [str(row["why"]).split(" ")[0] for row in rows]
    assert why == sorted(why, reverse=True)
    assert 1 <= why.count("suspect") <= 15
    assert len(rows) == 30
    parts = {row["text"]: row["part"] for row in ROWS}
    assert {parts[row["text"]] for row in rows if row["given"]} <= {"train", "validation"}
    wrong = [row for row in rows if row["given"] and TRUTH[row["text"]] != row["given"]]
    assert len(wrong) >= 0.5 * why.count("suspect")
    assert all(row["suggested"] == other(row["given"]) for row in rows if row["given"])
    # What the corpus has already is not labelled again, equal texts once, and what leaves is masked.
    nexts = [row["text"] for row in rows if not row["given"]]
    assert len(set(nexts)) == len(nexts)
    assert not set(nexts) & set(TRUTH)
    assert "a@b.com" not in json.dumps([item.text for item in done.batch.items])
    assert all(row["id"] == content_of(row["text"]) for row in rows)


def test_the_test_part_is_sampled_without_hints_or_on_demand(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    done = export(corpus, workspace, Asked(out=tmp_path / "a.xlsx", test_sample=8))
    sample = [row for row in rows_in(tmp_path / "a.xlsx") if str(row["why"]).startswith("sample")]
    assert len(sample) == 8
    assert all(row["given"] is None and row["suggested"] is None for row in sample)
    assert not [note for note in done.notes if "test part" in note]
    asked = Asked(out=tmp_path / "b.xlsx", test_suspects=True)
    done = export(corpus, workspace, asked)
    assert any(item.part == "test" and item.why == "suspect" for item in done.batch.items)
    # A row of the sample that is a suspect too is judged without a hint.
    both = export(corpus, workspace, Asked(out=tmp_path / "c.xlsx", test_suspects=True, test_sample=100))
    contents = [item.content for item in both.batch.items]
    assert len(set(contents)) == len(contents)
    assert not any(item.part == "test" and item.why == "suspect" for item in both.batch.items)
    assert any("look better than they are" in note for note in done.notes)


def test_labels_come_back_and_decide(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    asked = Asked(out=tmp_path / "labels.xlsx", rows=40, unlabelled=unlabelled(tmp_path), text="review", test_sample=8)
    export(corpus, workspace, asked)
    truth = TRUTH | {row["text"]: row["label"] for row in tiny_rows(60, seed=9)}
    filled = fill_in(tmp_path / "labels.xlsx", tmp_path / "ann.xlsx", truth)
    done = take_in([filled], workspace, tmp_path / "labels.csv")
    decided = read_decisions(tmp_path / "labels.csv")
    assert decided
    by_content = {content_of(text): label for text, label in truth.items()}
    assert all(by_content[content] == label for content, label in decided.items())
    assert {decision.how for decision in load(tmp_path / "labels.csv").values()} == {"single"}
    found = done.as_json()["outcome"]
    assert found["suspect"]["changed"] >= 0.5 * found["suspect"]["decided"] > 0
    share = found["sample"]["changed_share"]
    assert share["low"] <= share["value"] <= share["high"]
    # Rows from outside are data that a recipe can name, with the corpus's own column names.
    assert done.new_rows is not None
    lines = [json.loads(line) for line in done.new_rows.read_text(encoding="utf-8").splitlines()]
    assert lines
    assert all(set(line) == {"text", "label"} and truth[line["text"]] == line["label"] for line in lines)
    # And what is decided is not handed out again.
    again = export(corpus, workspace, Asked(out=tmp_path / "more.xlsx", decided=decided.keys(), test_sample=100))
    assert not {item.content for item in again.batch.items} & decided.keys()


def test_two_people_agree_disagree_and_a_third_settles_it(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    out = tmp_path / "labels.csv"
    export(corpus, workspace, Asked(out=tmp_path / "rows.xlsx", annotators=2, blind=True, test_sample=20))
    assert not (tmp_path / "rows.xlsx").exists()
    texts = [row["text"] for row in rows_in(tmp_path / "rows-1.xlsx")]
    assert texts == [row["text"] for row in rows_in(tmp_path / "rows-2.xlsx")]
    ann = {text: TRUTH[text] for text in texts}
    bob = {text: other(label) if number < 3 else label for number, (text, label) in enumerate(ann.items())}
    take_in([fill_in(tmp_path / "rows-1.xlsx", tmp_path / "ann.xlsx", ann)], workspace, out)
    done = take_in([fill_in(tmp_path / "rows-2.xlsx", tmp_path / "x.xlsx", bob, annotator="bob")], workspace, out)
    found = done.agreement
    assert (found["kind"], found["annotators"], found["rows"]) == ("cohen", ["ann", "bob"], len(texts))
    assert found["pairs"][0]["equal"] == pytest.approx(1 - 3 / len(texts))
    assert done.waiting == 3
    assert done.to_settle == tmp_path / "adjudicate.xlsx"
    assert len(read_decisions(out)) == len(texts) - 3
    rows = rows_in(done.to_settle)
    assert {row["text"] for row in rows} == set(texts[:3])
    assert rows[0]["votes"].startswith("ann: ")
    # Asked again before anybody settled it: the same file, not another one.
    assert take_in([tmp_path / "x.xlsx"], workspace, out).to_settle == done.to_settle
    settled = fill_in(done.to_settle, tmp_path / "chief.xlsx", dict.fromkeys(texts[:2], "good"))
    done = take_in([settled], workspace, out)
    assert done.waiting == 1
    assert done.to_settle == tmp_path / "adjudicate-2.xlsx"
    assert [row["text"] for row in rows_in(done.to_settle)] == [texts[2]]
    decisions = load(out)
    assert decisions[content_of(texts[0])].adjudicated == {"chief": "good"}
    assert decisions[content_of(texts[0])].history[-1]["how"] == "open"
    # A later vote does not unsettle it.
    take_in([fill_in(tmp_path / "rows-1.xlsx", tmp_path / "cay.xlsx", {texts[0]: "bad"})], workspace, out)
    assert read_decisions(out)[content_of(texts[0])] == "good"


def test_three_people_get_fleiss_and_a_majority(space: Space, sheet: Path, tmp_path: Path) -> None:
    workspace, _ = space
    texts = [row["text"] for row in rows_in(sheet)]
    for number, name in enumerate(("ann", "bob", "cay")):
        labels = {text: other(TRUTH[text]) if place % 7 == number else TRUTH[text] for place, text in enumerate(texts)}
        fill_in(sheet, tmp_path / f"{name}.xlsx", labels)
    files = [tmp_path / f"{name}.xlsx" for name in ("ann", "bob", "cay")]
    done = take_in(files, workspace, tmp_path / "labels.csv", "disagreements")
    assert done.agreement["kind"] == "fleiss"
    assert done.agreement["votes_per_row"] == 3
    assert len(done.agreement["pairs"]) == 3
    disagreed = sum(place % 7 < 3 for place in range(len(texts)))
    counts = done.as_json()["decisions"]
    assert counts == {"majority": disagreed, "unanimous": len(texts) - disagreed}
    assert done.waiting == disagreed
    assert all(read_decisions(tmp_path / "labels.csv")[content_of(text)] == TRUTH[text] for text in texts)


def test_every_mistake_is_named_with_sheet_and_row_and_nothing_is_written(
    space: Space, sheet: Path, tmp_path: Path
) -> None:
    workspace, _ = space
    texts = [row["text"] for row in rows_in(sheet)]
    filled = fill_in(
        sheet,
        tmp_path / "ann.xlsx",
        {texts[0]: "goood", texts[1]: "nonsense", texts[2]: "good", texts[3]: " GOOD "},
    )
    book = openpyxl.load_workbook(filled)
    book["label"]["A4"] = "f" * 64
    book.save(filled)
    with pytest.raises(DataError) as raised:
        take_in([filled], workspace, tmp_path / "labels.csv")
    said = str(raised.value)
    assert "because of 3 mistakes" in said
    assert "ann.xlsx, sheet 'label', row 2: there is no label 'goood'. Did you mean 'good'?" in said
    assert "row 3: there is no label 'nonsense'. The labels are 'bad', 'good', '?'." in said
    assert "row 4: the id 'ffffffffffffffffffffffff' was never exported" in said
    assert not (tmp_path / "labels.csv").exists()


def test_one_person_with_two_labels_for_a_row_is_named(space: Space, sheet: Path, tmp_path: Path) -> None:
    workspace, _ = space
    text = rows_in(sheet)[0]["text"]
    (tmp_path / "2").mkdir()
    files = [
        fill_in(sheet, tmp_path / "ann.xlsx", {text: "good"}),
        fill_in(sheet, tmp_path / "2" / "ann.xlsx", {text: "bad"}),
    ]
    with pytest.raises(DataError, match="'ann' chose 'bad' here and 'good' in ann.xlsx, sheet 'label', row 2"):
        take_in(files, workspace, tmp_path / "labels.csv")


def test_another_persons_file_of_the_same_name_is_not_taken_for_a_change_of_mind(
    space: Space, sheet: Path, tmp_path: Path
) -> None:
    workspace, _ = space
    out = tmp_path / "labels.csv"
    texts = [row["text"] for row in rows_in(sheet)][:6]
    for name in ("ann", "bob", "carl"):
        (tmp_path / name).mkdir()
    first = fill_in(sheet, tmp_path / "ann" / "labels.xlsx", dict.fromkeys(texts, "good"))
    take_in([first], workspace, out)
    before = out.read_bytes()
    second = fill_in(sheet, tmp_path / "bob" / "labels.xlsx", dict.fromkeys(texts, "bad"))
    with pytest.raises(DataError, match="'labels' chose 'bad' here and 'good' in an earlier import") as caught:
        take_in([second], workspace, out)
    assert "and 1 more" in str(caught.value)
    assert out.read_bytes() == before
    assert take_in([second], workspace, out, replace=True).agreement["annotators"] == ["labels"]
    named = fill_in(sheet, tmp_path / "carl" / "labels.xlsx", dict.fromkeys(texts, "good"), annotator="carl")
    assert take_in([named], workspace, out).agreement["annotators"] == ["carl", "labels"]


def test_a_sheet_saved_as_csv_by_chinese_excel_is_read(space: Space, sheet: Path, tmp_path: Path) -> None:
    workspace, _ = space
    cells = openpyxl.load_workbook(sheet)["label"]
    rows = [["" if cell is None else cell for cell in row] for row in cells.iter_rows(values_only=True)]
    place = [str(cell).split(" ")[0] for cell in rows[0]].index("label")
    rows[1][place] = "good"
    with (tmp_path / "小王.csv").open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows(rows)
    done = take_in([tmp_path / "小王.csv"], workspace, tmp_path / "labels.csv")
    assert [decision.votes for decision in done.decisions.values()] == [{"小王": "good"}]


def test_label_studio_there_and_back(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    asked = Asked(out=tmp_path / "a.xlsx", label_studio=tmp_path / "tasks.json", test_sample=3)
    done = export(corpus, workspace, asked)
    assert tmp_path / "tasks.config.xml" in done.files
    view = ElementTree.parse(tmp_path / "tasks.config.xml").getroot()
    assert view.find("Text[@value='$text']") is not None
    choices = view.find("Choices")
    assert choices is not None
    assert [choice.get("value") for choice in choices] == ["bad", "good", "?"]
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["text"] for task in tasks] == [item.text for item in done.batch.items]
    assert all("predictions" in task for task in tasks if task["data"]["why"] == "suspect")
    assert not any("predictions" in task or task["data"]["given"] for task in tasks if task["data"]["why"] == "sample")
    (result,) = tasks[0]["predictions"][0]["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == (
        choices.get("name"),
        choices.get("toName"),
        "choices",
    )

    def annotation(choice: str, who: object, at: str, **more: object) -> dict[str, object]:
        made = {"value": {"choices": [choice]}, "from_name": "label", "to_name": "text", "type": "choices"}
        return {"completed_by": who, "updated_at": at, "was_cancelled": False, "result": [made]} | more

    tasks[0]["annotations"] = [
        annotation("bad", {"id": 1, "email": "ann@example.com"}, "2026-01-02"),
        annotation("good", {"id": 1, "email": "ann@example.com"}, "2026-01-01"),
        annotation("bad", 2, "2026-01-01"),
    ]
    tasks[1]["annotations"] = [annotation("good", 2, "2026-01-01", was_cancelled=True)]
    tasks[2]["annotations"] = []
    back = [task for task in tasks if "annotations" in task]
    (tmp_path / "project.json").write_text(json.dumps(back, ensure_ascii=False), encoding="utf-8")
    took = take_in([tmp_path / "project.json"], workspace, tmp_path / "labels.csv")
    (decision,) = took.decisions.values()
    assert decision.votes == {"ann@example.com": "bad", "annotator 2": "bad"}
    flat = [{"id": 7, "content": tasks[3]["data"]["content"], "text": "t", "label": "good", "annotator": 4}]
    (tmp_path / "min.json").write_text(json.dumps(flat), encoding="utf-8")
    took = take_in([tmp_path / "min.json"], workspace, tmp_path / "labels.csv")
    assert took.decisions[tasks[3]["data"]["content"]].votes == {"annotator 4": "good"}
    with pytest.raises(DataError, match="looks like the tasks that went in"):
        take_in([tmp_path / "tasks.json"], workspace, tmp_path / "labels.csv")


def test_mended_test_labels_are_spoken_of(tmp_path: Path) -> None:
    # In a place of its own: a batch of another test may have handed out the same rows for another reason.
    workspace, corpus = make_corpus(tmp_path / "space", ROWS)
    done = export(corpus, workspace, Asked(out=tmp_path / "a.xlsx", test_suspects=True))
    text = next(item.text for item in done.batch.items if item.part == "test" and item.given != TRUTH[item.text])
    took = take_in(
        [fill_in(tmp_path / "a.xlsx", tmp_path / "b.xlsx", TRUTH | {text: TRUTH[text]})], workspace, tmp_path / "l.csv"
    )
    assert any("a model pointed at them" in note for note in took.notes)


def test_somebodys_work_is_not_overwritten(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    before = len(load_batches(workspace))
    (tmp_path / "labels.xlsx").write_bytes(b"hours of work")
    with pytest.raises(UserError, match=r"danlu label import .*labels.xlsx.*--force"):
        export(corpus, workspace, Asked(out=tmp_path / "labels.xlsx"))
    assert (tmp_path / "labels.xlsx").read_bytes() == b"hours of work"
    assert len(load_batches(workspace)) == before
    export(corpus, workspace, Asked(out=tmp_path / "labels.xlsx", replace=True))
    assert rows_in(tmp_path / "labels.xlsx")


def test_imports_at_the_same_time_lose_nothing(space: Space, sheet: Path, tmp_path: Path) -> None:
    workspace, _ = space
    texts = [row["text"] for row in rows_in(sheet)]
    files = [fill_in(sheet, tmp_path / f"p{n}.xlsx", dict.fromkeys(texts, "good")) for n in range(3)]
    threads = [threading.Thread(target=take_in, args=([file], workspace, tmp_path / "labels.csv")) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(decision.votes) == 3 for decision in load(tmp_path / "labels.csv").values())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "none.xlsx", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _written(folder / "a.csv", "text,stars\nx,1\n"), "no column 'id' and no column 'label'"),
        (lambda folder: _written(folder / "a.json", "{}"), "expected a list of tasks"),
        (lambda folder: _written(folder / "a.csv", "id,label\nx,\n"), "No label is filled in"),
        (lambda folder: _written(folder / "a.csv", "id,label,label (old)\nx,y,z\n"), "two columns for the label"),
        (lambda folder: _written(folder / "a.xlsx", "PK\x03\x04 broken"), "not an Excel file that can be read"),
    ],
)
def test_files_that_are_no_labels_are_refused(
    space: Space, sheet: Path, tmp_path: Path, make: object, said: str
) -> None:
    workspace, _ = space
    with pytest.raises(UserError, match=said):
        take_in([make(tmp_path)], workspace, tmp_path / "labels.csv")  # type: ignore[operator]


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_workspace_that_exported_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="danlu label export NAME"):
        take_in([tmp_path / "a.xlsx"], Workspace(tmp_path / "space"), tmp_path / "labels.csv")


def test_unlabelled_files_that_do_not_help_are_refused(space: Space, tmp_path: Path) -> None:
    workspace, corpus = space
    two = _written(tmp_path / "two.csv", "review,stars\nx,1\n")
    with pytest.raises(DataError, match=r"no column 'text'.*--text"):
        export(corpus, workspace, Asked(out=tmp_path / "a.xlsx", unlabelled=two))
    known = _written(tmp_path / "known.csv", f"text\n{ROWS[0]['text']}\n")
    with pytest.raises(DataError, match="already in the corpus"):
        export(corpus, workspace, Asked(out=tmp_path / "a.xlsx", unlabelled=known))
