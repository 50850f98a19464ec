from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.report.page import page, write_report
from danlu.report.sentences import gate_sentence
from danlu.report.summary import summary
from danlu.report.words import _WORDS
from tests.unit.report.example import EVIL, make_run

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags, ids, addresses and text, and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for key, value in attrs:
            if key == "id":
                self.ids[str(value)] += 1
            if key in {"href", "src", "xlink:href", "srcset"}:
                self.addresses.append(str(value))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def drawn(folder: Path, language: str = "en", **options: Any) -> str:
    return page(summary(make_run(folder, **options), Workspace(folder)), language)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The summary of a whole run and its page."""
    folder = tmp_path_factory.mktemp("whole")
    found = summary(make_run(folder), Workspace(folder))
    return found, page(found)


def test_needs_nothing_from_outside_and_runs_no_script(whole: tuple[dict[str, Any], str]) -> None:
    text = whole[1]
    read = Reader(text)
    assert read.tags["script"] == read.tags["link"] == read.tags["img"] == read.tags["iframe"] == 0
    assert all(address.startswith("#") for address in read.addresses)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_texts_and_labels_are_escaped(whole: tuple[dict[str, Any], str]) -> None:
    text = whole[1]
    assert "<script" not in text
    assert EVIL in "".join(Reader(text).texts)


def test_has_all_plots_and_no_id_twice(whole: tuple[dict[str, Any], str]) -> None:
    read = Reader(whole[1])
    assert read.tags["svg"] == 7
    assert [name for name, times in read.ids.items() if times > 1] == []


def test_same_summary_same_bytes(whole: tuple[dict[str, Any], str]) -> None:
    found, text = whole
    assert page(found) == text


def test_chinese_is_real_text_also_in_plots(tmp_path: Path) -> None:
    text = drawn(tmp_path, "zh", labels=["好评", "差评"], refused=True)
    assert 'lang="zh-CN"' in text
    plots = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    for word in ("好评", "准确率", "读入"):
        assert word in plots
    assert "先别上线" in text


@pytest.mark.parametrize("until", ["plan", "data", "train", "compress", "evaluate"])
def test_draws_what_there_is_of_a_partial_run(tmp_path: Path, until: str) -> None:
    text = drawn(tmp_path, until=until)
    assert f"Done up to the stage {until}, as asked." in text
    Reader(text)


def test_a_run_that_failed_at_once_still_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, until="plan") | {"stages": [], "error": {"kind": "DataError", "text": "No such column"}}
    assert "No such column" in page(summary(run, Workspace(tmp_path)))


def test_generate_has_a_page(tmp_path: Path) -> None:
    text = drawn(tmp_path, "zh", task="generate")
    assert "每字符比特数" in text
    assert "61.2" in text
    assert "43.0" not in text, "the baseline's perplexity counts characters and must not stand beside the model's"
    Reader(text)


@pytest.mark.parametrize(("language", "said"), [("en", "an ensemble of the 3 models"), ("zh", "由 3 折的模型合成")])
def test_an_ensemble_is_called_one(tmp_path: Path, language: str, said: str) -> None:
    told = summary(make_run(tmp_path), Workspace(tmp_path))
    assert said not in page(told, language)  # type: ignore[arg-type]
    told["model"] |= {"members": 3}
    assert said in page(told, language)  # type: ignore[arg-type]


def test_many_and_long_labels(tmp_path: Path) -> None:
    labels = [f"标签 {index} " + "x" * 40 for index in range(24)]
    assert Reader(drawn(tmp_path, labels=labels)).tags["svg"] == 7


def test_written_where_the_run_is(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path), Workspace(tmp_path))
    assert write_report(found, tmp_path / "runs" / "x").name == "report.html"
    assert write_report(found, tmp_path / "runs" / "x", "zh").name == "report.zh.html"
    with pytest.raises(UserError, match="'fr'"):
        write_report(found, tmp_path, "fr")


def test_every_word_is_in_both_languages_with_the_same_blanks() -> None:
    for key, (english, chinese) in _WORDS.items():
        assert english, key
        assert chinese, key
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), key


def test_a_run_without_a_verdict_leaves_the_report_of_one_that_has_it(tmp_path: Path) -> None:
    judged, stopped = make_run(tmp_path), make_run(tmp_path, until="data")
    report = write_report(summary(judged, Workspace(tmp_path)), tmp_path / "runs" / "x", "zh")
    before = report.read_bytes()
    other = write_report(summary(stopped, Workspace(tmp_path)), tmp_path / "runs" / "x", "zh")
    assert other.name == "report.stopped.zh.html"
    assert report.read_bytes() == before
    assert "到此为止" in other.read_text(encoding="utf-8")


def test_the_page_says_that_a_later_run_was_stopped(tmp_path: Path) -> None:
    judged = make_run(tmp_path)
    later = judged | {"verdict": "stopped", "stages": judged["stages"][:2], "finished": "2026-11-24T12:05:02+00:00"}
    found = summary(judged, Workspace(tmp_path), later)
    assert "A later run (2026-11-24 12:05 UTC) came to no verdict: it ended after the stage data." in page(found)
    assert "之后还有一次运行（2026-11-24 12:05 UTC）没有得出结论：它在“数据”阶段之后结束。" in page(found, "zh")


def test_what_was_seen_at_the_gates_is_chinese_on_a_chinese_page(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path, refused=True), Workspace(tmp_path))
    assert "macro_f1 is 0.777" in page(found)
    assert "macro_f1 is 0.777" not in page(found, "zh")
    assert "实际值 0.7770，要求 ≥ 0.70" in page(found, "zh")


def test_a_gate_on_parity_says_on_how_many_texts_it_was_seen(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path), Workspace(tmp_path))
    gate = {"expression": "parity.high <= 0.05", "passed": True, "observed": 0.012, "reason": ""}
    rows = next(form for form in found["forms"] if form["shipped"])["parity"]["rows"]
    assert gate_sentence(gate, found)["zh"] == f"实际值 0.01200，要求 ≤ 0.05（{rows} 条留出文本）"
