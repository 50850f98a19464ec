"""What is shown: the page in both languages, the table in a terminal, JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from danlu import api
from danlu.cli.main import main
from danlu.compare.config import CompareConfig
from danlu.compare.notes import _TEXTS
from danlu.compare.page import page
from danlu.compare.sentences import dollars, headline
from danlu.compare.words import _WORDS
from danlu.core.store import Workspace
from tests.unit.compare import world


@pytest.fixture
def table(workspace: Workspace, tmp_path: Path) -> dict[str, Any]:
    hostile = world.write_csv(tmp_path / "<b>&theirs.csv", "id,predicted", *_answers(workspace))
    config = CompareConfig.model_validate({"requests": 20, "resamples": 100})
    return api.compare(["shop@2", "shop@1", str(hostile)], on="shop", workspace=workspace.root, config=config)


def _answers(workspace: Workspace) -> list[str]:
    path = workspace.root / "rows.csv"
    api.write_compare_rows(path, on="shop", workspace=workspace.root)
    return [f"{line.partition(',')[0]},good" for line in path.read_text("utf-8-sig").splitlines()[1:]]


def test_the_page_stands_alone_and_says_everything(table: dict[str, Any], tmp_path: Path) -> None:
    for language, better, notes in (
        ("en", "clearly worse", "What was not comparable"),
        ("zh", "明显更差", "哪些无法比较"),
    ):
        path = api.write_comparison(table, tmp_path / f"{language}.html", language=language)  # type: ignore[arg-type]
        text = path.read_text(encoding="utf-8")
        assert text == page(table, language)  # type: ignore[arg-type]
        assert (
            better in text and notes in text and table["sentence"][language] in text.replace("&lt;b&gt;&amp;", "<b>&")
        )
        assert text.count("<svg") == 1
        assert not re.search(r"(?:src|href)=\"(?!#)", text) and "<script" not in text
        assert "<b>&theirs" not in text and "&lt;b&gt;&amp;theirs.csv" in text
        for note in table["notes"]:
            assert note[language].split("<")[0] in text
        assert "12.0" not in text or "{" not in text.partition("</style>")[2]


def test_every_word_is_there_in_both_languages() -> None:
    for pair in (*_WORDS.values(), *_TEXTS.values()):
        holes = [
            sorted(re.findall(r"{(\w+)}", text.replace("{how_zh}", "{how}").replace("{why_zh}", "{why}")))
            for text in pair
        ]
        assert all(pair) and holes[0] == holes[1]


def test_headlines() -> None:
    def entrant(name: str, difference: float | None, significant: bool = True) -> dict[str, Any]:
        comparison = None
        if difference is not None:
            ends = {"value": difference, "low": difference - 0.1, "high": difference + 0.1}
            comparison = {"metric": "macro_f1", "difference": ends, "significant": significant}
        scores = {"macro_f1": {"value": 0.8, "low": 0.7, "high": 0.9}}
        return {"name": name, "scores": scores, "comparison": comparison}

    others = [entrant("b", 0.052), entrant("c", -0.2), entrant("d", 0.01, False), entrant("e", None)]
    made = {
        "run": "shop", "rows": 1_200, "part": "test", "primary": "macro_f1", "lower_is_better": False,
        "entrants": [entrant("a", None), *others],
    }  # fmt: skip
    assert headline(made)["en"] == (
        "On 1,200 test rows of shop, a reaches macro F1 80.0%; clearly better: b (+5.2 pp); clearly worse: c "
        "(−20.0 pp); no clear difference: d (+1.0 pp); not comparable: e."
    )
    assert "明显更好：b (+5.2 pp)" in headline(made)["zh"]


@pytest.mark.parametrize(
    ("usd", "text"), [(12.3, "$12.30"), (0.05, "$0.05"), (0.00213, "$0.0021"), (1.3e-5, "$0.000013"), (0.0, "$0")]
)
def test_tiny_money_is_told(usd: float, text: str) -> None:
    assert dollars(usd) == text


def test_the_command(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--workspace", str(workspace.root)]
    assert main(["compare", "--on", "shop", "--rows-out", str(tmp_path / "rows.csv"), *place]) == 0
    assert "60 rows written" in capsys.readouterr().out
    assert main(["compare", "shop@2", "shop@1", "--on", "shop", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 60
    page_file = tmp_path / "page.html"
    assert main(["compare", "shop@2", "shop@1", "--on", "shop", "--lang", "zh", "--out", str(page_file), *place]) == 0
    out = capsys.readouterr().out
    assert "明显更差" in out and "许可证" in out and page_file.exists()
    assert main(["compare", "shop@2", "shop@1", "--on", "shop", "--price", "cheap", *place]) == 2
    assert "--price 'cheap' is no price" in capsys.readouterr().err
    assert main(["compare", "shop@2", "shop@1", "--on", "shop", "--max-usd", "2", *place]) == 2
    assert "no price was given; give it with --price" in capsys.readouterr().err
    assert main(["compare", "shop@2", "shop@1", "--on", "shpo", *place]) == 2
    assert "Did you mean 'shop'" in capsys.readouterr().err
