"""Licences, origin and consent, and the data card as a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from danlu.core.errors import RecipeError
from danlu.core.fingerprint import plain
from danlu.data.config import CleanConfig, DataConfig
from danlu.data.licences import KNOWN, remark
from danlu.data.page.page import page
from danlu.data.page.words import WORDS
from danlu.recipe import parse_recipe
from tests.unit.data.test_stage import distinct, make, write

RECIPE = """\
name: tiny
task: classify
data:
  sources:
    - {path: a.csv, licence: mit}
    - {path: b.csv%s}
  licences: {allow: [MIT, CC-BY-4.0]}
model: {scratch: {}}
"""


@pytest.mark.parametrize(("more", "shown"), [(", licence: GPL-3.0-only", "GPL-3.0-only"), ("", "unknown")])
def test_a_licence_that_is_not_allowed_is_refused_by_name(more: str, shown: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE % more)
    said = str(caught.value)
    assert f"'b.csv' has the licence '{shown}'" in said
    assert "a.csv" not in said


def test_case_of_a_licence_does_not_count() -> None:
    assert parse_recipe(RECIPE % ", licence: cc-by-4.0").data.licences.allow == ["MIT", "CC-BY-4.0"]


def test_what_is_allowed_is_no_part_of_the_fingerprint() -> None:
    source = {"path": "a.csv", "licence": "MIT"}
    digests = {"sources[0].path": "0"}
    open_, strict = (
        CleanConfig.model_validate({"sources": [source], "licences": {"allow": allow}}) for allow in (None, ["MIT"])
    )
    assert plain(open_, digests) == plain(strict, digests)


@pytest.mark.parametrize("licence", [*KNOWN, "mit", "unknown", "MIT OR (Apache-2.0 AND CC0-1.0)", "LicenseRef-ours"])
def test_known_licences_need_no_remark(licence: str) -> None:
    assert remark(licence) is None


def test_an_unknown_licence_is_told_with_the_nearest() -> None:
    assert "Did you mean CC-BY-4.0?" in str(remark("CC BY 4.0"))
    assert "'house rules'" in str(remark("house rules"))


def test_an_origin_may_hold_no_password() -> None:
    with pytest.raises(ValueError, match="holds a password"):
        DataConfig.model_validate({"sources": [{"path": "a.csv", "origin": "https://me:secret@example.org/x"}]})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provenance")
    rows = distinct(60)
    rows += [dict(row) for row in rows[:5]]
    rows.append({"text": "write to <ann@example.org> about <b>this</b>", "label": "good"})
    return make(folder, [write(folder / "rows.jsonl", rows)]).out


def card_of(corpus: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((corpus / "card.json").read_text(encoding="utf-8"))
    return found


def test_provenance_is_in_card_and_rows(corpus: Path) -> None:
    (source,) = card_of(corpus)["sources"]
    assert (source["licence"], source["origin"], source["consent"]) == ("CC0-1.0", None, "unknown")
    rows = pq.read_table(corpus / "train").to_pylist()
    assert {(row["licence"], row["consent"]) for row in rows} == {("CC0-1.0", "unknown")}


def test_length_bins_count_every_row_once(corpus: Path) -> None:
    card = card_of(corpus)
    assert sum(entry["rows"] for entry in card["length_bins"]) == sum(part["rows"] for part in card["splits"].values())
    assert card["length_bins"][-1]["up_to"] >= card["lengths"]["max"]
    assert card["length_bins"][-1]["rows"] > 0


class _Balanced(HTMLParser):
    """Raises where a tag is closed that is not the last one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_and_is_well_formed(corpus: Path) -> None:
    text = (corpus / "card.html").read_text(encoding="utf-8")
    assert text == page(card_of(corpus))
    parser = _Balanced()
    parser.feed(text)
    assert not parser.open
    assert not re.search(r"<script|<link|<img|src=|https?://", text)
    assert "example.org" not in text
    assert '<span class="zh" lang="zh-CN">完全相同</span>' in text


def test_what_comes_from_the_recipe_is_escaped_and_shown(corpus: Path) -> None:
    card = card_of(corpus)
    card["language"] = "zh"
    card["sources"][0] |= {"origin": "<script>alert(1)</script>", "consent": "own", "consent_note": "a & b"}
    text = page(card)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "自有数据" in text
    assert "(a &amp; b)" in text
    assert 'id="lang-zh" aria-label="中文" checked' in text


def test_every_word_has_the_same_gaps_in_both_languages() -> None:
    for key, (english, chinese) in WORDS.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key
