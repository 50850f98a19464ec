from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.evaluate.questions.config import QuestionsConfig
from danlu.evaluate.questions.sheet import read_sheet


def write(folder: Path, text: str, name: str = "questions.jsonl") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_excel_sheet_is_read_with_its_rules(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["question", "reference", "must_say", "must_not_say", "category"])
    book.active.append(["保修多久？", "12个月", "12个月|保修卡", None, "售后"])
    book.active.append([None, None, None, None, None])
    book.active.append(["Can I pay in cash?", None, None, "no | never ", None])
    path = tmp_path / "asked.xlsx"
    book.save(path)
    first, second = read_sheet(path, QuestionsConfig(path=str(path)))
    assert (first.question, first.reference, first.must_say) == ("保修多久？", "12个月", ("12个月", "保修卡"))
    assert (second.must_not_say, second.category, second.has_rules) == (("no", "never"), "", True)
    assert second.origin == "asked.xlsx:4"


def test_a_list_of_phrases_may_be_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, '{"question": "q", "must_say": ["a|b", "c"]}\n')
    assert read_sheet(path, QuestionsConfig(path=str(path)))[0].must_say == ("a|b", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"question": "q", "reference": "r"}\n{"question": "q", "reference": "s"}\n',
            "2 is that of questions.jsonl:1",
        ),
        ('{"question": "q"}\n', "No question of questions.jsonl says what is expected"),
        ('{"frage": "q", "reference": "r"}\n', "has no question in its column 'question'"),
        ('{"question": "q", "reference": {"a": 1}}\n', "column 'reference' of questions.jsonl:1 holds no text"),
        ('{"question": "q", "reference": "r"}\n{"question"\n', "questions.jsonl:2 cannot be read"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message):
        read_sheet(path, QuestionsConfig(path=str(path)))


def test_a_table_without_the_column_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "questions,reference\nq,r\n", "asked.csv")
    with pytest.raises(DataError, match="Did you mean 'questions'"):
        read_sheet(path, QuestionsConfig(path=str(path)))


def test_a_path_alone_is_a_section() -> None:
    assert QuestionsConfig.model_validate("asked.xlsx") == QuestionsConfig(path="asked.xlsx")
    with pytest.raises(ValidationError):
        QuestionsConfig.model_validate({"path": "asked.xlsx", "separator": ""})
