"""A search, walked with the real trainings: it goes on after Ctrl-C, and training finds its work done."""

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

TUNE = {
    "trials": 3,
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "epochs": {"low": 1.0, "high": 2.0}},
    "prune": False,
}


def walked(folder: Path, stop_after: int | None = None, **tune: Any) -> tuple[Runner, list[dict[str, Any]]]:
    """The road up to train; Ctrl-C after so many trials, when the next one has begun to train."""
    sections = tiny_recipe(folder) | {"tune": TUNE | tune}
    sections["train"] |= {"epochs": 2.0}
    recipe = Recipe.model_validate(sections)
    events: list[dict[str, Any]] = []
    stop = threading.Event()

    def observe(event: dict[str, Any]) -> None:
        events.append(event)
        ended = sum(event["type"] == "say" and event["text"].startswith("Trial ") for event in events)
        if ended == stop_after and event["type"] == "progress" and event["what"].startswith("trial "):
            stop.set()

    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(folder / "space").open(),
        base=folder,
        caps=Caps(threads=1),
        observer=observe,
        interrupted=stop,
    )
    if stop_after is not None:
        with pytest.raises(Interrupted):
            runner.walk(recipe, until="train")
    else:
        runner.walk(recipe, until="train")
    return runner, events


@pytest.mark.slow
def test_a_stopped_search_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole, _ = walked(tmp_path / "whole")
    walked(tmp_path / "halves", stop_after=1)
    halves, _ = walked(tmp_path / "halves")
    for runner in (whole, halves):
        assert [outcome.stage for outcome in runner.outcomes if outcome.reused][-1] == "train"
        assert len(list((runner.workspace.root / "artifacts" / "train").iterdir())) == 1, "only the best is kept"
    assert halves.artifacts["tune"].json("study.json") == whole.artifacts["tune"].json("study.json")
    assert halves.artifacts["train"].content == whole.artifacts["train"].content


def test_the_best_trial_is_the_training_that_follows(tmp_path: Path) -> None:
    runner, events = walked(tmp_path)
    study = runner.artifacts["tune"].json("study.json")
    assert [trial["state"] for trial in study["trials"]] == ["finished"] * 3
    assert study["trials"][0]["settings"] == {"learning_rate": 0.003, "epochs": 2.0}, "the recipe's own come first"
    assert study["best"]["value"] == max(trial["value"] for trial in study["trials"])
    assert runner.artifacts["tune"].json("resolved.json") == {
        f"train.{name}": value for name, value in study["best"]["settings"].items()
    }
    assert runner.outcomes[-1].stage == "train"
    assert runner.outcomes[-1].reused
    assert runner.artifacts["train"].json("training.json")["best"]["value"] == study["best"]["value"]
    bars = [event for event in events if event["type"] == "progress" and event["stage"] == "tune"]
    assert {event["what"] for event in bars} == {"trials", "trial 1", "trial 2", "trial 3"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_hours_that_are_over_end_the_search_with_the_best_so_far(tmp_path: Path, workers: int) -> None:
    """What has begun is ended and counts; nothing further begins; at least one trial is made."""
    runner, _ = walked(tmp_path, hours=1e-9, trials=5, workers=workers)
    study = runner.artifacts["tune"].json("study.json")
    assert [trial["state"] for trial in study["trials"]] == ["finished"] * workers
    assert study["best"] == max(study["trials"], key=lambda trial: trial["value"])
    resolved = runner.artifacts["tune"].json("resolved.json")
    assert resolved == {f"train.{name}": value for name, value in study["best"]["settings"].items()}
    assert runner.outcomes[-1].stage == "train", "the road goes on with it"


@pytest.mark.slow
def test_trials_at_once_with_equal_settings_share_one_training(tmp_path: Path) -> None:
    space = {"learning_rate": {"choices": [1e-3, 3e-3]}}
    runner, _ = walked(tmp_path, workers=3, trials=4, space=space)
    study = runner.artifacts["tune"].json("study.json")
    assert [trial["state"] for trial in study["trials"]] == ["finished"] * 4
    scores: dict[float, set[float]] = {}
    for trial in study["trials"]:
        scores.setdefault(trial["settings"]["learning_rate"], set()).add(trial["value"])
    assert all(len(found) == 1 for found in scores.values()), "equal settings are one training"
    assert runner.artifacts["train"].json("training.json")["best"] is not None
