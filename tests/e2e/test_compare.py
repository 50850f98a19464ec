"""The competitor's table in real processes: two versions, a file of answers, and a language model that Danlu serves."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from danlu.examples import tiny_rows
from tests.e2e.conftest import Walked, danlu, serving


@pytest.fixture(scope="module")
def two_versions(classify: Walked, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """A copy of the walk, with a second version that was trained from another seed."""
    folder = tmp_path_factory.mktemp("two") / "walk"
    shutil.copytree(classify.folder, folder)
    walked = Walked(folder, classify.name, classify.output)
    sections = walked.sections()
    sections["train"] |= {"seed": 7, "epochs": 1.0}
    sections["compress"] = {"forms": ["torch"], "ship": "torch", "parity_rows": 20}
    sections["release"] = {"gates": ["leaked_rows == 0"]}
    walked.write_recipe(sections)
    output = danlu("run", "recipe.yaml", cwd=folder)
    assert output.returncode == 0, output.stdout + output.stderr
    return Walked(folder, classify.name, output)


def answers_of(walked: Walked, path: Path) -> None:
    """Rows as `--rows-out` writes them, answered by rule: by the label that the recipe's own file gives."""
    said = walked.run("compare", "--on", walked.name, "--rows-out", path.name)
    assert said.returncode == 0, said.stderr
    truth = {row["text"]: row["label"] for row in tiny_rows(400)}
    header, *lines = path.read_text("utf-8-sig").splitlines()
    rows = [f"{line},{truth[line.partition(',')[2].strip(chr(34))]}" for line in lines]
    path.write_text("\n".join([f"{header},predicted", *rows]) + "\n", encoding="utf-8")


def test_versions_answers_and_a_served_language_model(two_versions: Walked, generate: Walked) -> None:
    answers_of(two_versions, two_versions.folder / "oracle.csv")
    with serving(generate) as client:
        key = client.headers["Authorization"].removeprefix("Bearer ")
        environment = {**os.environ, "TINY_KEY": key, "NO_PROXY": "127.0.0.1"}
        arguments = [
            "compare", f"{two_versions.name}@2", f"{two_versions.name}@1", "oracle.csv",
            f"endpoint:{str(client.base_url).rstrip(chr(47))}/v1#{generate.name}",
            "--on", two_versions.name, "--key-env", "TINY_KEY", "--price", "0.5/2", "--max-usd", "1",
            "--max-tokens", "4", "--out", "page.html",
        ]  # fmt: skip
        first = two_versions.run(*arguments, "--json", env=environment)
        assert first.returncode == 0, first.stderr
        table = json.loads(first.stdout)
    # The server is gone: what it answered is kept, and the same command needs it no more.
    second = two_versions.run(*arguments, env=environment)
    assert second.returncode == 0, second.stderr
    new, old, oracle, endpoint = table["entrants"]
    assert oracle["scores"]["accuracy"]["value"] == 1.0
    assert old["scores"]["accuracy"]["value"] >= 0.9
    assert new["form"] == "torch" and old["form"] == "onnx-int8"
    assert new["data"]["rows"] == old["data"]["rows"] > 200
    # So small a language model has never seen an instruction: hardly an answer of it is a label.
    assert endpoint["unanswered"] > table["rows"] // 2
    assert endpoint["scores"]["accuracy"]["value"] < 0.5
    assert endpoint["cost"]["usd_per_1000"] > 0 and endpoint["latency"]["p50_ms"] > 0
    assert endpoint["comparison"]["p_holm"] >= endpoint["comparison"]["p_value"]
    assert generate.name in second.stdout and "no label given" in second.stdout
    assert (two_versions.folder / "page.html").read_text("utf-8").count("<svg") == 1
