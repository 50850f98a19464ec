"""Predictions are told beside what came, the next plan learns from them, and the first steps hold a plan to account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from danlu.core.artifact import Record, content_hash, list_files, write_json
from danlu.core.store import Workspace
from danlu.plan.history import FEWEST, Tried, history, learn, summary
from danlu.plan.interval import Interval
from danlu.plan.learned import corrected, formulas, kinds_of, since
from danlu.plan.pilot import Pilot
from danlu.plan.predict import StageCost

SPREAD = (0.7, 1.7)
MACHINE = {"cpu": "test", "threads": 1}
INTERVAL = {"value": 100.0, "low": 70.0, "high": 170.0}


def publish(workspace: Workspace, stage: str, seconds: float, number: int, files: dict[str, Any]) -> str:
    """A whole artifact that took `seconds`; its fingerprint."""
    out = workspace.root / "work" / f"{stage}-{number}"
    for name, value in files.items():
        write_json(out / name, value)
    listed = list_files(out)
    fingerprint = f"{number:02}{content_hash(listed)[2:]}"
    workspace.publish(
        out,
        Record(
            stage=stage,
            version=1,
            fingerprint=fingerprint,
            content=content_hash(listed),
            inputs={},
            resources={},
            config={},
            environment={},
            libraries={},
            files=listed,
            started="2026-11-26T00:00:00+00:00",
            finished="2026-11-26T00:01:00+00:00",
            seconds=seconds,
            attempts=1,
            peak_memory_bytes=2_000_000_000,
            kwh=None,
            danlu="test",
        ),
    )
    return fingerprint


def run_of(
    workspace: Workspace,
    number: int,
    *,
    predicted: float,
    actual: float,
    stopped: bool = False,
    more: dict[str, Any] | None = None,
) -> None:
    """A run whose training was foreseen to take `predicted` seconds and took `actual`; `more`: of its plan."""
    interval = {"value": predicted, "low": 0.7 * predicted, "high": 1.7 * predicted}
    memory = {"value": 1.6e9, "low": 1.5e9, "high": 1.9e9}
    plan = {
        "machine": MACHINE,
        "stages": {"train": {"seconds": interval, "memory_bytes": memory}},
    } | (more or {})
    prints = {
        "plan": publish(workspace, "plan", 3.0, number, {"plan.json": plan}),
        "train": publish(workspace, "train", actual, number, {"training.json": {"stopped_early": stopped}}),
    }
    rows = [{"stage": stage, "fingerprint": print_, "reused": False} for stage, print_ in prints.items()]
    for again in (False, True):  # a second run that reuses everything tells nothing new
        rows = [row | {"reused": again} for row in rows]
        told = {"name": "shop", "started": f"2026-11-26T0{number}:0{int(again)}:00", "stages": rows}
        write_json(workspace.root / "runs" / "shop" / f"2026112{number}{int(again)}.json", told)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / ".danlu").open()


def test_each_prediction_is_told_once_beside_what_came(workspace: Workspace) -> None:
    run_of(workspace, 1, predicted=100.0, actual=150.0)
    run_of(workspace, 2, predicted=100.0, actual=50.0, stopped=True)
    seconds = [one for one in history(workspace) if one.quantity == "seconds"]
    assert [(one.ratio, one.inside, one.whole) for one in seconds] == [(1.5, True, True), (0.5, False, False)]
    memory = [one for one in history(workspace) if one.quantity == "memory_bytes"]
    assert [one.inside for one in memory] == [False, False]
    [row] = [row for row in summary(history(workspace)) if row["quantity"] == "seconds"]
    assert row["count"] == 1
    assert row["median_error"] == pytest.approx(1 / 3)


NEURAL = {"train": {"seconds": "classify: classify", "memory_bytes": "classify: classify, formula"}}


@pytest.mark.parametrize(
    ("kind", "by", "moved"),
    [
        ("classify: classify", formulas(), True),
        ("classify: logistic over words", formulas(), False),
        ("classify: classify", "other formulas", False),
        ("", "", False),
    ],
)
def test_only_predictions_of_the_same_kind_and_formulas_are_learned_from(
    workspace: Workspace, kind: str, by: str, moved: bool
) -> None:
    """Three cheap runs of another model, or of formulas that were mended since, say nothing about this one."""
    more = {"kinds": {"train": {"seconds": kind, "memory_bytes": kind}}, "formulas": by}
    for number in range(1, 1 + FEWEST):
        run_of(workspace, number, predicted=3.0, actual=1.0, more=more)
    cost = StageCost(
        seconds=Interval(value=100.0, low=70.0, high=170.0), memory=Interval(value=2e9, low=1.7e9, high=2.5e9)
    )
    costs, known = corrected({"train": cost}, NEURAL, workspace=workspace.root, machine=MACHINE)
    assert costs["train"].seconds.value == pytest.approx(100.0 / 3.0 if moved else 100.0)
    assert costs["train"].memory == cost.memory  # those were of "classify: classify", not by formula
    assert ("train" in known["learned"]) == moved


def test_an_older_plan_is_told_beside_what_the_record_says_since(workspace: Workspace) -> None:
    plan = {
        "machine": MACHINE,
        "stages": {"train": {"seconds": INTERVAL, "memory_bytes": INTERVAL}},
        "learned": {},
        "kinds": NEURAL,
        "formulas": formulas(),
    }
    assert since(plan, history(workspace)) == []
    for number in range(1, 1 + FEWEST):
        run_of(workspace, number, predicted=100.0, actual=150.0, more={"kinds": NEURAL, "formulas": formulas()})
    [time, memory] = since(plan, history(workspace))
    assert "time of train is 1.50 times" in time
    assert "memory of train is 1.25 times" in memory
    knows = plan | {"learned": {"train": {"seconds": {"factor": 1.5}, "memory_bytes": {"factor": 1.25}}}}
    assert since(knows, history(workspace)) == []
    assert since({"machine": MACHINE, "stages": {}}, history(workspace)) == []  # a plan of an older Danlu


def test_kinds_are_those_of_what_is_trained() -> None:
    stages = ("clean", "data", "train", "evaluate")
    neural = kinds_of(stages, task="classify", model="classify", trained="traced")
    classic = kinds_of(stages, task="classify", model="logistic over words")
    assert neural["clean"] == classic["clean"]
    assert neural["data"] == classic["data"] != kinds_of(stages, task="tag", model="tag")["data"]
    assert neural["evaluate"] != classic["evaluate"]
    assert neural["train"]["memory_bytes"] != neural["train"]["seconds"] != classic["train"]["seconds"]


def test_a_broken_run_or_a_plan_that_is_gone_is_passed_over(workspace: Workspace) -> None:
    run_of(workspace, 1, predicted=100.0, actual=150.0)
    (workspace.root / "runs" / "shop" / "20270101.json").write_text("{", encoding="utf-8")
    write_json(
        workspace.root / "runs" / "shop" / "20270102.json",
        {"name": "shop", "started": "", "stages": [{"stage": "train", "fingerprint": "no", "reused": False}]},
    )
    assert len(history(workspace)) == 2


def tried(*ratios: float, factor: float = 1.0) -> list[Tried]:
    return [
        Tried(
            name="shop",
            when="",
            stage="train",
            quantity="seconds",
            value=10.0,
            low=7.0,
            high=17.0,
            actual=10.0 * ratio,
            factor=factor,
            machine="test",
            whole=True,
        )
        for ratio in ratios
    ]


def test_a_few_predictions_teach_nothing_and_one_odd_run_moves_little() -> None:
    assert learn(tried(*[2.0] * (FEWEST - 1)), spread=SPREAD) is None
    found = learn(tried(1.4, 1.5, 1.6, 30.0), spread=SPREAD)
    assert found is not None
    assert found.factor == pytest.approx(1.55)
    assert found.low < 1.4 / 1.55 < 1.0
    assert found.high > 1.7


def test_a_long_record_narrows_the_interval_and_a_factor_is_not_learned_twice() -> None:
    short, long = (learn(tried(*[1.2, 1.3, 1.25] * times), spread=SPREAD) for times in (1, 6))
    assert short is not None
    assert long is not None
    assert long.high < short.high < SPREAD[1]
    again = learn(tried(1.0, 1.02, 0.98, factor=1.25), spread=SPREAD)
    assert again is not None
    assert again.factor == pytest.approx(1.25)


def steps(seconds_a_step: float, plan: dict[str, Any] | None) -> list[str]:
    """What is warned of while 100 steps of 8 samples go by."""
    warned: list[str] = []
    now = [0.0]

    def observe(event: dict[str, Any]) -> None:
        if event["type"] == "warn":
            warned.append(event["text"])

    pilot = Pilot(observer=observe, plan=lambda: plan, clock=lambda: now[0])
    for step in range(101):
        pilot({"type": "progress", "what": "train", "stage": "train", "done": 8.0 * step, "total": 800.0})
        now[0] += seconds_a_step
    return warned


def test_the_first_steps_warn_once_where_they_leave_the_interval() -> None:
    plan = {"steps": 100, "stages": {"train": {"seconds": {"value": 100.0, "low": 70.0, "high": 170.0}}}}
    assert steps(1.2, plan) == []
    [slow] = steps(5.0, plan)
    assert "first 5 steps" in slow
    assert "8 minutes" in slow
    assert "budget.hours: the run then stops in time and goes on from there" in slow
    assert "max_samples or train.epochs training is shorter, but begins anew" in slow
    [quick] = steps(0.3, plan)
    assert "too high" in quick
    assert steps(5.0, None) == []


def test_the_command_lists_them(workspace: Workspace) -> None:
    from danlu.cli.main import cli

    run_of(workspace, 1, predicted=100.0, actual=150.0)
    done = CliRunner().invoke(cli, ["plan", "history", "--workspace", str(workspace.root), "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.output)
    assert [row["quantity"] for row in content["predictions"]] == ["seconds", "memory_bytes"]
    drawn = CliRunner().invoke(cli, ["plan", "history", "--workspace", str(workspace.root)])
    assert "1.50" in drawn.output
