"""A tagged corpus is read as the text it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.sources.formats import open_file


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("迈向/v  充满/v  希望/n  的/u  新/a  世纪/n  ——/w  讲话/n", "迈向充满希望的新世纪——讲话"),
        (
            "[中央/n  人民/n  广播/vn  电台/n]nt  、/w  [香港/ns  特别/a  行政区/n]ns",
            "中央人民广播电台、香港特别行政区",
        ),
        ("１２月/t  ３１日/t  ，/w  19980101-01-001-001/m", "１２月３１日，19980101-01-001-001"),
        ("Windows/nx  95/m  系统/n  km/h/q  //w", "Windows 95系统km/h/"),
    ],
)
def test_tags_brackets_and_spaces_go(tmp_path: Path, line: str, text: str) -> None:
    (tmp_path / "news.txt").write_text(f"\n{line}\n   \n", encoding="utf-8")
    opened = open_file(tmp_path / "news.txt", format="tagged")
    rows = list(opened.rows)
    assert [(row.line, row.values) for row in rows] == [(2, {"text": text})]


def test_a_line_that_is_not_tagged_is_rejected_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_text("好/a\n今天 天气/n\n坏/a\n", encoding="utf-8")
    rows = list(open_file(tmp_path / "news.txt", format="tagged").rows)
    assert [row.line for row in rows if row.values is None] == [2]
    assert "a word without a tag ('今天'" in (rows[1].reason or "")
