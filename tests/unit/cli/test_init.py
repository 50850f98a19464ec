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
        ("评论数据", "reviews"),
        ("2024年客户投诉导出", "2024-customer-complaints"),
        ("评论_reviews_v2", "reviews-v2"),
        ("北京评论", "reviews-b1a5"),
        ("上海评论", "reviews-f218"),
        ("古诗词", "classifier-7b1f"),
        ("！！", "my-model"),
    ],
)
def test_the_proposed_name_is_short_and_whole_words(tmp_path: Path, stem: str, name: str) -> None:
    lines = "".join(f"the lamp number {row} is {word},{word}\n" for row in range(30) for word in ("good", "bad"))
    (tmp_path / f"{stem}.csv").write_text("text,label\n" + lines, encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    done = CliRunner().invoke(cli, ["init", str(tmp_path / f"{stem}.csv"), "--output", str(recipe)])
    assert done.exit_code == 0, done.output
    assert load_recipe(recipe).name == name


def test_data_that_a_run_would_refuse_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("text,label\nthis is good,a\nthis is bad,b\n", encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "two.csv"), "--output", str(recipe)])
    assert done.exit_code == 0, done.output
    assert "Only 2 rows: a run needs at least 20." in done.output
    assert "It cannot run yet" in done.output
    assert "danlu run" not in done.output


def test_several_files_become_several_sources_of_one_recipe(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines = "".join(f"{name} lamp {row} is {word},{word}\n" for row in range(30) for word in ("good", "bad"))
        (tmp_path / f"{name}.csv").write_text("text,label\n" + lines, encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    done = CliRunner().invoke(cli, ["init", *files, "--output", str(recipe)])
    assert done.exit_code == 0, done.output
    assert "120 rows in 2 files" in done.output
    assert len(load_recipe(recipe).data.sources) == 2
