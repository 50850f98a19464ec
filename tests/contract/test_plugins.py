"""A stage of a third party: a real distribution, found by its entry point, run by the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from danlu.cli.main import cli, main
from danlu.examples import tiny_recipe
from danlu.recipe import load_recipe
from danlu.stages import STAGES, stages_of

CONFIG = '''
from pydantic import Field
from danlu.core.config import Config
from danlu.data.config import DataConfig

class WordsConfig(Config):
    """Which words to count."""
    most: int = Field(10, ge=1, description="How many of the most frequent words to list.")

class WordsStage(Config):
    """The sections that the stage is given: one of the recipe's, and its own."""
    data: DataConfig = Field(description="The recipe's data section.")
    words: WordsConfig = Field(description="The words section under extensions.")
'''

STAGE = """
from collections import Counter
import pyarrow.parquet as parquet
from danlu.core.artifact import write_json

def run(ctx, config):
    column = parquet.read_table(ctx.inputs["data"] / "train", columns=["text"])["text"].to_pylist()
    counts = Counter(word for text in ctx.track(column, "counting words") for word in text.split())
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    write_json(ctx.out / "words.json", {"column": config.data.text, "words": ranked[: config.words.most]})
"""

ROW = """
from danlu.core.stage import Stage
from acme_words.config import WordsStage

ROW = Stage(name="words", config=WordsStage, run="acme_words.stage:run", reads=("data",), writes="Words", version=1,
            example="danlu.examples:EXAMPLE")
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put the distribution acme-words where Python finds it, in this process and in its children."""
    site = tmp_path / "site"

    def put(row: str = ROW, value: str = "acme_words.row:ROW") -> Path:
        for name, text in (("__init__", ""), ("config", CONFIG), ("stage", STAGE), ("row", row)):
            (site / "acme_words").mkdir(parents=True, exist_ok=True)
            (site / "acme_words" / f"{name}.py").write_text(text, encoding="utf-8")
        about = site / "acme_words-1.2.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-words\nVersion: 1.2\n", encoding="utf-8")
        (about / "entry_points.txt").write_text(f"[danlu.stages]\nwords = {value}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(site)
        path = os.pathsep.join((str(site), os.environ.get("PYTHONPATH", "")))
        monkeypatch.setenv("PYTHONPATH", path)
        return site

    yield put  # type: ignore[misc]
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_words"]:
        del sys.modules[name]


def write_recipe(folder: Path, **extensions: object) -> Path:
    path = folder / "recipe.yaml"
    sections = tiny_recipe(folder) | {"extensions": extensions}
    path.write_text(json.dumps(sections, indent=1), encoding="utf-8")
    return path


def test_a_recipe_that_asks_for_it_runs_it_and_reuses_it(tmp_path: Path, install: Install) -> None:
    install()
    recipe = write_recipe(tmp_path, words={"most": 3})

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "danlu", "run", recipe.name, "--until", "words"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    (written,) = (tmp_path / ".danlu" / "artifacts" / "words").glob("*/words.json")
    found = json.loads(written.read_text(encoding="utf-8"))
    assert found["column"] == "text"
    assert len(found["words"]) == 3
    assert found["words"][0][1] >= found["words"][2][1] > 0
    assert not (tmp_path / ".danlu" / "artifacts" / "train").exists(), "it runs as soon as what it reads is there"
    assert "words: reused" in run().stdout


def test_a_recipe_that_does_not_ask_knows_nothing_of_it(tmp_path: Path, install: Install) -> None:
    install(row="raise RuntimeError('broken')")
    assert stages_of(load_recipe(write_recipe(tmp_path))) == tuple(stage for stage in STAGES if stage.when is None)


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        ({"wrods": {}}, "no installed distribution brings a section 'extensions.wrods'. Did you mean 'words'?"),
        ({"words": {"mots": 3}}, "there is no key 'extensions.words.mots'. Did you mean 'most'?"),
        ({"words": {"most": 0}}, "extensions.words.most is 0. Input should be greater than or equal to 1"),
        ({"words": None}, "extensions.words is None."),
    ],
)
def test_its_section_is_as_strict_as_the_others(
    tmp_path: Path, install: Install, extensions: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    recipe = write_recipe(tmp_path, **extensions)
    line = next(n for n, text in enumerate(recipe.read_text().splitlines(), 1) if next(iter(extensions)) in text)
    assert main(["recipe", "check", str(recipe)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert any(f"recipe.yaml:{number}: " in told for number in (line, line + 1))


@pytest.mark.parametrize(
    ("row", "value", "why"),
    [
        ("raise RuntimeError('planted')", "acme_words.row:ROW", "RuntimeError: planted"),
        (ROW, "acme_words.raw:ROW", "No module named 'acme_words.raw'"),
        ("ROW = 5", "acme_words.row:ROW", "expected a danlu.core.stage.Stage, got a int"),
        (ROW.replace('name="words"', 'name="train"'), "acme_words.row:ROW", "another stage has that name"),
        (ROW.replace('("data",)', '("dada",)'), "acme_words.row:ROW", "it reads 'dada', which no stage"),
    ],
)
def test_a_broken_one_is_told_with_the_distributions_name(
    tmp_path: Path, install: Install, row: str, value: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(row=row, value=value)
    recipe = write_recipe(tmp_path, words={})
    for command in (["recipe", "check", str(recipe)], ["plan", str(recipe), "--workspace", str(tmp_path / "space")]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "acme-words 1.2" in said
        assert why in said
        assert "Traceback" not in said


def test_without_the_distribution_the_section_is_refused_with_its_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["recipe", "check", str(write_recipe(tmp_path, words={}))])
    assert done.exit_code != 0
    assert "no installed distribution brings a section 'extensions.words'. Installed: none." in str(done.exception)
