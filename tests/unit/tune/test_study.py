"""The search: what it proposes, what it keeps over an interruption, what it says went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.tune.config import TuneConfig, TuneStage
from danlu.tune.study import Study
from danlu.tune.trial import Trial
from tests.support import make_context

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "batch_size": {"choices": [8, 16, 32]}}
OWN = {"learning_rate": 3e-4, "batch_size": 16}


def config(**values: Any) -> TuneConfig:
    return TuneConfig.model_validate({"space": SPACE, "trials": 6} | values)


def score_of(params: dict[str, Any]) -> float:
    """A made-up landscape with its top at 1e-3 and 32."""
    import math

    return 1.0 - abs(math.log10(params["learning_rate"]) + 3) / 4 + params["batch_size"] / 1000


def finish(study: Study, trial: Any) -> None:
    study.score(trial, score_of(trial.params), metric="macro_f1", fingerprint="f", seconds=1.0, made=False)


def searched(ctx: Context, count: int, **values: Any) -> Study:
    study = Study.open(ctx, config(**values), higher_is_better=True)
    study.propose_first(OWN)
    for _ in range(count):
        finish(study, study.ask())
    return study


def test_the_recipes_own_settings_come_first_where_the_space_has_them(tmp_path: Path) -> None:
    assert searched(make_context(tmp_path / "a"), 1).trials()[0].params == OWN
    other = Study.open(make_context(tmp_path / "b"), config(), higher_is_better=True)
    other.propose_first(OWN | {"batch_size": 24})
    assert other.ask().params["batch_size"] != 24


def test_the_best_is_the_earliest_of_equal_ones_in_either_direction(tmp_path: Path) -> None:
    for better, place in ((True, 1), (False, 0)):
        study = Study.open(make_context(tmp_path / str(better)), config(), higher_is_better=better)
        for value in (0.2, 0.9, 0.9, 0.2):
            study.score(study.ask(), value, metric="m", fingerprint="f", seconds=0.0, made=False)
        best = study.best()
        assert best is not None
        assert study.trials().index(best) == place


def test_an_interrupted_search_proposes_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = searched(make_context(tmp_path / "whole"), 14, trials=14)
    ctx = make_context(tmp_path / "halves")
    first = searched(ctx, 11, trials=14)
    under_way = first.ask()
    again = Study.open(ctx, config(trials=14), higher_is_better=True)
    assert again.done() == 11, "the trial that was under way is not counted"
    trial = again.ask()
    assert trial.params == under_way.params, "it comes again, so that its training goes on"
    finish(again, trial)
    for _ in range(2):
        finish(again, again.ask())
    assert [trial.params for trial in again.trials()] == [trial.params for trial in whole.trials()]
    assert again.as_json() == whole.as_json()
    importance = again.as_json()["importance"]
    assert sum(importance.values()) == pytest.approx(1.0, abs=1e-5)
    assert importance["learning_rate"] > importance["batch_size"]


def test_a_trial_far_below_the_others_is_ended_early(tmp_path: Path) -> None:
    def course(study: Study, values: list[float]) -> int:
        trial = study.ask()
        for number, value in enumerate(values, 1):
            if study.is_poor(trial, number, value):
                study.prune(trial, 1.0)
                return number
        study.score(trial, values[-1], metric="m", fingerprint="f", seconds=1.0, made=False)
        return len(values)

    for prune, ends_at in ((True, 2), (False, 4)):
        study = Study.open(make_context(tmp_path / str(prune)), config(prune=prune), higher_is_better=True)
        for level in (0.5, 0.6, 0.7):
            assert course(study, [level] * 4) == 4
        assert course(study, [0.1] * 4) == ends_at
        assert study.done() == 4
        assert [row["state"] for row in study.as_json()["trials"]].count("pruned") == int(prune)


def test_failed_trials_count_and_say_why(tmp_path: Path) -> None:
    study = searched(make_context(tmp_path), 1)
    study.fail(study.ask(), "width is 20, which is not a multiple of heads")
    assert study.done() == 2
    assert study.last_failure() == "width is 20, which is not a multiple of heads"
    assert study.as_json()["trials"][1]["state"] == "failed"
    assert study.as_json()["importance"] is None, "two trials say nothing about that"


def test_trials_asked_for_at_once_are_different_ones(tmp_path: Path) -> None:
    study = Study.open(make_context(tmp_path), config(workers=4), higher_is_better=True)
    asked = [study.ask().params for _ in range(4)]
    assert len({tuple(sorted(params.items())) for params in asked}) == 4


def test_a_password_of_any_signs_reaches_the_database_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.engine import make_url

    from danlu.core.urls import filled

    monkeypatch.setenv("DANLU_PW", "Hunter2@Summer/24")
    url, secrets = filled("postgresql+psycopg://tuner:${DANLU_PW}@host/optuna", "tune.storage")
    assert make_url(url).password == "Hunter2@Summer/24"
    assert make_url(url).host == "host"
    assert "Hunter2@Summer/24" in secrets


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("sqlite:////no/such/folder/study.sqlite", "unable to open database file"),
        ("nonsense", "cannot be kept in nonsense"),
        ("sqlite:///${DANLU_NO_SUCH_VARIABLE}", "'DANLU_NO_SUCH_VARIABLE'"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told(tmp_path: Path, storage: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Study.open(make_context(tmp_path), config(storage=storage), higher_is_better=True)


def test_drawn_settings_that_training_refuses_together_fail_with_the_reason(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(tiny_recipe(tmp_path))
    widths = {"model.scratch.width": {"choices": [64, 96]}, "model.scratch.heads": {"choices": [2, 3]}}
    search = TuneConfig.model_validate({"space": widths, "trials": 2})
    stage = TuneStage(task=recipe.task, model=recipe.model, train=recipe.train, tune=search)
    ctx = make_context(tmp_path / "work")
    study = Study.open(ctx, search, higher_is_better=True)
    study.propose_first({"model.scratch.width": 64, "model.scratch.heads": 3})
    trial = Trial(ctx, stage, study, number=1, threads=1)
    trial.start()
    trial.result()
    assert trial.said.startswith("Trial 1: failed: width is 64, which is not a multiple of heads, which is 3")
    assert study.last_failure() == "width is 64, which is not a multiple of heads, which is 3"
