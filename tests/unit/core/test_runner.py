from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import BudgetReached, Busy, DataError, Interrupted, StageCrashed, StorageError, UserError
from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from tests import toy


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("one two Two three", encoding="utf-8")
    return path


def runner(tmp_path: Path, **options: Any) -> Runner:
    return Runner(stages=toy.STAGES, workspace=Workspace(tmp_path / "space").open(), base=tmp_path, **options)


def recipe(file: str = "words.txt", lower: bool = False, **slow: Any) -> toy.ToyRecipe:
    return toy.ToyRecipe(count=toy.CountConfig(file=file, lower=lower), slow=toy.SlowConfig(**slow))


def reused(walked: Runner) -> dict[str, bool]:
    return {outcome.stage: outcome.reused for outcome in walked.outcomes}


def test_walks_in_order_and_reuses_what_is_there(tmp_path: Path, words: Path) -> None:
    first = runner(tmp_path)
    first.walk(recipe())
    assert reused(first) == {"count": False, "slow": False}
    assert first.artifacts["slow"].json("total.json") == {"total": 4, "steps": 3}
    second = runner(tmp_path)
    second.walk(recipe())
    assert reused(second) == {"count": True, "slow": True}
    assert not list((tmp_path / "space" / "work").iterdir())


def test_the_fingerprint_is_about_content_not_about_the_path(tmp_path: Path, words: Path) -> None:
    runner(tmp_path).walk(recipe())
    (tmp_path / "moved.txt").write_bytes(words.read_bytes())
    again = runner(tmp_path)
    again.walk(recipe(file="moved.txt"))
    assert reused(again) == {"count": True, "slow": True}
    words.write_text("other words", encoding="utf-8")
    changed = runner(tmp_path)
    changed.walk(recipe())
    assert reused(changed) == {"count": False, "slow": False}


def test_what_a_stage_starts_is_a_part_of_its_fingerprint(tmp_path: Path, words: Path) -> None:
    """New code or libraries of a stage that another one starts: the other one's result is old too."""

    def walked(version: int, libraries: tuple[str, ...] = ()) -> dict[str, bool]:
        first, second = toy.STAGES
        stages = (replace(first, version=version, libraries=libraries), replace(second, starts=(first.name,)))
        one = Runner(stages=stages, workspace=Workspace(tmp_path / "space").open(), base=tmp_path)
        one.walk(recipe())
        return reused(one)

    assert walked(1) == {"count": False, "slow": False}
    assert walked(1) == {"count": True, "slow": True}
    assert walked(2) == {"count": False, "slow": False}
    assert walked(2, ("numpy",)) == {"count": False, "slow": False}


def test_a_file_that_changes_while_it_is_read_is_published_under_no_hash(tmp_path: Path, words: Path) -> None:
    def meddle(event: dict[str, Any]) -> None:
        if event["type"] == "stage" and event["stage"] == "count" and event["state"] == "started":
            words.write_text("other words of another length", encoding="utf-8")

    with pytest.raises(DataError, match=r"words\.txt\) changed while count read it"):
        runner(tmp_path, observer=meddle).walk(recipe())
    assert not (tmp_path / "space" / "artifacts" / "count").exists()
    assert not list((tmp_path / "space" / "work").iterdir())
    again = runner(tmp_path)
    again.walk(recipe())
    assert again.artifacts["slow"].json("total.json")["total"] == 5


def test_an_upstream_rerun_with_the_same_result_changes_nothing_below(tmp_path: Path, words: Path) -> None:
    words.write_text("one two three", encoding="utf-8")
    runner(tmp_path).walk(recipe())
    again = runner(tmp_path)
    again.walk(recipe(lower=True))
    assert reused(again) == {"count": False, "slow": True}


def test_until_stops_early_and_thread_count_matters_only_to_numeric_stages(tmp_path: Path, words: Path) -> None:
    early = runner(tmp_path)
    early.walk(recipe(), until="count")
    assert list(early.artifacts) == ["count"]
    runner(tmp_path).walk(recipe())
    more = runner(tmp_path, caps=Caps(threads=2))
    more.walk(recipe())
    assert reused(more) == {"count": True, "slow": False}


def test_the_user_s_mistakes_come_back_as_what_they_are(tmp_path: Path, words: Path) -> None:
    words.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="give one with words"):
        runner(tmp_path).walk(recipe())
    with pytest.raises(UserError, match="Did you mean 'words.txt'"):
        runner(tmp_path).walk(recipe(file="word.txt"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("dies", "killed, most likely by the system"),
        ("raises", "ZeroDivisionError: planted"),
        ("leaves", "exit code 7"),
    ],
)
def test_a_crash_is_told_and_the_next_run_goes_on(tmp_path: Path, words: Path, fault: str, message: str) -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(StageCrashed, match=message) as caught:
        runner(tmp_path, observer=events.append).walk(recipe(fault=fault))
    log = next((tmp_path / "space" / "work").glob("slow-*/log.txt"))
    assert str(log) in str(caught.value)
    if fault == "raises":
        assert "a library's chatter" in log.read_text() and "Traceback" in log.read_text()
    assert [e["state"] for e in events if e["type"] == "stage"] == ["started", "finished", "started", "failed"]
    again = runner(tmp_path)
    again.walk(recipe(fault=fault))
    assert again.artifacts["slow"].record.attempts == 2
    assert again.artifacts["slow"].json("total.json") == {"total": 4, "steps": 3}


