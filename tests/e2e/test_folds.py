"""Cross-validation, walked with the real stages: it goes on after Ctrl-C, and leaves nothing but the scores."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import Interrupted
from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.stages import stages_of


def walked(folder: Path, *, stop_in_fold: int | None = None, release: str = "single") -> Runner:
    """The data and the folds alone; Ctrl-C when the fold with this number has begun to train.

    Folds that are released together, up to their evidence.
    """
    sections = tiny_recipe(folder, rows=300)
    sections["data"]["split"] = {"folds": 3}
    sections["train"] |= {"checkpoint_minutes": 0.002}
    recipe = Recipe.model_validate(sections | {"folds": {"runs": 2, "release": release}})
    stop = threading.Event()

    def observe(event: dict[str, Any]) -> None:
        if event["type"] == "progress" and event["what"] == f"fold {stop_in_fold}: train" and event["done"] > 0:
            stop.set()

    wanted = ("clean", "duplicates", "data", "folds")
    every = stages_of(recipe)
    runner = Runner(
        stages=tuple(stage for stage in every if stage.name in {*wanted, "train", "compress", "evaluate"}),
        workspace=Workspace(folder / "space").open(),
        base=folder,
        caps=Caps(threads=1),
        observer=observe,
        interrupted=stop,
    )
    # The folds read the data alone, so they may come before the training of the whole.
    runner.stages = tuple(sorted(runner.stages, key=lambda stage: stage.name not in wanted))
    until = "folds" if release == "single" else "evaluate"
    if stop_in_fold is None:
        runner.walk(recipe, until=until)
    else:
        with pytest.raises(Interrupted):
            runner.walk(recipe, until=until)
    return runner


def left_over(runner: Runner) -> dict[str, int]:
    return {
        folder.name: len(list(folder.iterdir()))
        for folder in (runner.workspace.root / "artifacts").iterdir()
        if list(folder.iterdir())
    }


@pytest.mark.slow
def test_stopped_folds_end_like_ones_that_were_not(tmp_path: Path) -> None:
    whole = walked(tmp_path / "whole")
    walked(tmp_path / "halves", stop_in_fold=2)
    halves = walked(tmp_path / "halves")
    scores = whole.artifacts["folds"].json("folds.json")
    assert halves.artifacts["folds"].json("folds.json") == scores
    assert [fold["fold"] for fold in scores["folds"]] == [0, 1]
    assert all(fold["leaked_rows"] == 0 for fold in scores["folds"])
    for runner in (whole, halves):
        assert left_over(runner) == {"clean": 1, "duplicates": 1, "data": 1, "folds": 1}, "only the scores are kept"
        assert not list((runner.workspace.root / "work").iterdir())


@pytest.mark.slow
def test_the_models_of_stopped_folds_are_released_together(tmp_path: Path) -> None:
    """Bit-equal to those that were not stopped, and tested on rows that no fold has seen."""
    whole = walked(tmp_path / "whole", release="ensemble")
    walked(tmp_path / "halves", stop_in_fold=2, release="ensemble")
    halves = walked(tmp_path / "halves", release="ensemble")
    for stage in ("folds", "train", "compress"):
        assert halves.artifacts[stage].content == whole.artifacts[stage].content, stage
    assert whole.artifacts["train"].json("danlu.json")["members"] == 2
    assert whole.artifacts["train"].json("training.json")["rows"]["bitmap"] is None
    evidence = whole.artifacts["evaluate"].json("evidence.json")
    assert evidence["leaked_rows"] == 0
    assert evidence["scores"]["macro_f1"]["value"] > 0.8
    parity = whole.artifacts["compress"].json("export.json")["forms"]["torch"]["parity"]
    assert parity["max_difference"] == 0
    for runner in (whole, halves):
        assert left_over(runner)["train"] == 1, "the checkpoints of the folds themselves are gone"
