"""One contract for every row of the corridor: what holds for one stage holds for all."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from danlu.core.artifact import RECORD
from danlu.core.config import resources, view
from danlu.core.errors import Interrupted
from danlu.core.fingerprint import plain
from danlu.core.lazy import load_attribute
from danlu.core.runner import Caps, Runner
from danlu.core.stage import Stage
from danlu.core.store import Workspace
from danlu.recipe import Recipe
from danlu.stages import STAGES, stages_of

NAMES = [stage.name for stage in STAGES]

#: No one recipe has every stage: the first example has all but these, which are seen in their own.
_APART = ("questions",)
TOGETHER = [name for name in NAMES if name not in _APART]

Example = tuple[Path, Recipe]


def stage_named(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def walk(folder: Path, recipe: Recipe, *, until: str | None = None, **options: Any) -> Runner:
    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(folder / "space").open(),
        base=folder,
        caps=Caps(threads=1),
        **options,
    )
    runner.walk(recipe, until=until)
    return runner


def prepared(stage: str, folder: Path) -> Example:
    return folder, Recipe.model_validate(load_attribute(stage_named(stage).example).prepare(folder))


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return prepared("tune", tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="session")
def walked(example: Example) -> Runner:
    return walk(*example)


@pytest.fixture(scope="session")
def examples(example: Example, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """The example that has a stage, by the stage's name."""
    apart = {name: prepared(name, tmp_path_factory.mktemp(name)) for name in _APART}
    return dict.fromkeys(TOGETHER, example) | apart


@pytest.fixture(scope="session")
def walks(walked: Runner, examples: dict[str, Example]) -> dict[str, Runner]:
    """The walk that has a stage, by the stage's name."""
    return dict.fromkeys(TOGETHER, walked) | {name: walk(*examples[name]) for name in _APART}


@pytest.mark.parametrize("name", NAMES)
def test_a_room_has_its_two_doors(name: str) -> None:
    stage = stage_named(name)
    room = stage.run.partition(":")[0].rpartition(".")[0]
    assert stage.config.__module__ == f"{room}.config"
    assert importlib.util.find_spec(f"{room}.stage") is not None
    assert load_attribute(stage.example).prepare


@pytest.mark.parametrize("name", NAMES)
def test_config_is_frozen_described_and_fingerprinted(name: str, examples: dict[str, Example]) -> None:
    stage, (_, recipe) = stage_named(name), examples[name]
    config = view(stage.config, recipe)
    contents = dict.fromkeys(resources(config), "0" * 64)
    assert json.dumps(plain(config, contents)) == json.dumps(plain(config, contents))
    again = stage.config.model_validate_json(config.model_dump_json())
    assert again == config
    with pytest.raises(ValidationError):
        config.task = "other"  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        stage.config.model_validate({**config.model_dump(), "no_such_section": 1})


@pytest.mark.parametrize("name", NAMES)
def test_the_artifact_is_whole_and_its_record_tells_where_it_comes_from(name: str, walks: dict[str, Runner]) -> None:
    stage, walked = stage_named(name), walks[name]
    artifact = walked.artifacts[name]
    assert set(artifact.record.inputs) == {*stage.reads, *walked.artifacts.keys() & set(stage.may_read)}
    for read, (print_, content) in artifact.record.inputs.items():
        assert [print_, content] == [walked.artifacts[read].fingerprint, walked.artifacts[read].content]
    assert artifact.record.files
    assert artifact.record.seconds > 0
    on_disk = {path.relative_to(artifact.folder).as_posix() for path in artifact.folder.rglob("*") if path.is_file()}
    assert on_disk == {entry.path for entry in artifact.record.files} | {RECORD}
    for path in on_disk:
        assert not path.endswith((".pkl", ".pickle", ".pt", ".bin")), f"{path}: no pickle is ever written"


def test_no_stage_writes_outside_its_artifact(example: Example, walked: Runner) -> None:
    folder, _ = example
    root = walked.workspace.root
    assert {entry.name for entry in root.iterdir()} <= {"artifacts", "work", "cache", "lock", ".gitignore"}
    assert list((root / "work").iterdir()) == []
    assert {entry.name for entry in folder.iterdir()} == {"rows.jsonl", "space"}
    assert [len(list((root / "artifacts" / name).iterdir())) for name in TOGETHER] == [1] * len(TOGETHER)


def test_a_second_walk_elsewhere_gives_the_same_content(example: Example, walked: Runner, tmp_path: Path) -> None:
    """Speed and predictions are about a moment; everything else is a function of its inputs, byte for byte.

    Not of the process either: the first walk had one for each stage, this one has one for all.
    """
    folder, recipe = example
    (tmp_path / "rows.jsonl").write_bytes((folder / "rows.jsonl").read_bytes())
    again = walk(tmp_path, recipe, in_process=True)
    for name in TOGETHER:
        if name not in {"plan", "speed", "release"}:
            assert again.artifacts[name].content == walked.artifacts[name].content, name
            assert again.artifacts[name].fingerprint == walked.artifacts[name].fingerprint, name


def test_a_third_walk_reuses_everything_and_starts_no_process(
    example: Example, walked: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recipe = example

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a reused run starts no process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    again = walk(folder, recipe)
    assert all(outcome.reused for outcome in again.outcomes)


#: Folds train, export and evaluate twice a walk; that they go on is in the slow tests.
STOPPED = [pytest.param(name, marks=pytest.mark.slow if name == "folds" else ()) for name in NAMES]


@pytest.mark.parametrize("name", STOPPED)
def test_a_stage_that_is_stopped_anywhere_is_finished_by_the_next_run(
    name: str, examples: dict[str, Example], walks: dict[str, Runner], tmp_path: Path
) -> None:
    """Stop the stage at its first sign of work, then run again: the result is that of an undisturbed run."""
    (folder, recipe), walked = examples[name], walks[name]
    for file in folder.glob("*.jsonl"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "space" / "artifacts").mkdir(parents=True)
    names = list(walked.artifacts)
    for before in names[: names.index(name)]:
        (tmp_path / "space" / "artifacts" / before).symlink_to(walked.workspace.root / "artifacts" / before)

    def interrupt(event: dict[str, Any]) -> None:
        if event["stage"] == name and event["type"] in {"progress", "say"}:
            raise Interrupted("at its first sign of work")

    with pytest.raises(Interrupted, match="first sign of work"):
        walk(tmp_path, recipe, observer=interrupt)
    assert not (tmp_path / "space" / "artifacts" / name).exists()
    again = walk(tmp_path, recipe, until=name)
    if name not in {"plan", "speed", "release"}:
        assert again.artifacts[name].content == walked.artifacts[name].content


def test_the_corridor_imports_nothing_heavy() -> None:
    script = (
        "import sys, danlu.recipe, danlu.stages, danlu.api\n"
        "heavy = {'torch', 'numpy', 'daft', 'transformers', 'sklearn', 'rich', 'click', 'matplotlib', 'fastapi'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_texts_of_time_are_not_in_content(walked: Runner) -> None:
    """No file that counts as content holds today's date or this machine's folder."""
    today = time.strftime("%Y-%m-%d").encode()
    here = str(walked.workspace.root).encode()
    for name in TOGETHER:
        for entry in walked.artifacts[name].record.files:
            if not entry.path.startswith("logs/"):
                data = (walked.artifacts[name].folder / entry.path).read_bytes()
                assert here not in data, f"{name}/{entry.path} holds a path"
                if name not in {"plan", "speed"}:
                    assert today not in data, f"{name}/{entry.path} holds today's date"
