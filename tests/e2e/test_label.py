"""Rows chosen by the released model, out to a person and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.data.labels.decisions import read_decisions
from danlu.examples import tiny_rows
from tests.e2e.conftest import Walked
from tests.unit.data.labels.example import fill_in, rows_in

pytest.importorskip("cleanlab")


def test_the_released_model_says_what_to_label_next(classify: Walked, tmp_path: Path) -> None:
    fresh = {row["text"]: row["label"] for row in tiny_rows(120, seed=77)}
    (tmp_path / "new.txt").write_text("\n".join(fresh), encoding="utf-8")
    sheet, out = tmp_path / "labels.xlsx", tmp_path / "labels.csv"
    options = ("--unlabelled", str(tmp_path / "new.txt"), "--out", str(sheet), "--rows", "40", "--test-sample", "5")
    done = classify.run("label", "export", classify.name, *options, "--json", "--decisions", str(out))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["model"] == f"{classify.name} version 1"
    assert said["rows"]["next"] >= 20
    assert said["rows"]["sample"] == 5
    suggested = [(row["text"], row["suggested"]) for row in rows_in(sheet) if str(row["why"]).startswith("next")]
    assert sum(fresh[text] == label for text, label in suggested) >= 0.6 * len(suggested)
    fill_in(sheet, tmp_path / "ann.xlsx", fresh)
    done = classify.run("label", "import", str(tmp_path / "ann.xlsx"), "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["decisions"] == {"single": len(suggested)}
    assert len(read_decisions(out)) == len(suggested)
    new = [json.loads(line) for line in Path(said["new_rows"]).read_text(encoding="utf-8").splitlines()]
    assert {row["text"]: row["label"] for row in new} == {text: fresh[text] for text, _ in suggested}
