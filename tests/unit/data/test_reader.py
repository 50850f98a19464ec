"""Every format and encoding comes in; every broken thing is refused or rejected with a reason."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from danlu.core.errors import DataError
from danlu.data.reader import Input, Labels, Tally, read_sources, row_id
from danlu.data.rows import Columns
from danlu.data.tables import Rejects
from danlu.sources.config import SourceConfig
from danlu.sources.encoding import check, detect
from danlu.sources.formats import guess_format, open_file
from danlu.sources.values import as_text

ROWS = [("你好，世界", "好"), ("第二行\n有换行，“引号”", "坏"), ('say "hi", ok', "好")]


def read(
    path: Path,
    folder: Path,
    *,
    text: str = "text",
    label: str | None = "label",
    max_bad_rows: int = 1000,
    fixed_label: str | None = None,
    **config: str,
) -> tuple[list[dict[str, str]], list[dict[str, str]], Tally, Labels]:
    asked = SourceConfig.model_validate({"path": str(path), "label": fixed_label, **config})
    source = Input(position=0, path=path, digest="d" * 64, config=asked)
    rejects = Rejects(folder / "rejected", folder / "scratch")
    tallies, labels = read_sources(
        [source],
        columns=Columns(text=text, label=label),
        max_bad_rows=max_bad_rows,
        out=folder / "raw",
        rejects=rejects,
        advance=lambda _: None,
    )
    rejects.close()
    rows = pq.read_table(folder / "raw").sort_by("place").to_pylist()
    return rows, pq.read_table(folder / "rejected").to_pylist(), tallies[0], labels


def as_csv(encoding: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "rows.csv"
        lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [("text", "label"), *ROWS]]
        path.write_bytes("\r\n".join(lines).encode(encoding))
        return path

    return write


def as_excel(folder: Path) -> Path:
    book = openpyxl.Workbook()
    for row in [("text", "label"), *ROWS]:
        book.active.append(row)
    book.save(folder / "rows.xlsx")
    return folder / "rows.xlsx"


def as_jsonl(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    rows = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in ROWS]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def as_json(folder: Path) -> Path:
    path = folder / "rows.json"
    rows = [{"text": text, "label": label} for text, label in ROWS]
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def as_parquet(folder: Path) -> Path:
    pq.write_table(pa.table({"text": [r[0] for r in ROWS], "label": [r[1] for r in ROWS]}), folder / "rows.parquet")
    return folder / "rows.parquet"


@pytest.mark.parametrize(
    "write",
    [
        *(pytest.param(as_csv(name), id=name) for name in ("utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16")),
        as_excel,
        as_jsonl,
        as_json,
        as_parquet,
    ],
)
def test_every_form_gives_the_same_rows(write: Callable[[Path], Path], tmp_path: Path) -> None:
    rows, rejected, tally, _ = read(write(tmp_path), tmp_path)
    assert [(row["text"], row["label"]) for row in rows] == ROWS
    assert rejected == []
    assert tally.rows == 3


def test_origin_names_the_line_a_record_starts_at(tmp_path: Path) -> None:
    rows, _, _, _ = read(as_csv("utf-8")(tmp_path), tmp_path)
    assert [row["origin"] for row in rows] == ["rows.csv:2", "rows.csv:3", "rows.csv:5"]
    rows, _, _, _ = read(as_json(tmp_path), tmp_path / "json")
    assert [row["origin"] for row in rows] == ["rows.json:2", "rows.json:6", "rows.json:10"]


def test_plain_text_is_a_document_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n  two  \nthree", encoding="utf-8")
    rows, _, _, _ = read(tmp_path / "a.txt", tmp_path, label=None)
    assert [(row["text"].strip(), row["origin"]) for row in rows] == [
        ("one", "a.txt:1"),
        ("two", "a.txt:3"),
        ("three", "a.txt:4"),
    ]


@pytest.mark.parametrize(("sign", "name"), [("\t", "a.tsv"), (";", "a.csv"), ("|", "a.csv"), ("\t", "a.csv")])
def test_delimiters_are_found(sign: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"text{sign}label\na, b{sign}x\nc, d, e{sign}y\n", encoding="utf-8")
    rows, _, _, _ = read(tmp_path / name, tmp_path)
    assert [(row["text"], row["label"]) for row in rows] == [("a, b", "x"), ("c, d, e", "y")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain ascii", "utf-8"),
        ("x" * 3_000_000 + "这家酒店的服务非常好，下次还来".encode("gbk").decode("latin-1"), "gb18030"),
        ("这家酒店的服务非常好，下次还来".encode("utf-8-sig"), "utf-8-sig"),
        ("un café près de l'hôtel à Orléans, déjà vu, naïveté".encode("latin-1"), "latin-1"),
        # One broken byte does not turn a Chinese file into something else.
        ("这家酒店的服务非常好，下次还来\n".encode() * 50 + b"\xff\n", "utf-8"),
        ("这家酒店的服务非常好，下次还来\n".encode("gbk") * 50 + b"\xff\n", "gb18030"),
        # What was lost before a text was saved as UTF-8 is no broken byte of the file.
        (("\ufffd" * 30 + "好\n").encode() * 50, "utf-8"),
        (("\ufffd" * 30 + "好\n").encode() * 50 + b"\xff\n", "utf-8"),
    ],
)
def test_encodings_are_detected(data: bytes | str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("latin-1"))
    assert detect(path).name == expected


def test_replacement_characters_of_the_texts_are_not_counted_as_broken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("坏\ufffd的\n".encode() * 50 + b"\xff\n")
    assert detect(tmp_path / "a.txt").broken == 1
    assert check(tmp_path / "a.txt", "utf-8").broken == 1


def test_broken_rows_are_rejected_with_their_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "one", "label": "x"}\n{"text": "two"\n[1]\n{"text": "\xff\xfe", "label": "x"}\n'
        b'{"text": ["a"], "label": "x"}\n{"text": " ", "label": "x"}\n{"text": "six", "label": null}\n{"label": "x"}\n'
        + '{"text": "你好世界，这里是正常的一行", "label": "x"}\n'.encode()
        * 20
    )
    rows, rejected, tally, _ = read(path, tmp_path)
    reasons = {row["origin"]: row["reason"] for row in rejected}
    assert len(rows) == 21
    assert reasons["a.jsonl:2"].startswith("broken: not JSON")
    assert reasons["a.jsonl:3"] == "broken: a JSON list, not an object"
    assert reasons["a.jsonl:4"] == "broken: not utf-8: byte 0xff"
    assert reasons["a.jsonl:5"] == "broken: column 'text' holds a list"
    assert reasons["a.jsonl:6"] == "no_text"
    assert reasons["a.jsonl:7"] == "no_label"
    assert reasons["a.jsonl:8"] == "broken: no column 'text'"
    assert (tally.rows, tally.bad_rows) == (28, 5)
    assert tally.dropped == {"broken": 5, "no_text": 1, "no_label": 1}


def test_ragged_csv_rows_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\nb\nc,y,z\n\nd,x\n", encoding="utf-8")
    rows, rejected, tally, _ = read(tmp_path / "a.csv", tmp_path)
    assert [row["text"] for row in rows] == ["a", "d"]
    assert {row["origin"]: row["reason"] for row in rejected} == {
        "a.csv:3": "broken: 1 field where the header has 2",
        "a.csv:4": "broken: 3 fields where the header has 2",
    }
    assert tally.rows == 4


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    body = "".join(f"row {number},x\n" for number in range(500))
    (tmp_path / "a.csv").write_text('text,label\nfirst,x\n"open,x\n' + body, encoding="utf-8")
    rows, rejected, _, _ = read(tmp_path / "a.csv", tmp_path)
    assert len(rows) == 501
    assert [(row["origin"], row["reason"]) for row in rejected] == [("a.csv:3", "broken: a quote that is never closed")]


def test_a_quote_that_swallows_rows_gives_them_back(tmp_path: Path) -> None:
    body = 'one,x\n"open,x\ntwo,x\nthree,x\n"quoted, fine",x\n"over\ntwo lines",x\n'
    (tmp_path / "a.csv").write_text("text,label\n" + body, encoding="utf-8")
    rows, rejected, _, _ = read(tmp_path / "a.csv", tmp_path)
    assert [row["text"] for row in rows] == ["one", "two", "three", "quoted, fine", "over\ntwo lines"]
    assert [row["origin"] for row in rejected] == ["a.csv:3"]


def test_a_huge_line_is_rejected_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.write(b"before\n")
        for _ in range(50):
            file.write(b"x" * (1 << 20))
        file.write(b"\nafter\n")
    tracemalloc.start()
    rows, rejected, _, _ = read(path, tmp_path, label=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["text"].strip() for row in rows] == ["before", "after"]
    assert [(row["origin"], row["reason"]) for row in rejected] == [("a.txt:2", "broken: longer than 16 MiB")]
    assert peak < 40 << 20


def test_nul_bytes_are_warned_of_and_binary_files_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine text here\n" * 50 + b"one\0two\n")
    _, _, tally, _ = read(tmp_path / "a.txt", tmp_path, label=None)
    assert tally.warnings == ["a.txt has 1 NUL bytes; they are removed."]
    (tmp_path / "b.csv").write_bytes(bytes(range(256)) * 40 + b"\0" * 4000)
    with pytest.raises(DataError, match="b.csv is no text file: 4,040 of its 14,240 bytes are NUL"):
        read(tmp_path / "b.csv", tmp_path / "b")


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,Labels\na,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.csv has no column 'reviews'.*'review', 'Labels'.*Did you mean 'review'\?"):
        read(tmp_path / "a.csv", tmp_path, text="reviews")
    with pytest.raises(DataError, match=r"no column 'label'.*Did you mean 'Labels'\?"):
        read(tmp_path / "a.csv", tmp_path, text="review")
    (tmp_path / "b.jsonl").write_text('{"content": "a", "label": "x"}\n' * 5, encoding="utf-8")
    with pytest.raises(DataError, match=r"b.jsonl has no column 'contents'.*Did you mean 'content'\?"):
        read(tmp_path / "b.jsonl", tmp_path, text="contents")


def test_too_many_bad_rows_stop_the_run_and_show_examples(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "only one\n" * 30 + "a,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="More than 20 rows cannot be read.*a.csv:2: 1 field where the header has 2"):
        read(tmp_path / "a.csv", tmp_path, max_bad_rows=20)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"text,label\n", "a.csv has no rows of data"),
        ("a.csv", b"text,text\na,b\n", "two columns named 'text'"),
        ("a.xlsx", b"no zip", "a.xlsx is not an Excel file"),
        ("a.xlsx", b"PK\x03\x04 broken", "a.xlsx is not an Excel file"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel or Word file"),
        ("a.pdf", b"%PDF-1.7", "a PDF file"),
        ("a.csv.gz", b"\x1f\x8b\x08", "compressed"),
        ("a.parquet", b"PAR1 broken", "not a Parquet file"),
        ("a.json", b'"just a text"', "not the JSON that Danlu reads"),
        ("a.json", b'[{"text": "a", "label": "x"},\n {"text": ]', r"a.json:2: the JSON list is broken"),
        ("a.json", b'[{"text": "a", "label": "x"},\n', r"the list is never closed"),
    ],
)
def test_files_that_cannot_be_used_say_why(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name, tmp_path)


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        open_file(tmp_path / "nowhere.csv")
    (tmp_path / "inside.csv").write_text("text\na\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"is a folder.*It holds inside.csv"):
        open_file(tmp_path)


def test_a_wrong_encoding_names_the_line_and_the_likely_one(tmp_path: Path) -> None:
    path = as_csv("gbk")(tmp_path)
    with pytest.raises(DataError, match=r"cannot be read as utf-8: line 2 has the byte .* looks like gb18030"):
        read(path, tmp_path, encoding="utf-8")
    with pytest.raises(DataError, match="There is no encoding 'utf-9'"):
        read(path, tmp_path, encoding="utf-9")
    rows, _, _, _ = read(path, tmp_path, encoding="gb18030")
    assert rows[0]["text"] == ROWS[0][0]


def test_formats_are_known_by_content_where_endings_lie(tmp_path: Path) -> None:
    as_excel(tmp_path).rename(tmp_path / "a.csv")
    assert guess_format(tmp_path / "a.csv") == "excel"
    (tmp_path / "b.dat").write_text('{"text": "a"}\n', encoding="utf-8")
    assert guess_format(tmp_path / "b.dat") == "jsonl"
    (tmp_path / "c.json").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n', encoding="utf-8")
    rows, _, _, _ = read(tmp_path / "c.json", tmp_path)
    assert [row["text"] for row in rows] == ["a", "b"]


def test_a_large_json_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    items = [{"text": f"text {number} " + "x" * 5000, "label": "a"} for number in range(1000)]
    path.write_text(json.dumps(items), encoding="utf-8")  # one line of 5 MB
    assert [row.values for row in open_file(path).rows] == items


def test_excel_sheets_and_numbers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(("other",))
    sheet = book.create_sheet("data")
    for row in (("text", "label"), (12.5, 1.0), ("b", 2), (None, None), (True, 3)):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    rows, _, _, _ = read(tmp_path / "a.xlsx", tmp_path, sheet="data")
    assert [(row["text"], row["label"], row["origin"]) for row in rows] == [
        ("12.5", "1", "a.xlsx:2"),
        ("b", "2", "a.xlsx:3"),
        ("true", "3", "a.xlsx:5"),
    ]
    with pytest.raises(DataError, match=r"no sheet 'nothing'. Its sheets: 'Sheet', 'data'"):
        read(tmp_path / "a.xlsx", tmp_path, sheet="nothing")


def test_values_become_text() -> None:
    assert [as_text(value) for value in (None, float("nan"), 1.0, 0.1, 3, False, b"x", [1])] == [
        "",
        "",
        "1",
        "0.1",
        "3",
        "false",
        None,
        None,
    ]


def test_ids_depend_on_the_file_and_the_record_only() -> None:
    assert row_id("a" * 64, 0, 1) == row_id("a" * 64, 0, 1)
    assert len({row_id(digest, copy, number) for digest in "ab" for copy in (0, 1) for number in range(100)}) == 400


def test_halves_of_surrogate_pairs_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud83d b \\ud83d\\ude00", "label": "x"}\n', encoding="utf-8")
    rows, _, _, _ = read(tmp_path / "a.jsonl", tmp_path)
    assert rows[0]["text"] == "a b \U0001f600"


def test_plain_text_without_a_label_says_how_to_give_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(DataError, match="is plain text, which has no column 'label'. Give the source one label"):
        read(tmp_path / "a.txt", tmp_path)


def test_a_label_of_the_source_needs_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    rows, _, _, _ = read(tmp_path / "a.txt", tmp_path, fixed_label="good")
    assert [row["label"] for row in rows] == ["good", "good"]


def test_a_stray_quote_glues_no_rows_together(tmp_path: Path) -> None:
    lines = [f'"{number} inch screen,x' if number % 10 == 0 else f"row {number},y" for number in range(100)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines, '"so" he said,x']), encoding="utf-8")
    rows, rejected, _, _ = read(tmp_path / "a.csv", tmp_path)
    assert len(rows) == 91
    assert rows[-1]["text"] == "so he said"
    assert [row["origin"] for row in rejected if row["reason"].startswith("broken")] == [
        row["origin"] for row in rejected
    ]
    assert len(rejected) == 10


def workbook(path: Path, rows: list[tuple[object, ...]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path.with_suffix(".xlsx"))
    return path.with_suffix(".xlsx").rename(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows", "rows.xls"])
def test_an_excel_file_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = workbook(tmp_path / name, [("text", "label"), ("a", "x")])
    assert read(path, tmp_path)[0][0]["text"] == "a"
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match=f"{name} is not an Excel file that can be read"):
        read(path, tmp_path)


def test_excel_rows_beyond_the_header_are_rejected(tmp_path: Path) -> None:
    rows = [("text", "label"), ("a", "x"), ("b", "y", None, ""), ("c", "y", "z"), ("d",), (None, None, "z")]
    kept, rejected, _, _ = read(workbook(tmp_path / "a.xlsx", rows), tmp_path)
    assert [row["text"] for row in kept] == ["a", "b"]
    assert {row["origin"]: row["reason"] for row in rejected} == {
        "a.xlsx:4": "broken: 3 fields where the header has 2",
        "a.xlsx:5": "no_label",
        "a.xlsx:6": "broken: 3 fields where the header has 2",
    }


def test_columns_without_a_name_stay_apart(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [("text", None, "label", None), ("a", 1, "x"), ("b", 2, "y")])
    opened = open_file(path)
    assert opened.columns == ("text", "column 2", "label")
    assert next(row.values for row in opened.rows) == {"text": "a", "column 2": 1, "label": "x"}
    (tmp_path / "b.csv").write_text(",text,,label\n0,a,1,x\n", encoding="utf-8")
    opened = open_file(tmp_path / "b.csv")
    assert opened.columns == ("column 1", "text", "column 3", "label")
    assert [row.values for row in opened.rows] == [{"column 1": "0", "text": "a", "column 3": "1", "label": "x"}]
