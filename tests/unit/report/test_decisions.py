"""What helps to decide: not enough data, the champion, when to ask a person, where it is worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.core.artifact import write_json
from danlu.core.store import Workspace
from danlu.report.decisions import champion_sentence
from danlu.report.meaning import meaning
from danlu.report.page import page
from danlu.report.sentences import gate_sentence
from danlu.report.summary import summary
from tests.unit.report.example import make_run, score

OPEN = {
    "expression": "macro_f1.low >= 0.77",
    "passed": False,
    "observed": 0.763,
    "reason": "macro_f1.low is 0.763, but must be >= 0.77; about 4,200 more test rows would tell",
    "further": 4_200,
}


def compared(**changes: Any) -> dict[str, Any]:
    comparison = {
        "metric": "macro_f1",
        "test": "paired bootstrap",
        "difference": score(0.012, 0.02),
        "p_value": 0.2,
        "significant": False,
        "accuracy": {"difference": score(0.01, 0.012)},
        "rows": 3_000,
    }
    scores = {"model": {"accuracy": score(0.773)}, "champion": {"accuracy": score(0.763)}}
    found = {"version": {"number": 3, "release": "0" * 64}, "comparison": comparison, "scores": scores}
    return found | {"seen_rows": 0, "missing": None} | changes


@pytest.fixture
def undecided(tmp_path: Path) -> dict[str, Any]:
    run = make_run(tmp_path, refused=True)
    folder = tmp_path / next(row["folder"] for row in run["stages"] if row["stage"] == "release")
    write_json(folder / "release.json", {"verdict": "undecided", "gates": [OPEN]})
    return summary(run | {"verdict": "undecided"}, Workspace(tmp_path))


def test_the_first_sentence_says_how_many_texts_are_lacking(undecided: dict[str, Any]) -> None:
    sentence = undecided["sentence"]
    assert sentence["en"].startswith("Not enough data to decide: sentiment-en gets 77.3% of unseen texts right")
    assert "3,637 test texts are too few" in sentence["en"]
    assert "about 4,200 more would show it" in sentence["en"]
    assert sentence["zh"].startswith("数据不够")
    assert "再加大约 4,200 条测试文本" in sentence["zh"]
    assert "4,200" in gate_sentence(OPEN, undecided)["zh"]
    assert (
        "10% of the rows go to the test part, so 4,200 more there are about 42,000 more" in undecided["advice"][0]["en"]
    )
    for language, badge in (("en", "Not enough data"), ("zh", "数据不够")):
        drawn = page(undecided, language)
        assert f'<span class="badge">{badge}</span>' in drawn
        assert "4,200" in drawn


def test_the_page_tells_when_to_ask_a_person_and_where_it_is_worse(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path), Workspace(tmp_path))
    assert "the 80% that it is surest of" in found["abstention_sentence"]["en"]
    assert "86.1% are right (84.7% to 87.5%), instead of 77.3%" in found["abstention_sentence"]["en"]
    assert "worse where length <= 20: 64.0% right, elsewhere 80.0%" in found["slices_sentence"]["en"]
    for language in ("en", "zh"):
        drawn = page(found, language)
        assert 'id="abstention-' in drawn
        assert "<code>length &lt;= 20</code>" in drawn
        assert "&lt;b&gt;" in drawn and "<b>&#34;" not in drawn
        assert found["abstention_sentence"][language] in drawn


def test_the_champion_is_told_with_what_was_left_out(undecided: dict[str, Any]) -> None:
    said = champion_sentence(undecided | {"champion": compared(seen_rows=637)})
    assert said is not None
    assert "gets 77.3% right and version 3, which is live, 76.3% (difference −0.2 to 2.2 points)" in said["en"]
    assert "637 test texts are left out" in said["en"]
    assert "637" in said["zh"]
    none = compared(version=None, comparison=None, scores=None)
    assert champion_sentence(undecided | {"champion": none}) == {
        "en": "No other version is live yet.",
        "zh": "还没有别的现役版本。",
    }
    gone = champion_sentence(undecided | {"champion": compared(comparison=None, scores=None, missing="it is gone")})
    assert gone is not None and "it is gone" in gone["en"]
    gate = {"expression": "beats(champion)", "passed": False, "observed": 0.012, "reason": "r", "further": 900}
    told = gate_sentence(gate, undecided | {"champion": compared()})["zh"]
    assert "比现役版本（第 3 版）好 0.012" in told
    assert "900" in told


def test_a_temperature_is_told_or_offered(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path), Workspace(tmp_path))
    calibration = found["evidence"]["calibration"]

    def said(**changes: Any) -> str:
        evidence = found["evidence"] | {"calibration": calibration | changes}
        return "".join(point["en"] for point in meaning(found | {"evidence": evidence}))

    assert "temperature" not in said() and "calibrate" not in said()
    assert "`compress.calibrate: true` may mend it" in said(ece=score(0.09))
    assert "fitted on validation rows (1.80) it would be 9.0%" in said(temperature=1.8, ece_without=score(0.09))


def test_costs_are_told_in_the_unit_that_was_given(tmp_path: Path) -> None:
    found = summary(make_run(tmp_path), Workspace(tmp_path))
    costs = {"threshold": 0.83, "coverage": 0.7, "cost": score(0.31, 0.06), "model": score(0.69), "person": 1.0}

    def said(**changes: Any) -> str:
        return "".join(p["en"] for p in meaning(found | {"evidence": found["evidence"] | {"costs": costs | changes}}))

    assert "from a confidence of 83.0% on (70% of the texts" in said()
    assert "0.310 a text (0.250 to 0.370), instead of 0.690 if it answers all and 1.00 if a person does" in said()
    assert "it should answer nothing" in said(threshold=None)
