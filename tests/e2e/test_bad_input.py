"""What users get wrong: a clear message, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danlu.examples import tiny_recipe, tiny_rows
from tests.e2e.conftest import danlu

Change = Callable[[Path, dict[str, Any]], None]


def rows_file(folder: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")


def missing_file(folder: Path, recipe: dict[str, Any]) -> None:
    recipe["data"]["sources"][0]["path"] = "row.jsonl"


def empty_file(folder: Path, recipe: dict[str, Any]) -> None:
    (folder / "rows.jsonl").write_bytes(b"")


def missing_column(folder: Path, recipe: dict[str, Any]) -> None:
    recipe["data"]["text"] = "texts"


def one_class(folder: Path, recipe: dict[str, Any]) -> None:
    rows_file(folder, [row | {"label": "good"} for row in tiny_rows(60)])


def few_rows(folder: Path, recipe: dict[str, Any]) -> None:
    rows_file(folder, tiny_rows(12))  # type: ignore[arg-type]


def wrong_encoding(folder: Path, recipe: dict[str, Any]) -> None:
    lines = "text,label\n" + "".join(f"这件衣服很好看{i},好\n这件衣服不好看{i},差\n" for i in range(40))
    (folder / "rows.csv").write_bytes(lines.encode("gb18030"))
    recipe["data"]["sources"] = [{"path": "rows.csv", "encoding": "utf-8"}]


def unknown_encoding(folder: Path, recipe: dict[str, Any]) -> None:
    recipe["data"]["sources"][0]["encoding"] = "utf-9"


def all_lines_bad(folder: Path, recipe: dict[str, Any]) -> None:
    (folder / "rows.jsonl").write_text("{not json}\n" * 50, encoding="utf-8")
    recipe["data"]["max_bad_rows"] = 10


def base_without_weights(folder: Path, recipe: dict[str, Any]) -> None:
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    recipe["model"] = {"base": "base"}


def base_with_pickle(folder: Path, recipe: dict[str, Any]) -> None:
    base_without_weights(folder, recipe)
    (folder / "base" / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def zero_bytes(folder: Path, recipe: dict[str, Any]) -> None:
    (folder / "rows.jsonl").write_bytes(b"\x00" * 4096)


#: What goes wrong, and the part of the message that helps: what was found, and what to do.
CASES: list[tuple[Change, tuple[str, ...]]] = [
    (missing_file, ("no file or folder 'row.jsonl'", "Did you mean 'rows.jsonl'?")),
    (empty_file, ("rows.jsonl is empty (0 bytes)",)),
    (missing_column, ("no column 'texts'", "Its columns: 'text', 'label'", "Set data.text")),
    (one_class, ("All 60 usable rows have the label 'good'", "at least two classes", "data.label")),
    (few_rows, ("Only 12 usable rows are left of 12 read", "at least 20 are needed")),
    (wrong_encoding, ("rows.csv cannot be read as utf-8", "set encoding to gb18030")),
    (unknown_encoding, ("no encoding 'utf-9'", "gb18030")),
    (all_lines_bad, ("No row of rows.jsonl could be read", "data.max_bad_rows (10)")),
    (base_without_weights, ("has no weights", "Expected model.safetensors")),
    (base_with_pickle, ("weights as a pickle (pytorch_model.bin)", "expected model.safetensors")),
    (zero_bytes, ("4,096 of its 4,096 bytes are NUL", "save it again as UTF-8")),
]


@pytest.mark.parametrize(("change", "helpful"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_mistake_is_told_and_nothing_is_lost(tmp_path: Path, change: Change, helpful: tuple[str, ...]) -> None:
    recipe = tiny_recipe(tmp_path)
    change(tmp_path, recipe)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe, ensure_ascii=False), encoding="utf-8")
    done = danlu("run", "recipe.yaml", "--until", "data", cwd=tmp_path)
    assert done.returncode == 2, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    for part in helpful:
        assert part in done.stderr, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_odd_rows_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    """NUL bytes, a broken line and a very long line are rejected with a reason; the run goes on."""
    recipe = tiny_recipe(tmp_path)
    good = (tmp_path / "rows.jsonl").read_bytes()
    odd = b'{"text": "cut off\n' + json.dumps({"text": "x" * 1_000_000, "label": "good"}).encode() + b"\n"
    (tmp_path / "rows.jsonl").write_bytes(odd + good + b'{"text": "a \x00 b great", "label": "good"}\n')
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    done = danlu("run", "recipe.yaml", "--until", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = json.loads(next((tmp_path / ".danlu" / "artifacts" / "data").glob("*/card.json")).read_text())
    assert card["sources"][0]["bad_rows"] >= 1
    dropped = sum(sum(step["dropped"].values()) for step in card["funnel"])
    kept = sum(part["rows"] for part in card["splits"].values())
    assert kept + dropped == card["sources"][0]["rows"]


@pytest.mark.slow
def test_a_single_line_of_fifty_megabytes(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(b"x" * 50_000_000)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    done = danlu("run", "recipe.yaml", "--until", "data", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 5_000, "the message does not repeat the line"


def test_two_runs_at_once_the_second_says_why_not(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    first = subprocess.Popen(
        [sys.executable, "-m", "danlu", "run", "recipe.yaml"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 30
        while not list((tmp_path / ".danlu").glob("work/*")) and time.monotonic() < until:
            time.sleep(0.02)
        second = danlu("run", "recipe.yaml", cwd=tmp_path)
    finally:
        first.send_signal(signal.SIGINT)
        code = first.wait(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    assert code == 130, "Ctrl-C has an exit code of its own"


def test_a_read_only_place_is_said(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    done = danlu("run", "recipe.yaml", "--workspace", "/proc/danlu", cwd=tmp_path)
    assert done.returncode == 2
    assert "--workspace" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_budget_cap_stops_with_its_own_code_and_goes_on(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    recipe["budget"]["hours"] = 0.0005
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    first = danlu("run", "recipe.yaml", "--until", "train", cwd=tmp_path)
    assert first.returncode == 4, first.stdout + first.stderr
    assert "budget.hours" in first.stderr
    recipe["budget"]["hours"] = 1.0
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    assert danlu("run", "recipe.yaml", "--until", "train", cwd=tmp_path).returncode == 0
