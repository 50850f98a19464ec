from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from danlu.cli.main import cli
from danlu.recipe import load_recipe


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("reviews", "reviews"),
        ("Customer Feedback 2024", "customer-feedback-2024"),
        ("customer_feedback_export_2024_q3_final_v2 (1)", "customer-feedback-export"),
        ("a-file-whose-words-go-on-and-on", "a-file-whose-words-go-on"),
        ("x" * 200, "x" * 24),
        ("评论数据", "my-model"),
    ],
)
def test_the_proposed_name_is_short_and_whole_words(tmp_path: Path, stem: str, name: str) -> None:
    lines = "".join(f"the lamp number {row} is {word},{word}\n" for row in range(30) for word in ("good", "bad"))
    (tmp_path / f"{stem}.csv").write_text("text,label\n" + lines, encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    done = CliRunner().invoke(cli, ["init", str(tmp_path / f"{stem}.csv"), "--output", str(recipe)])
    assert done.exit_code == 0, done.output
    assert load_recipe(recipe).name == name
