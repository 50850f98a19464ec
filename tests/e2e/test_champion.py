"""Version after version of one model: what goes live is compared with what is live, and the verdict stays."""

from __future__ import annotations

import copy
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from danlu import api
from danlu.core.runner import Runner
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe
from danlu.release.registry import Registry

GATES = ["leaked_rows == 0", "parity <= 0.01"]


class Project:
    """A folder with a recipe of a model that takes a second to train."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sections = tiny_recipe(folder, rows=700)
        self.sections |= {"model": {"classic": {"kind": "logistic"}}, "train": {}}
        self.sections["data"]["split"] = {"test": 0.3}
        self.sections["evaluate"] = {"resamples": 200, "baseline": False}
        self.name = str(self.sections["name"])
        del self.sections["compress"]

    def run(self, features: int | None, *gates: str, seed: int | None = None) -> tuple[api.RunResult, dict[str, Any]]:
        """The result and `champion.json` of a run whose model sees only so many n-grams."""
        sections = copy.deepcopy(self.sections)
        sections["model"]["classic"]["features"] = {"kind": "words", "most": features}
        sections["release"]["gates"] = [*GATES, *gates]
        if seed is not None:
            sections["data"]["seed"] = seed
        (self.folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
        # Processes are not what is tested here, and seven walks would start fifty.
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(api, "Runner", functools.partial(Runner, in_process=True))
            result = api.run(self.folder / "recipe.yaml", workspace=self.folder / ".danlu")
        folder = next(stage.folder for stage in result.stages if stage.stage == "champion")
        return result, json.loads((folder / "champion.json").read_text(encoding="utf-8"))

    def gate(self, result: api.RunResult, expression: str) -> dict[str, Any]:
        folder = next(stage.folder for stage in result.stages if stage.stage == "release")
        gates = json.loads((folder / "release.json").read_text(encoding="utf-8"))["gates"]
        return next(gate for gate in gates if gate["expression"] == expression)

    def champion(self) -> int | None:
        found = Registry(Workspace(self.folder / ".danlu"), self.name).champion()
        return None if found is None else found.number


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1, which sees too few n-grams to be good, is live."""
    made = Project(tmp_path_factory.mktemp("champion"))
    result, found = made.run(12, "beats(champion)")
    assert (result.verdict, result.version, made.champion()) == ("ship", 1, 1)
    assert found["version"] is None
    assert "no champion yet" in made.gate(result, "beats(champion)")["reason"]
    return made


def copied(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    other = copy.copy(project)
    other.folder = folder
    return other


def test_a_second_run_meets_itself_and_keeps_its_verdict(project: Project) -> None:
    result, found = project.run(12, "beats(champion)")
    assert (result.verdict, result.version) == ("ship", 1)
    assert found["version"] is None
    assert {stage.stage for stage in result.stages if not stage.reused} <= {"champion"}
    assert all(stage.reused for stage in project.run(12, "beats(champion)")[0].stages)


def test_what_is_better_ships_and_is_compared_with_what_it_replaced(project: Project, tmp_path: Path) -> None:
    here = copied(project, tmp_path)
    result, found = here.run(None, "beats(champion)")
    assert (result.verdict, result.version, found["version"]["number"]) == ("ship", 2, 1)
    assert found["scores"]["model"]["accuracy"]["value"] > found["scores"]["champion"]["accuracy"]["value"]
    assert found["seen_rows"] == 0
    assert "better than the champion (version 1)" in here.gate(result, "beats(champion)")["reason"]
    Registry(Workspace(here.folder / ".danlu"), here.name).promote(2)
    again, found = here.run(None, "beats(champion)")
    assert (again.verdict, again.version, found["version"]["number"]) == ("ship", 2, 1)
    assert next(stage for stage in again.stages if stage.stage == "release").reused
    # What was live before is now held against version 2, and is refused.
    worse, found = here.run(12, "beats(champion)")
    assert (worse.verdict, found["version"]["number"]) == ("refused", 2)
    assert "is better by" in here.gate(worse, "beats(champion)")["reason"]


def test_rows_that_the_champion_has_learned_from_are_left_out_and_said(project: Project, tmp_path: Path) -> None:
    here = copied(project, tmp_path)
    result, found = here.run(None, "not_worse(champion, 0.05)", seed=7)
    assert found["missing"] is None
    tested = next(stage.folder for stage in result.stages if stage.stage == "evaluate") / "evidence.json"
    rows = json.loads(tested.read_text(encoding="utf-8"))["rows"]
    assert found["seen_rows"] > 0.5 * rows
    assert found["seen_rows"] + found["comparison"]["rows"] == rows


def test_a_champion_whose_data_is_gone_is_not_compared_and_the_gate_says_why(project: Project, tmp_path: Path) -> None:
    here = copied(project, tmp_path)
    (corpus,) = Workspace(here.folder / ".danlu").artifacts("data")
    shutil.rmtree(corpus.folder)
    result, found = here.run(None, "not_worse(champion)", seed=7)
    assert result.verdict == "refused"
    assert found["comparison"] is None
    gate = here.gate(result, "not_worse(champion)")
    assert "the corpus that version 1 was trained on is gone" in gate["reason"]
