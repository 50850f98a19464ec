"""The registry: numbers, aliases, promote and rollback, two processes at once, and damaged files."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from danlu.core.artifact import RECORD, Artifact, write_json
from danlu.core.errors import Refused, UserError
from danlu.core.store import Workspace
from danlu.release.registry import Registry, names, verify
from tests.support import as_artifact


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "danlu").open()


def release(workspace: Workspace, number: int, verdict: str = "ship", name: str = "toy") -> Artifact:
    folder = workspace.root / "artifacts" / "release" / f"{name}-{number}"
    gates = [{"expression": "rows >= 1", "passed": verdict == "ship", "observed": number, "reason": "because"}]
    write_json(folder / "release.json", {"name": name, "verdict": verdict, "gates": gates, "number": number})
    write_json(folder / "form" / "form.json", {"form": "torch", "number": number})
    artifact = as_artifact(folder, "release")
    (folder / RECORD).write_text(artifact.record.model_dump_json(), encoding="utf-8")
    return artifact


def test_versions_count_up_and_the_same_release_keeps_its_number(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    assert registry.versions() == []
    assert registry.champion() is None
    first, second = registry.register(release(workspace, 1)), registry.register(release(workspace, 2))
    assert (first.number, second.number) == (1, 2)
    assert registry.register(release(workspace, 1)) == first
    assert registry.versions() == [first, second]
    assert registry.resolve("candidate") == first
    assert registry.resolve("2") == second
    assert first.folder == workspace.root / "artifacts" / "release" / "toy-1"
    assert names(workspace) == ["toy"]


def test_promote_and_rollback_keep_the_history(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    for number in (1, 2, 3):
        registry.register(release(workspace, number))
    assert registry.promote(1).number == 1
    assert registry.promote().number == 3
    assert registry.promote(3).number == 3
    assert registry.promote(2).number == 2
    assert registry.rollback().number == 3
    assert registry.rollback().number == 1
    assert registry.champion() == registry.resolve("champion") == registry.resolve("1")
    with pytest.raises(UserError, match=r"no earlier champion.*Versions: 1, 2, 3"):
        registry.rollback()
    moves = [(step["action"], step["from"], step["to"]) for step in registry.history()]
    assert moves == [
        ("promote", None, 1),
        ("promote", 1, 3),
        ("promote", 3, 2),
        ("rollback", 2, 3),
        ("rollback", 3, 1),
    ]


def test_a_refused_release_and_one_of_another_name_stay_out(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    with pytest.raises(Refused, match="because"):
        registry.register(release(workspace, 1, verdict="refused"))
    with pytest.raises(UserError, match="'other'"):
        registry.register(release(workspace, 1, name="other"))
    assert registry.versions() == []


def test_what_is_not_there_is_named(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    with pytest.raises(UserError, match="`danlu run` makes one"):
        registry.resolve("champion")
    version = registry.register(release(workspace, 1))
    with pytest.raises(UserError, match="has no champion"):
        registry.resolve("champion")
    for wanted in ("9", "newest", "-1", "1.5", "../1", "²"):
        with pytest.raises(UserError, match="champion, candidate or a number"):
            registry.resolve(wanted)
    for wrong in (9, "abc", "0"):
        with pytest.raises(UserError, match=f"has no version '{wrong}'; write champion, candidate or a number"):
            registry.promote(wrong)
    (version.folder / "form" / "form.json").unlink()
    with pytest.raises(UserError, match="are gone"):
        registry.promote(1)
    with pytest.raises(UserError, match="Models here: toy"):
        Registry(workspace, "tou").resolve("champion")
    for name in ("", "../toy", "a/b", "Toy", "x" * 65):
        with pytest.raises(UserError, match="no name of a model"):
            Registry(workspace, name)


def test_files_that_are_not_those_that_were_tested_are_named(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    for number in (1, 2):
        registry.register(release(workspace, number))
        registry.promote(number)
    first = registry.resolve("1")
    verify(first)
    form = first.folder / "form" / "form.json"
    whole = form.read_text(encoding="utf-8")
    form.write_text(whole.replace("torch", "hctor"), encoding="utf-8")
    for call in (lambda: verify(first), lambda: registry.promote(1), registry.rollback):
        with pytest.raises(UserError, match=r"form/form\.json is not the file that was tested.*run the recipe again"):
            call()
    champion = registry.champion()
    assert champion is not None
    assert champion.number == 2
    form.write_text(whole, encoding="utf-8")
    added = first.folder / "form" / "chat_template.jinja"
    added.write_text("{{ messages }}", encoding="utf-8")
    with pytest.raises(UserError, match=r"chat_template\.jinja was not there when it was tested"):
        verify(first)
    added.unlink()
    (first.folder / "README.md").write_text("a note of ours", encoding="utf-8")
    verify(first)
    form.unlink()
    with pytest.raises(UserError, match=r"form\.json is gone"):
        verify(first)


@pytest.mark.parametrize("damage", [None, "", "{", "[]", '{"files": [], "fingerprint": "other", "inputs": {}}'])
def test_a_release_without_its_record_cannot_be_checked(workspace: Workspace, damage: str | None) -> None:
    version = Registry(workspace, "toy").register(release(workspace, 1))
    record = version.folder / RECORD
    record.unlink() if damage is None else record.write_text(damage, encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json is (missing or damaged|the record of another release)"):
        verify(version)


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "3", '{"version": "1", "previous": [], "log": []}', "\x00"])
def test_a_damaged_pointer_is_named(workspace: Workspace, damage: str) -> None:
    registry = Registry(workspace, "toy")
    registry.register(release(workspace, 1))
    registry.promote(1)
    pointer = workspace.root / "registry" / "toy" / "aliases" / "champion.json"
    pointer.write_text(damage, encoding="utf-8")
    for call in (
        registry.champion,
        registry.rollback,
        lambda: registry.promote(1),
        lambda: registry.resolve("champion"),
    ):
        with pytest.raises(UserError, match=r"champion\.json is damaged"):
            call()
    pointer.unlink()
    assert registry.promote(1).number == 1


def test_a_damaged_or_missing_version_is_named(workspace: Workspace) -> None:
    registry = Registry(workspace, "toy")
    registry.register(release(workspace, 1))
    registry.promote(1)
    path = workspace.root / "registry" / "toy" / "versions" / "1.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"1\.json is damaged"):
        registry.versions()
    path.unlink()
    with pytest.raises(UserError, match=r"1\.json is missing"):
        registry.champion()


def _work(root: Path, numbers: list[int], barrier: Any) -> None:
    workspace = Workspace(root)
    registry = Registry(workspace, "toy")
    barrier.wait()
    for number in numbers:
        folder = root / "artifacts" / "release" / f"toy-{number}"
        registry.promote(registry.register(as_artifact(folder, "release")).number)


def test_processes_at_once_lose_no_move(workspace: Workspace) -> None:
    for number in range(24):
        release(workspace, number)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    # Every release is registered by two processes.
    jobs = [list(range(12)), list(range(12, 24)), list(range(0, 24, 2)), list(range(1, 24, 2))]
    works = [context.Process(target=_work, args=(workspace.root, job, barrier)) for job in jobs]
    for work in works:
        work.start()
    registry = Registry(workspace, "toy")
    while any(work.is_alive() for work in works):
        registry.champion()  # a reader without the lock never sees half a file
    assert [work.exitcode for work in works] == [0, 0, 0, 0]
    versions = registry.versions()
    assert [version.number for version in versions] == list(range(1, 25))
    assert len({version.fingerprint for version in versions}) == 24
    history = registry.history()
    assert all(before["to"] == after["from"] for before, after in itertools.pairwise(history))
    champion = registry.champion()
    assert champion is not None
    assert history[-1]["to"] == champion.number
