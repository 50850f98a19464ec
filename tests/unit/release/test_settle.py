"""What goes live by itself after a run: never what was compared with a version that is not live any more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from danlu.api import _settle
from danlu.core.artifact import Artifact, write_json
from danlu.core.store import Workspace
from danlu.release.registry import Registry
from tests.support import as_artifact
from tests.unit.release.test_registry import release


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "danlu").open()


class Run:
    """A run that ended with a release, and what it says; `compared`: the number that champion.json names."""

    def __init__(self, folder: Path, made: Artifact, compared: int | None) -> None:
        write_json(folder / "champion.json", {"version": None if compared is None else {"number": compared}})
        self.artifacts = {"release": made, "champion": as_artifact(folder, "champion")}
        self.events: list[dict[str, Any]] = []
        self.observer = self.events.append


def settled(workspace: Workspace, run: Run, promote: str = "always") -> int | None:
    recipe = SimpleNamespace(name="toy", release=SimpleNamespace(promote=promote))
    return _settle(run, workspace, recipe)[1]  # type: ignore[arg-type]


def live(workspace: Workspace) -> int | None:
    found = Registry(workspace, "toy").champion()
    return None if found is None else found.number


def test_what_was_compared_with_the_champion_goes_live(workspace: Workspace, tmp_path: Path) -> None:
    assert settled(workspace, Run(tmp_path / "1", release(workspace, 1), None)) == 1
    assert live(workspace) == 1, "nothing was live"
    run = Run(tmp_path / "2", release(workspace, 2), 1)
    assert settled(workspace, run) == 2
    assert live(workspace) == 2
    assert not run.events


@pytest.mark.parametrize("compared", [1, None])
def test_what_was_overtaken_does_not(workspace: Workspace, tmp_path: Path, compared: int | None) -> None:
    """Between the comparison and its end somebody has put version 2 live."""
    registry = Registry(workspace, "toy")
    for number in (1, 2):
        registry.register(release(workspace, number))
        registry.promote(number)
    run = Run(tmp_path / "3", release(workspace, 3), compared)
    assert settled(workspace, run) == 3
    assert live(workspace) == 2
    (event,) = run.events
    with_what = "version 1" if compared else "no other version"
    assert f"it was compared with {with_what}, and meanwhile version 2 has gone live. Run again" in event["text"]


def test_a_release_of_the_same_model_takes_nothing_away(workspace: Workspace, tmp_path: Path) -> None:
    """What is live is this model, released by an earlier recipe; so it was compared with the version before."""
    registry = Registry(workspace, "toy")
    for number in (1, 2):
        registry.register(release(workspace, number))
        registry.promote(number)
    same = release(workspace, 3)
    (same.folder / "form" / "form.json").write_bytes((registry.resolve("2").folder / "form" / "form.json").read_bytes())
    again = as_artifact(same.folder, "release")
    (same.folder / "record.json").write_text(again.record.model_dump_json(), encoding="utf-8")
    assert settled(workspace, Run(tmp_path / "3", again, 1)) == 3
    assert live(workspace) == 3
