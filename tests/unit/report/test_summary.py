from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from danlu.cli.tables import draw_summary
from danlu.core.store import Workspace
from danlu.report.folds import folds_sentence
from danlu.report.page import page
from danlu.report.sentences import meaning
from danlu.report.summary import summary
from tests.unit.report.example import SECONDS, make_run, score


def summarise(folder: Path, **options: Any) -> dict[str, Any]:
    return summary(make_run(folder, **options), Workspace(folder))


def test_has_every_number_of_the_artifacts(tmp_path: Path) -> None:
    found = summarise(tmp_path)
    assert found["verdict"] == "ship"
    assert found["version"] == 1
    assert found["evidence"]["scores"]["accuracy"] == score(0.773)
    assert list(found["evidence"]["scores"])[:2] == ["accuracy", "macro_f1"]
    assert found["data"]["funnel"][0]["rows_in"] == 38_158
    assert list(found["data"]["splits"]) == ["train", "validation", "test"]
    assert found["baseline"]["all_rows"]["rows"] == 29_100
    assert found["naive"]["naive"]["value"] == 0.951
    assert [form["form"] for form in found["forms"]] == ["onnx", "torch"]
    assert found["forms"][0]["shipped"]
    assert found["training"]["speed"]["samples_per_second"] == 37.1
    assert [row["stage"] for row in found["artifacts"]] == list(SECONDS)
    train = next(row for row in found["plan"]["stages"] if row["stage"] == "train")
    assert train["seconds"]["actual"] == SECONDS["train"]
    assert train["seconds"]["predicted"]["low"] < train["seconds"]["predicted"]["value"]
    json.dumps(found, allow_nan=False)


def test_a_run_that_stopped_early_leaves_nulls(tmp_path: Path) -> None:
    found = summarise(tmp_path, until="data")
    assert found["verdict"] == "stopped"
    for key in ("gates", "evidence", "baseline", "speed", "forms", "training", "version"):
        assert found[key] is None, key
    assert found["data"]["leaked_rows"] == 0
    assert found["naive"]["clean"]["value"] == 0.848
    assert "data" in found["sentence"]["en"]


def test_an_artifact_that_was_deleted_leaves_nulls(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.rmtree(tmp_path / "artifacts" / "evaluate")
    found = summary(run, Workspace(tmp_path))
    assert found["evidence"] is None
    row = next(row for row in found["artifacts"] if row["stage"] == "evaluate")
    assert row["fingerprint"]
    assert row["bytes"] is None


def test_sentence_of_a_release_that_ships(tmp_path: Path) -> None:
    said = summarise(tmp_path)["sentence"]
    assert said["en"] == (
        "Ship it: sentiment-en gets 77.3% of unseen texts right, clearly better than the cheap baseline's 71.0%, "
        "and it passed both gates."
    )
    assert said["zh"].startswith("可以上线：sentiment-en")


def test_sentence_of_a_refused_release_names_the_gate(tmp_path: Path) -> None:
    said = summarise(tmp_path, refused=True)["sentence"]
    assert said["en"].startswith("Do not ship it yet: sentiment-en failed 1 of 2 gates (macro_f1 >= 0.70).")
    assert "macro_f1 >= 0.70" in said["zh"]


def test_sentence_never_claims_what_the_test_did_not_show(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    path = next((tmp_path / "artifacts" / "evaluate").glob("*/evidence.json"))
    evidence = json.loads(path.read_text(encoding="utf-8"))
    evidence["baseline"]["comparison"]["significant"] = False
    path.write_text(json.dumps(evidence), encoding="utf-8")
    said = summary(run, Workspace(tmp_path))["sentence"]
    assert said["en"].startswith("Its gates let it pass, but look twice")
    assert "not clearly different" in said["en"]
    assert "better" not in said["en"]


def test_generate_is_told_in_bits(tmp_path: Path) -> None:
    said = summarise(tmp_path, task="generate")["sentence"]
    assert "4.91 bits for each character" in said["en"]
    assert "clearly better than the cheap baseline's 5.44" in said["en"]


@pytest.mark.parametrize(("significant", "words"), [(True, "earns its place"), (False, "you may not need this model")])
def test_a_baseline_on_all_rows_that_is_not_clearly_beaten_is_said(
    tmp_path: Path, significant: bool, words: str
) -> None:
    found = summarise(tmp_path)
    found["baseline"]["all_rows"]["comparison"] = {"significant": significant}
    assert any(words in point["en"] for point in meaning(found))


@pytest.mark.parametrize(("naive", "words"), [(0.951, "you would have believed 95.1%"), (0.86, "than chance allows")])
def test_naive_split_is_only_called_a_leak_where_it_is_one(tmp_path: Path, naive: float, words: str) -> None:
    run = make_run(tmp_path, until="data")
    path = next((tmp_path / "artifacts" / "data").glob("*/card.json"))
    card = json.loads(path.read_text(encoding="utf-8"))
    card["naive"]["naive"] = score(naive)
    path.write_text(json.dumps(card), encoding="utf-8")
    assert words in summary(run, Workspace(tmp_path))["naive_sentence"]["en"]


def with_energy(folder: Path, how: str) -> dict[str, Any]:
    """A run whose stages took 0.001 kWh each."""
    run = make_run(folder)
    for record in (folder / "artifacts").glob("*/*/record.json"):
        told = json.loads(record.read_text(encoding="utf-8")) | {"kwh": 0.001, "kwh_by": how}
        record.write_text(json.dumps(told), encoding="utf-8")
    run["recipe"]["budget"] = {"electricity_price": 0.2, "carbon_intensity": 0.5}
    return summary(run, Workspace(folder))


@pytest.mark.parametrize(("how", "said"), [("estimated", "estimated from CPU time"), ("rapl", "read from the machine")])
def test_energy_stands_beside_what_the_plan_said(tmp_path: Path, how: str, said: str) -> None:
    found = with_energy(tmp_path, how)
    planned = len(found["plan"]["predicted"]["stages"])
    assert found["plan"]["total"]["kwh"]["actual"] == pytest.approx(0.001 * planned)
    assert found["plan"]["total"]["kg_co2"]["actual"] == pytest.approx(0.0005 * planned)
    assert found["plan"]["total"]["usd"]["actual"] == pytest.approx(0.0002 * planned)
    assert found["plan"]["kwh_by"] == [how]
    screen = Console(record=True, width=120, file=io.StringIO())
    draw_summary(screen, found)
    (line,) = [line for line in screen.export_text().splitlines() if line.startswith("Energy")]
    assert said in line and "the plan said 0.98–2.2 g" in line
    assert said in page(found, "en")


def test_folds_are_told_beside_the_test_score(tmp_path: Path) -> None:
    found = summarise(tmp_path)
    assert found["folds_sentence"] is None
    tested = found["evidence"]["scores"]["accuracy"]["value"]
    for low, outside in ((tested - 0.02, False), (tested + 0.01, True)):
        spread = {"mean": low + 0.02, "deviation": 0.01, "low": low, "high": low + 0.04}
        numbers = found | {"folds": {"primary": "accuracy", "folds": [{}] * 5, "scores": {"accuracy": spread}}}
        said = folds_sentence(numbers)
        assert said is not None
        assert "Over 5 folds accuracy is" in said["en"] and "(standard deviation 1.0%)" in said["en"]
        assert ("outside of that" in said["en"]) is outside is ("不在这个范围里" in said["zh"])
        assert "Cross-validation" in page(numbers | {"folds_sentence": said}, "en")
