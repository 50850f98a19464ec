"""What a person opens: nothing in it computes, only labels can be changed, and it says how to fill it in."""

from __future__ import annotations

import zipfile
from pathlib import Path

import openpyxl
import pytest

from danlu.data.labels.batch import NEXT, SAMPLE, SUSPECT, Item
from danlu.data.labels.excel import write_adjudication, write_labels
from tests.unit.data.labels.example import rows_in

EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "\t=1", "|calc", "'quoted"]


def item(text: str, why: str = SUSPECT, **more: str) -> Item:
    return Item(content=f"{abs(hash(text)):064x}"[:64], text=text, why=why, part="train", **more)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    items = [item(text, given="ham", suggested="spam") for text in EVIL]
    items += [item("快递太慢了\n" + "很不满意。" * 60, why=NEXT, suggested="spam")]
    items += [item("sampled", why=SAMPLE, given="ham", suggested="spam")]
    write_labels(tmp_path / "labels.xlsx", items, ["ham", "spam", "=odd, label"], blind=False)
    return tmp_path / "labels.xlsx"


def test_no_text_is_a_formula(book: Path) -> None:
    sheet = openpyxl.load_workbook(book)["label"]
    for row in sheet.iter_rows(min_row=2):
        for cell in row:
            assert cell.data_type != "f"
            assert cell.quotePrefix
            assert cell.number_format == "@"
    assert [row["text"] for row in rows_in(book)][: len(EVIL)] == EVIL
    # Not even in the file itself: the only formula is the one that counts what is done, on the sheet that explains.
    with zipfile.ZipFile(book) as archive:
        formulas = {name: archive.read(name).count(b"<f>") for name in archive.namelist() if "worksheets/sheet" in name}
    assert formulas == {"xl/worksheets/sheet1.xml": 0, "xl/worksheets/sheet2.xml": 1, "xl/worksheets/sheet3.xml": 0}


def test_only_label_annotator_and_note_can_be_changed(book: Path) -> None:
    sheet = openpyxl.load_workbook(book)["label"]
    assert sheet.protection.sheet
    keys = [str(cell.value).split(" ")[0] for cell in sheet[1]]
    unlocked = {key for key, cell in zip(keys, sheet[2], strict=True) if not cell.protection.locked}
    assert unlocked == {"label", "annotator", "note"}
    # Sorting, filtering and wider columns are allowed all the same.
    assert not sheet.protection.sort
    assert not sheet.protection.autoFilter
    assert not sheet.protection.formatColumns


def test_it_is_pleasant_to_read(book: Path) -> None:
    sheet = openpyxl.load_workbook(book)["label"]
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["C"].width == 70
    assert sheet["C2"].alignment.wrap_text
    short, long = sheet.row_dimensions[2].height, sheet.row_dimensions[len(EVIL) + 2].height
    assert short is not None
    assert long is not None
    assert short < 25 < 100 < long <= 300


def test_the_drop_down_has_the_labels_and_a_way_out(book: Path) -> None:
    opened = openpyxl.load_workbook(book)
    (rule,) = opened["label"].data_validations.dataValidation
    assert rule.type == "list"
    assert rule.formula1 == "labels!$A$1:$A$4"
    assert str(rule.sqref) == f"F2:F{len(EVIL) + 3}"
    assert [cell.value for cell in opened["labels"]["A"]] == ["ham", "spam", "=odd, label", "?"]
    assert opened["labels"].sheet_state == "hidden"
    assert all(cell.data_type == "s" for cell in opened["labels"]["A"])


def test_a_sheet_explains_in_both_languages_and_counts(book: Path) -> None:
    sheet = openpyxl.load_workbook(book)["how to 说明"]
    said = "\n".join(str(cell.value) for row in sheet.iter_rows() for cell in row if cell.value)
    assert "drop-down" in said
    assert "下拉菜单" in said
    assert f"COUNTA(label!F2:F{len(EVIL) + 3})" in said


def test_hints_are_shown_but_never_for_a_sample_and_never_blind(book: Path, tmp_path: Path) -> None:
    rows = rows_in(book)
    assert (rows[0]["given"], rows[0]["suggested"]) == ("ham", "spam")
    assert (rows[-1]["given"], rows[-1]["suggested"]) == (None, None)
    write_labels(tmp_path / "blind.xlsx", [item("a", given="ham", suggested="spam")], ["ham", "spam"], blind=True)
    assert set(rows_in(tmp_path / "blind.xlsx")[0]) == {"id", "why", "text", "label", "annotator", "note"}


def test_what_a_cell_cannot_hold_is_cut_or_left_out(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.xlsx", [item("x" * 40_000), item("a\x07b\x00c")], ["ham"], blind=True)
    long, controls = rows_in(tmp_path / "a.xlsx")
    assert len(long["text"]) == 32_767
    assert long["text"].endswith("…")
    assert controls["text"] == "abc"


def test_an_adjudication_shows_who_said_what(tmp_path: Path) -> None:
    write_adjudication(tmp_path / "a.xlsx", [("0" * 64, "=text", {"bob": "spam", "ann": "ham"})], ["ham", "spam"])
    (row,) = rows_in(tmp_path / "a.xlsx")
    assert row["text"] == "=text"
    assert row["votes"] == "ann: ham\nbob: spam"
    assert row["label"] is None


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.xlsx"
    write_labels(path, [item("first")], ["ham"], blind=True)
    before = path.read_bytes()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_labels(path, [item("second")], ["ham"], blind=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.xlsx"]
