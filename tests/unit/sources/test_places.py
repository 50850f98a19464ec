"""One source may be many files: a folder, a pattern, an archive, a saved data set."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from danlu.core.errors import DataError, UserError
from danlu.core.resource import Digests, listed, resolve
from danlu.data.config import DataConfig
from danlu.data.reader import Input, read_sources
from danlu.data.rows import Columns
from danlu.data.tables import Rejects
from danlu.plan.reading import look
from danlu.sources.formats import open_file
from danlu.sources.places import name_of, place_of
from tests.unit.sources.reading import archive, excel, pdf, read, word

TEXTS = ["你好，世界", "second", "第三 line"]
TABLE = pa.table({"text": TEXTS})


def write_lines(path: Path, texts: list[str] = TEXTS) -> bytes:
    data = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def stream(path: Path, table: pa.Table = TABLE) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


JSONL = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS).encode()

WRITERS: dict[str, Callable[[Path], object]] = {
    "a.orc": lambda path: orc.write_table(TABLE, str(path)),
    "a.feather": lambda path: feather.write_feather(TABLE, path, compression="zstd"),
    "a.arrow": stream,
    "b": stream,
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(JSONL)),
    "a.jsonl.zst": lambda path: path.write_bytes(pa.compress(JSONL, codec="zstd", asbytes=True)),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(JSONL)),
    "a.jsonl.xz": lambda path: path.write_bytes(lzma.compress(JSONL)),
    "ending-lies.csv": lambda path: path.write_bytes(gzip.compress(b"text\n" + "\n".join(TEXTS).encode())),
    "two-parts.jsonl.gz": lambda path: path.write_bytes(gzip.compress(JSONL[:20]) + gzip.compress(JSONL[20:])),
    "a.zip": lambda path: path.write_bytes(archive({"a.jsonl": JSONL})),
    "a.xlsx.gz": lambda path: path.write_bytes(gzip.compress(excel([("text",), *((text,) for text in TEXTS)]))),
    "books.zip": lambda path: path.write_bytes(archive({"a.xlsx": excel([("text",), *((text,) for text in TEXTS)])})),
    "a.gb.csv.gz": lambda path: path.write_bytes(gzip.compress(("text\n" + "\n".join(TEXTS)).encode("gb18030"))),
    "a.utf16.txt.zst": lambda path: path.write_bytes(
        pa.compress("\n".join(TEXTS).encode("utf-16"), codec="zstd", asbytes=True)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert read(tmp_path / name, tmp_path / "out").texts == TEXTS


def test_compressed_files_keep_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(JSONL + b"broken\n" + JSONL))
    found = read(tmp_path / "a.jsonl.gz", tmp_path / "out")
    assert [row["origin"].rpartition(":")[2] for row in found.rows] == ["1", "2", "3", "5", "6", "7"]
    assert found.reasons == {"a.jsonl.gz:4": "broken: not JSON: Expecting value"}


def test_a_folder_is_all_its_data_files_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    write_lines(folder / "b.jsonl", ["b1", "b2"])
    write_lines(folder / "a" / "z.jsonl", ["a1"])
    (folder / "c.csv").write_text("text\nc1\n", encoding="utf-8")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "header.csv").write_bytes(b"text\n")
    for beside in ("README.md", "LICENSE.txt", ".hidden.jsonl", "_SUCCESS", "photo.png", "dataset_info.json"):
        (folder / beside).write_text("{}", encoding="utf-8")
    found = read(folder, tmp_path / "out")
    assert [(row["origin"], row["text"]) for row in found.rows] == [
        ("a/z.jsonl:1", "a1"),
        ("b.jsonl:1", "b1"),
        ("b.jsonl:2", "b2"),
        ("c.csv:2", "c1"),
    ]
    card = found.tally.card()
    assert [(file["name"], file["rows"]) for file in card["files"]] == [
        ("a/z.jsonl", 1),
        ("b.jsonl", 2),
        ("c.csv", 1),
        ("header.csv", 0),
    ]
    assert (card["name"], card["format"], card["rows"]) == ("corpus", "csv, jsonl", 4)
    assert found.tally.warnings == [
        "1 files of corpus are empty (0 bytes): empty.csv.",
        "header.csv has no rows of data (only a header, or blank lines).",
    ]


def test_a_pattern_is_what_fits_it(tmp_path: Path) -> None:
    for name in ("data/1.jsonl", "data/2.jsonl", "data/deep/er/3.jsonl", "data/4.txt"):
        write_lines(tmp_path / name, [name])
    flat, deep = resolve("data/*.jsonl", tmp_path), resolve("data/**/*.jsonl", tmp_path)
    assert [name for name, _ in listed(flat)] == ["1.jsonl", "2.jsonl"]
    assert [name for name, _ in listed(deep)] == ["1.jsonl", "2.jsonl", "deep/er/3.jsonl"]
    assert name_of(deep) == "data/**/*.jsonl"
    assert [row["origin"] for row in read(deep, tmp_path / "out").rows] == [
        "1.jsonl:1",
        "2.jsonl:1",
        "deep/er/3.jsonl:1",
    ]
    with pytest.raises(UserError, match=r"No file fits 'data/\*.csv'"):
        resolve("data/*.csv", tmp_path)
    (tmp_path / "odd[1].jsonl").write_bytes(JSONL)
    assert resolve("odd[1].jsonl", tmp_path) == tmp_path / "odd[1].jsonl"
    assert read(tmp_path / "odd[1].jsonl", tmp_path / "odd").texts == TEXTS


def test_ids_stay_when_a_file_is_added_and_the_digest_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    write_lines(folder / "b.jsonl", ["one", "two"])
    write_lines(folder / "c.jsonl.gz", ["three"])
    before, digest = read(folder, tmp_path / "before"), Digests().of(folder)
    write_lines(folder / "a.jsonl", ["new"])
    after = read(folder, tmp_path / "after")
    ids = {row["text"]: row["id"] for row in after.rows}
    assert all(ids[row["text"]] == row["id"] for row in before.rows)
    assert [row["text"] for row in after.rows] == ["new", "one", "two", "three"]
    assert Digests().of(folder) != digest
    pattern = Digests().of(folder / "*.jsonl")
    (folder / "d.csv").write_text("text\nx\n", encoding="utf-8")
    assert Digests().of(folder / "*.jsonl") == pattern


def test_equal_files_have_rows_of_their_own(tmp_path: Path) -> None:
    write_lines(tmp_path / "in" / "a.jsonl")
    write_lines(tmp_path / "in" / "b.jsonl")
    found = read(tmp_path / "in", tmp_path / "out")
    assert len({row["id"] for row in found.rows}) == 6


def test_an_archive_is_its_members(tmp_path: Path) -> None:
    packed = archive(
        {
            "b/two.csv": b"text\nb\n",
            "a.jsonl.gz": gzip.compress(JSONL),
            "README.md": b"# hi",
            "__MACOSX/._a.jsonl": b"junk",
        }
    )
    (tmp_path / "all.zip").write_bytes(packed)
    found = read(tmp_path / "all.zip", tmp_path / "out")
    assert [row["origin"] for row in found.rows] == [
        "all.zip/a.jsonl.gz:1",
        "all.zip/a.jsonl.gz:2",
        "all.zip/a.jsonl.gz:3",
        "all.zip/b/two.csv:2",
    ]
    with pytest.raises(DataError, match="is an archive; expected one data file here. It holds all.zip/a.jsonl.gz"):
        open_file(tmp_path / "all.zip")


def test_an_archive_of_many_members_is_opened_once(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({f"{n:04d}.txt": f"text {n}".encode() for n in range(3_000)}))
    started = time.process_time()
    files = place_of(tmp_path / "a.zip").files
    assert sum(file.packed_bytes() + sum(1 for _ in file.open()) for file in files) > 3_000
    # About 0.3 s; reading the directory for each member would take a minute.
    assert time.process_time() - started < 5


def test_rows_of_a_member_keep_their_ids_when_the_archive_is_packed_anew(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"b.jsonl": JSONL}))
    before = read(tmp_path / "a.zip", tmp_path / "before")
    (tmp_path / "a.zip").write_bytes(archive({"a.jsonl": b'{"text": "new"}', "b.jsonl": JSONL}, zipfile.ZIP_LZMA))
    after = read(tmp_path / "a.zip", tmp_path / "after")
    assert [row["id"] for row in after.rows[1:]] == [row["id"] for row in before.rows]


def test_names_that_chinese_windows_wrote_are_read(tmp_path: Path) -> None:
    packed = archive({"PLACEHOLD.csv": b"text\nx\n"}).replace(b"PLACEHOLD", "评论数据1".encode("gbk"))
    (tmp_path / "a.zip").write_bytes(packed)
    assert read(tmp_path / "a.zip", tmp_path / "out").rows[0]["origin"] == "a.zip/评论数据1.csv:2"


def test_a_data_set_saved_to_disk(tmp_path: Path) -> None:
    """As `datasets.DatasetDict.save_to_disk` lays it out: Arrow streams, and a state that lists them."""
    for part, texts in {"train": TEXTS, "test": ["t"]}.items():
        folder = tmp_path / "set" / part
        folder.mkdir(parents=True)
        stream(folder / "data-00000-of-00001.arrow", pa.table({"text": texts}))
        stream(folder / "cache-1a2b.arrow", pa.table({"text": ["left over"]}))
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "1a2b"}
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
        (folder / "dataset_info.json").write_text("{}", encoding="utf-8")
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    assert read(tmp_path / "set", tmp_path / "out").texts == ["t", *TEXTS]
    assert read(tmp_path / "set" / "train", tmp_path / "train").texts == TEXTS
    state = tmp_path / "set" / "train" / "state.json"
    state.write_text('{"_data_files": [{"filename": "x"}], "_indices_data_files": [{"filename": "i"}]}')
    with pytest.raises(DataError, match="Call flatten_indices"):
        read(tmp_path / "set", tmp_path / "again")
    state.write_text("{}")
    with pytest.raises(DataError, match="expected a list _data_files"):
        read(tmp_path / "set", tmp_path / "again")


def test_a_folder_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "set" / "data" / f"train-0000{number}-of-00002.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [f"row {number}"]}), path)
    write_lines(tmp_path / "set" / "more.jsonl", ["row 2"])
    (tmp_path / "set" / "README.md").write_text("---\nlicense: mit\n---\n")
    assert read(tmp_path / "set", tmp_path / "out").texts == ["row 0", "row 1", "row 2"]


def test_only_one_format_of_a_folder(tmp_path: Path) -> None:
    write_lines(tmp_path / "in" / "a.jsonl")
    (tmp_path / "in" / "b.csv").write_text("text\nx\n", encoding="utf-8")
    assert read(tmp_path / "in", tmp_path / "out", format="csv").texts == ["x"]
    with pytest.raises(DataError, match="has no data file in the format 'orc'. It holds a.jsonl, b.csv"):
        place_of(tmp_path / "in", "orc")


def test_folders_without_data_say_so(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no data file in a known format. It is empty."):
        place_of(tmp_path / "none")
    (tmp_path / "none" / "a.csv").write_bytes(b"")
    with pytest.raises(DataError, match="All 1 data files of 'none' are empty"):
        place_of(tmp_path / "none")
    (tmp_path / "none" / "a.csv").write_bytes(b"text\n")
    with pytest.raises(DataError, match="none has no rows of data"):
        read(tmp_path / "none", tmp_path / "out")


def test_documents(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "手册.docx").write_bytes(word(["第一段：你好", "Second paragraph"]))
    (tmp_path / "in" / "b.pdf").write_bytes(pdf(["page one", "第二页的文字"]))
    found = read(tmp_path / "in", tmp_path / "out")
    assert [(row["origin"], row["text"].strip()) for row in found.rows] == [
        ("b.pdf:1", "page one"),
        ("b.pdf:2", "第二页的文字"),
        ("手册.docx:1", "第一段：你好\n\nSecond paragraph"),
    ]
    with pytest.raises(DataError, match="手册.docx is a Word document, which has no column 'label'"):
        read(tmp_path / "in" / "手册.docx", tmp_path / "again", label="label")


def test_the_plan_counts_a_folder_by_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        texts = [f"text {number} {line} with some words in it" for line in range(500)]
        data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        name = f"{number:02d}.jsonl" + (".gz" if number % 2 else "")
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(gzip.compress(data) if number % 2 else data)
    config = DataConfig.model_validate({"sources": [{"path": "in"}]})
    whole = look(config, [tmp_path / "in"])
    assert (whole.rows, whole.distinct, whole.whole) == (20_000, 20_000, True)
    monkeypatch.setattr("danlu.plan.reading._MOST_BYTES", 200_000)
    part = look(config, [tmp_path / "in"])
    assert not part.whole
    assert part.rows == pytest.approx(20_000, rel=0.5)


def test_reading_a_compressed_file_keeps_memory_flat(tmp_path: Path) -> None:
    line = json.dumps({"text": "many words in one line " * 20}).encode() + b"\n"
    peaks = []
    for copies in (10_000, 40_000):
        path = tmp_path / f"{copies}.jsonl.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number in range(copies):
                file.write(line.replace(b"many", str(number * 7919).encode()))
        tracemalloc.start()
        assert sum(1 for _ in open_file(path).rows) == copies
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_two_sources_share_no_id(tmp_path: Path) -> None:
    write_lines(tmp_path / "in" / "a.jsonl")
    config = DataConfig.model_validate({"sources": [{"path": "in"}, {"path": "in/a.jsonl"}]})
    paths = [tmp_path / "in", tmp_path / "in" / "a.jsonl"]
    inputs = [
        Input(position=number, path=path, digest=Digests().of(path), config=source)
        for number, (path, source) in enumerate(zip(paths, config.sources, strict=True))
    ]
    rejects = Rejects(tmp_path / "rejected", tmp_path / "scratch")
    read_sources(
        inputs,
        columns=Columns(text="text", label=None),
        max_bad_rows=0,
        out=tmp_path / "raw",
        rejects=rejects,
        advance=lambda _: None,
    )
    assert len(set(pq.read_table(tmp_path / "raw")["id"].to_pylist())) == 6