def test_hours_cap_saves_and_the_next_run_continues(tmp_path: Path, words: Path) -> None:
    slow = recipe(steps=4, seconds=0.4)
    with pytest.raises(BudgetReached, match=r"budget\.hours was reached during slow"):
        runner(tmp_path).walk(slow, until="count")
        runner(tmp_path, caps=Caps(deadline=time.time() + 1.0)).walk(slow)
    state = next((tmp_path / "space" / "work").glob("slow-*/state"))
    before = len(list(state.glob("step-*")))
    assert 1 <= before < 4
    again = runner(tmp_path)
    again.walk(slow)
    assert again.artifacts["slow"].record.attempts == 2
    assert again.artifacts["slow"].record.seconds >= 4 * 0.4


def test_memory_cap_stops_the_stage(tmp_path: Path, words: Path) -> None:
    with pytest.raises(BudgetReached, match=r"budget\.memory_gib"):
        runner(tmp_path, caps=Caps(memory_bytes=250 * 1024 * 1024)).walk(recipe(fault="memory"))


def test_a_moment_over_the_memory_cap_asks_the_stage_to_save(tmp_path: Path, words: Path) -> None:
    """Memory that is back below the cap when the stage looks must not get it killed unasked a minute later."""
    with pytest.raises(BudgetReached, match=r"budget\.memory_gib was reached during slow"):
        runner(tmp_path, caps=Caps(memory_bytes=250 * 1024 * 1024)).walk(recipe(fault="spike"))
    assert list((tmp_path / "space" / "work").glob("slow-*/state/step-*"))


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1])
def test_ctrl_c_while_a_stage_is_starting_is_no_crash(tmp_path: Path, words: Path, seconds: float) -> None:
    def watch(event: dict[str, Any]) -> None:
        if event["type"] == "stage" and event["stage"] == "slow" and event["state"] == "started":
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(Interrupted, match="continues from here"):
        runner(tmp_path, observer=watch).walk(recipe(steps=50, seconds=0.1))


def test_an_error_of_a_kind_that_core_does_not_know_keeps_its_meaning(tmp_path: Path, words: Path) -> None:
    with pytest.raises(DataError, match="the bottle is full"):
        runner(tmp_path).walk(recipe(fault="own error"))


def test_a_full_disk_told_by_a_library_is_a_full_disk(tmp_path: Path, words: Path) -> None:
    with pytest.raises(StorageError, match="The disk is full"):
        runner(tmp_path).walk(recipe(fault="rust"))


def test_what_a_kill_after_publishing_leaves_is_tidied_up(tmp_path: Path, words: Path) -> None:
    first = runner(tmp_path)
    first.walk(recipe())
    left = first.workspace.work_of("count", first.artifacts["count"].fingerprint)
    (left / "state").mkdir(parents=True)
    runner(tmp_path).walk(recipe())
    assert not left.exists()


def test_ctrl_c_saves_and_says_so(tmp_path: Path, words: Path) -> None:
    slow = recipe(steps=50, seconds=0.1)
    before = signal.getsignal(signal.SIGINT)
    seen = threading.Event()

    def watch(event: dict[str, Any]) -> None:
        if event["type"] == "progress" and event["done"] >= 1 and not seen.is_set():
            seen.set()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="continues from here"):
        runner(tmp_path, observer=watch).walk(slow)
    assert list((tmp_path / "space" / "work").glob("slow-*/state/step-*"))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_a_deaf_stage_at_once(tmp_path: Path, words: Path) -> None:
    def press() -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    started = time.monotonic()
    presses: list[threading.Thread] = []

    def watch(event: dict[str, Any]) -> None:
        if event["type"] == "stage" and event["stage"] == "slow" and event["state"] == "started":
            presses.append(threading.Thread(target=press))
            presses[0].start()

    with pytest.raises(Interrupted):
        runner(tmp_path, observer=watch).walk(recipe(fault="deaf"))
    assert time.monotonic() - started < 30
    presses[0].join()  # else its second press may come in the test after this one


def test_warnings_and_library_output_are_kept_with_the_artifact(tmp_path: Path, words: Path) -> None:
    walked = runner(tmp_path)
    walked.walk(recipe())
    artifact = walked.artifacts["slow"]
    assert "a warning worth keeping" in (artifact / "logs/warnings.jsonl").read_text(encoding="utf-8")
    assert artifact.record.peak_memory_bytes > 0
    assert artifact.record.inputs["count"][0] == walked.artifacts["count"].fingerprint
    assert all(entry.path != "record.json" for entry in artifact.record.files)


def test_a_damaged_artifact_is_made_again(tmp_path: Path, words: Path) -> None:
    first = runner(tmp_path)
    first.walk(recipe())
    (first.artifacts["count"].folder / "counts.json").write_text("{}", encoding="utf-8")
    again = runner(tmp_path)
    again.walk(recipe())
    assert reused(again) == {"count": False, "slow": True}


def test_two_runs_at_once_the_second_is_refused_or_waits(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space")
    with space.lock(), pytest.raises(Busy, match=f"process {os.getpid()}"), space.lock():
        pass
    holder = threading.Event()

    def hold() -> None:
        with space.lock():
            holder.set()
            time.sleep(0.4)

    other = threading.Thread(target=hold)
    other.start()
    holder.wait()
    with space.lock(wait_seconds=20):
        assert not other.join(5)


def test_in_process_gives_the_same_artifact(tmp_path: Path, words: Path) -> None:
    apart = runner(tmp_path)
    apart.walk(recipe())
    here = Runner(stages=toy.STAGES, workspace=Workspace(tmp_path / "b").open(), base=tmp_path, in_process=True)
    here.walk(recipe())
    assert here.artifacts["slow"].content == apart.artifacts["slow"].content
    assert here.artifacts["slow"].fingerprint == apart.artifacts["slow"].fingerprint
