"""Malformed text, tables and JSON."""

from __future__ import annotations

import json
import random

from tests.unit.sources.malformed import GOOD, Case, deep, lines, rows

TEXT_CASES = [
    # Encodings
    Case(
        id="broken-utf-8-in-the-middle",
        name="a.jsonl",
        data=lines(b'{"text": "\xff\xfe"}'),
        kept=200,
        rejected={11: "broken: not utf-8: byte 0xff"},
    ),
    Case(
        id="utf-8-cut-inside-a-character",
        name="a.txt",
        data=(GOOD + "\n").encode() * 9 + GOOD.encode()[:-1],
        kept=9,
        rejected={10: "broken: not utf-8: byte 0xe6"},
    ),
    Case(
        id="a-line-of-gbk-in-utf-8",
        name="a.jsonl",
        data=lines(json.dumps({"text": "好"}, ensure_ascii=False).encode("gbk")),
        kept=200,
        rejected={11: "broken: not utf-8: byte 0xba"},
    ),
    Case(
        id="gbk-with-a-broken-byte",
        name="a.txt",
        data=(GOOD + "\n").encode("gbk") * 50 + b"\xff\n",
        kept=50,
        rejected={51: "broken: not gb18030: byte 0xff"},
    ),
    Case(
        id="gbk-asked-for-as-utf-8",
        name="a.txt",
        data=(GOOD + "\n").encode("gbk") * 50,
        config={"encoding": "utf-8"},
        message="a.txt cannot be read as utf-8: line 1 has the byte 0xd5, which does not fit. It looks like gb18030",
    ),
    Case(
        id="an-encoding-that-does-not-exist",
        name="a.txt",
        data=GOOD.encode(),
        config={"encoding": "utf-9"},
        message="There is no encoding 'utf-9' (asked for to read a.txt). Use auto, utf-8, gb18030 or latin-1.",
    ),
    Case(
        id="utf-16-without-a-mark",
        name="a.csv",
        data=rows().decode().encode("utf-16-le") * 20,
        message="must start with a byte order mark; save it again as UTF-8",
    ),
    Case(
        id="utf-16-cut-inside-a-character",
        name="a.txt",
        data="one\ntwo\nthre".encode("utf-16")[:-1],
        kept=3,
    ),
    Case(
        id="neither-utf-8-nor-gbk",
        name="a.txt",
        data="un café près de l'hôtel à Orléans, déjà vu\n".encode("latin-1") * 3,
        kept=3,
        warning="a.txt is neither UTF-8 nor GBK and was read as Latin-1",
    ),
    Case(
        id="bytes-that-are-no-text",
        name="a.csv",
        data=bytes(random.Random(4).choices(range(256), k=20_000)),
        message="a.csv is no text file: it is neither UTF-8 nor GBK, and ",
    ),
    Case(
        id="latin-1-and-a-nul-byte",
        name="a.txt",
        data="un café\n".encode("latin-1") * 200 + b"\0\n",
        message="a.txt is no text file: it is neither UTF-8 nor GBK, and 1 of its 1,602 bytes are control characters",
    ),
    Case(
        id="utf-8-that-was-damaged-before",
        name="a.csv",
        data=b"text,label\n" + "".join(f"caf\ufffd num\ufffdro {n},x\n" for n in range(623)).encode(),
        kept=623,
    ),
    Case(
        id="a-few-nul-bytes",
        name="a.txt",
        data=b"fine text here\n" * 50 + b"one\0two\n",
        kept=51,
        warning="a.txt has 1 NUL bytes; they are removed.",
    ),
    Case(
        id="nothing-but-nul-bytes",
        name="a.jsonl",
        data=b"\0" * 4096,
        message="a.jsonl is no text file: 4,096 of its 4,096 bytes are NUL",
    ),
    Case(
        id="one-line-of-fifty-megabytes",
        name="a.jsonl",
        data=lambda: lines(b'{"text": "' + b"x" * 50_000_000 + b'"}', count=20),
        kept=20,
        rejected={11: "broken: longer than 16 MiB"},
    ),
    # CSV and TSV
    Case(id="empty-file", name="a.csv", data=b"", message="a.csv is empty (0 bytes); expected rows of data"),
    Case(id="only-blank-lines", name="a.csv", data=b"\n\n\n", message="a.csv has no header that can be read"),
    Case(id="only-a-header", name="a.csv", data=b"text,label\n", message="a.csv has no rows of data (only a header"),
    Case(
        id="header-not-utf-8",
        name="a.csv",
        data=b"te\xffxt,label\n" + f"{GOOD},x\n".encode() * 50,
        message="a.csv has no header that can be read (not utf-8: byte 0xff)",
    ),
    Case(
        id="columns-twice",
        name="a.csv",
        data=rows(header=b"text,text"),
        message="a.csv has two columns named 'text'; give each column its own name.",
    ),
    Case(
        id="no-such-column",
        name="a.csv",
        data=rows(header=b"review,label"),
        message="a.csv has no column 'text'. Its columns: 'review', 'label'.",
    ),
    Case(
        id="too-few-and-too-many-fields",
        name="a.csv",
        data=rows(b"alone", b"a,b,c"),
        kept=2,
        rejected={3: "broken: 1 field where the header has 2", 4: "broken: 3 fields where the header has 2"},
    ),
    Case(
        id="a-quote-never-closed",
        name="a.csv",
        data=rows(b'"open,x', b"three,x"),
        kept=3,
        rejected={3: "broken: a quote that is never closed"},
    ),
    Case(
        id="a-stray-quote",
        name="a.csv",
        data=rows(b'"7" inch, black,x', b"three,x"),
        kept=3,
        rejected={3: "broken: a quote inside a quoted field"},
    ),
    Case(
        id="a-byte-order-mark-in-the-middle",
        name="a.csv",
        data=rows("\ufeff三,x".encode()),
        kept=3,
    ),
    Case(
        id="tsv-with-commas",
        name="a.tsv",
        data=rows(),
        message="a.tsv has no column 'text'. Its columns: 'text,label'.",
    ),
    Case(
        id="too-many-bad-rows",
        name="a.csv",
        data=rows(*[b"alone"] * 30),
        most=20,
        message="More than 20 rows cannot be read (data.max_bad_rows). The first in a.csv: a.csv:3: 1 field",
    ),
    Case(
        id="csv-that-is-a-web-page",
        name="a.csv",
        data=b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
        message="a.csv is really an HTML page",
    ),
    Case(id="a-pickle", name="a.csv", data=b"\x80\x04\x95\x10\0\0\0", message="a.csv is a Python pickle"),
    # JSON
    Case(
        id="a-line-that-is-no-json",
        name="a.jsonl",
        data=lines(b'{"text": "two"', b"{'text': 'single quotes'}"),
        kept=200,
        rejected={11: "broken: not JSON: Expecting ',' delimiter", 12: "broken: not JSON: Expecting property name"},
    ),
    Case(
        id="lines-that-are-no-objects",
        name="a.jsonl",
        data=lines(b"[1]", b"3", b"null"),
        kept=200,
        rejected={
            11: "broken: a JSON list, not an object",
            12: "broken: a JSON number, not an object",
            13: "broken: a JSON null, not an object",
        },
    ),
    Case(
        id="lists-nested-too-deep",
        name="a.jsonl",
        data=lines(deep()),
        kept=200,
        rejected={11: "broken: not JSON: RecursionError"},
    ),
    Case(
        id="values-of-the-wrong-kind",
        name="a.jsonl",
        data=lines(b'{"text": ["a"]}', b'{"text": {"a": 1}}', b'{"text": "  "}', b'{"body": "b"}'),
        kept=200,
        rejected={
            11: "broken: column 'text' holds a list",
            12: "broken: column 'text' holds a dict",
            13: "no_text",
            14: "broken: no column 'text'",
        },
    ),
    Case(
        id="a-label-that-is-missing",
        name="a.jsonl",
        data=b'{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n{"text": "c"}\n',
        label="label",
        kept=1,
        rejected={2: "no_label", 3: "broken: no column 'label'"},
    ),
    Case(
        id="a-list-cut-off",
        name="a.json",
        data=b'[{"text": "a"},\n {"text": "b"},\n {"te',
        message="a.json:3: the JSON list is broken here (Unterminated string",
    ),
    Case(
        id="a-list-never-closed",
        name="a.json",
        data=b'[{"text": "a"},\n',
        message="a.json:2: the JSON list is broken here (the list is never closed)",
    ),
    Case(
        id="a-list-broken-in-the-middle",
        name="a.json",
        data=b'[{"text": "a"},\n {"text": },\n {"text": "c"}]',
        message="a.json:2: the JSON list is broken here (Expecting value)",
    ),
    Case(
        id="json-that-is-one-word",
        name="a.json",
        data=b'"just a text"',
        message="a.json is not the JSON that Danlu reads: expected a list of objects",
    ),
]
