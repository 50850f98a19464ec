"""The commands on a real, tiny run; minutes on a busy machine, so `slow`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """\
name: tiny
task: classify
data:
  sources:
    - path: rows.csv
model:
  scratch:
    layers: 1
    width: 32
    heads: 2
    vocabulary: 400
train:
  epochs: 2
evaluate:
  resamples: 100
speed:
  requests: 20
release:
  gates: ["accuracy >= {least}", "leaked_rows == 0"]
"""


def danlu(folder: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    code = "import sys; from danlu.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, input=given, timeout=500
    )


@pytest.mark.slow
def test_from_a_file_to_a_champion(tmp_path: Path) -> None:
    moods = {"good": "sunny lovely great", "bad": "awful broken late"}
    rows = [
        f"{word} order number {index} was {mood},{mood}"
        for index in range(60)
        for mood, words in moods.items()
        for word in words.split()
    ]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"

    recipe.write_text(RECIPE.format(least="1.01"), encoding="utf-8")
    wrong = danlu(tmp_path, "run", "recipe.yaml")
    assert wrong.returncode == 2, wrong.stderr

    recipe.write_text(RECIPE.format(least="0.0"), encoding="utf-8")
    stopped = danlu(tmp_path, "run", "recipe.yaml", "--until", "data", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["verdict"] == "stopped"

    done = danlu(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "data: reused" in done.stdout
    assert 'danlu predict tiny "..."' in done.stdout

    found = json.loads(danlu(tmp_path, "show", "tiny", "--json").stdout)
    assert found["verdict"] == "ship"
    for key in ("data", "evidence", "baseline", "speed", "forms", "training", "model"):
        assert found[key], key
    assert all(row["seconds"]["actual"] for row in found["plan"]["stages"])
    assert found["plan"]["total"]["seconds"]["predicted"]["value"] > 0

    answers = json.loads(danlu(tmp_path, "predict", "tiny", "--json", given="lovely day\nbroken again\n").stdout)
    assert [answer["text"] for answer in answers] == ["lovely day", "broken again"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)

    listed = json.loads(danlu(tmp_path, "list", "--json").stdout)
    assert [(row["version"], row["champion"]) for row in listed["releases"]] == [(1, True)]
    assert json.loads(danlu(tmp_path, "promote", "tiny", "1", "--json").stdout) == {"name": "tiny", "champion": 1}
    assert danlu(tmp_path, "rollback", "tiny").returncode == 2

    recipe.write_text(RECIPE.format(least="0.99").replace("leaked_rows == 0", "rows >= 1000000"), encoding="utf-8")
    refused = danlu(tmp_path, "run", "recipe.yaml")
    assert refused.returncode == 3, refused.stderr
    assert "✗ rows >= 1000000" in refused.stdout
    assert "evaluate: reused" in refused.stdout
