"""The public API: what the command line does, as functions."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from danlu.core.artifact import RECORD, Artifact, Record
from danlu.core.errors import DanluError, UserError
from danlu.core.fingerprint import digest
from danlu.core.machine import this_machine
from danlu.core.runner import Caps, Runner, StageOutcome, ignore
from danlu.core.store import Workspace, write_json_atomically
from danlu.plan.pilot import Pilot
from danlu.recipe import Recipe, load_recipe
from danlu.stages import stages_of

if TYPE_CHECKING:
    from danlu.compare.config import CompareConfig
    from danlu.engines.base import Engine
    from danlu.release.registry import Version
    from danlu.report.words import Language
    from danlu.tracking.project import Projected

Observer = Callable[[dict[str, Any]], None]
Verdict = Literal["ship", "refused", "undecided", "stopped"]
DEFAULT_WORKSPACE = Path(".danlu")
_GIB = 1 << 30

#: A time as a file's name: 20261123T101112345+0000.
_NO_SIGNS = str.maketrans("", "", "-:.")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended.

    `verdict`: "ship" (every gate passed), "refused" (a gate failed), "undecided" (the test rows are too few to tell
    whether one passes), "stopped" (it did not come to the gates).
    `version` is the release's number in the registry, `report` the HTML page; both None where there is none.
    """

    name: str
    verdict: Verdict
    stages: list[StageOutcome]
    version: int | None
    seconds: float
    report: Path | None


def run(
    recipe: str | Path,
    *,
    workspace: str | Path = DEFAULT_WORKSPACE,
    until: str | None = None,
    observer: Observer | None = None,
    wait_seconds: float = 0.0,
    refresh: bool = False,
) -> RunResult:
    """Walk the road that a recipe file describes; what is already there for the same inputs is reused.

    With `refresh`, sources in databases and behind URLs are fetched anew instead of taken from the cache.
    Raises `RecipeError`, `UserError` and the rest of `danlu.core.errors`; `BudgetReached` and `Interrupted` mean
    that the work is saved and that the same call continues.
    """
    path = Path(recipe)
    parsed = load_recipe(path)
    names = [stage.name for stage in stages_of(parsed)]
    if until is not None and until not in names:
        near = difflib.get_close_matches(until, names, n=1)
        raise UserError(f"There is no stage {until!r}. The stages are {', '.join(names)}." + _meant(near))
    store = Workspace(Path(workspace))
    with store.lock(wait_seconds) as lock:
        return _walk(path, parsed, store, until, observer or ignore, lock, refresh)


def _meant(near: list[str]) -> str:
    return f" Did you mean {near[0]!r}?" if near else ""


def _walk(
    path: Path,
    recipe: Recipe,
    store: Workspace,
    until: str | None,
    observer: Observer,
    lock: int | None,
    refresh: bool,
) -> RunResult:
    started = time.time()

    def planned() -> dict[str, Any] | None:
        found = runner.artifacts.get("plan")
        return None if found is None else found.json("plan.json")

    runner = Runner(
        stages=stages_of(recipe),
        workspace=store,
        base=path.resolve().parent,
        caps=caps_of(recipe, started),
        observer=Pilot(observer=observer, plan=planned),
        lock=lock,
        refresh=refresh,
    )
    resolved: Recipe = recipe
    error: DanluError | None = None
    try:
        walked = runner.walk(recipe, until)
        assert isinstance(walked, Recipe)
        resolved = walked
    except DanluError as caught:
        error = caught
    verdict, version = _settle(runner, store, resolved)
    folder = store.root / "runs" / recipe.name
    if runner.outcomes:
        record = _run_record(path, recipe, resolved, runner, started, error) | {"verdict": verdict, "version": version}
        try:
            write_json_atomically(folder / f"{record['started'].translate(_NO_SIGNS)}.json", record)
            write_json_atomically(folder / "latest.json", record)
        except OSError:  # a full disk, mostly: what ended the run tells more
            if error is None:
                raise
    if error is not None:
        raise error
    result = RunResult(
        name=recipe.name,
        verdict=verdict,
        stages=runner.outcomes,
        version=version,
        seconds=time.time() - started,
        report=_current_report(recipe.name, store, runner, verdict, version),
    )
    if recipe.tracking is not None and any(not outcome.reused for outcome in runner.outcomes):
        try:
            track(recipe.name, workspace=store.root)
        except UserError as trouble:  # the run is done and saved; a server that is away must not undo that
            runner.observer({"type": "warn", "stage": "tracking", "text": str(trouble)})
    return result


def _run_record(
    path: Path, recipe: Recipe, resolved: Recipe, runner: Runner, started: float, error: DanluError | None
) -> dict[str, Any]:
    """What `runs/NAME/latest.json` says of a run, but for its verdict."""
    return {
        "name": recipe.name,
        "recipe_path": str(path.resolve()),
        "recipe": recipe.model_dump(mode="json"),
        "resolved": resolved.model_dump(mode="json"),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="milliseconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "seconds": round(time.time() - started, 3),
        "error": None if error is None else {"kind": type(error).__name__, "text": str(error)},
        "stages": [
            {
                "stage": outcome.stage,
                "fingerprint": outcome.fingerprint,
                "folder": str(outcome.folder.relative_to(runner.workspace.root)),
                "reused": outcome.reused,
                "seconds": outcome.seconds,
            }
            for outcome in runner.outcomes
        ],
    }


def _current_report(name: str, store: Workspace, runner: Runner, verdict: Verdict, version: int | None) -> Path:
    """The report of this run; one already written for the same artifacts and verdict is kept."""
    from danlu.report.files import report_file

    shown = digest([verdict, version, [outcome.fingerprint for outcome in runner.outcomes]])
    report = store.root / "runs" / name / report_file(verdict, "en")
    mark = report.with_suffix(".of")
    if not report.exists() or not mark.exists() or mark.read_text(encoding="ascii") != shown:
        mark.unlink(missing_ok=True)
        report = write_report(name, workspace=store.root)
        mark.write_text(shown, encoding="ascii")
    return report


def caps_of(recipe: Recipe, started: float) -> Caps:
    """The caps of an invocation that began at `started` (seconds of `time.time()`)."""
    budget = recipe.budget
    kwh, field = budget.energy_cap()
    return Caps(
        deadline=None if budget.hours is None else started + budget.hours * 3600,
        memory_bytes=None if budget.memory_gib is None else int(budget.memory_gib * _GIB),
        kwh=kwh,
        energy=field,
        watts_per_core=budget.watts_per_core,
        threads=this_machine().cores if budget.threads == "auto" else budget.threads,
    )


def _settle(runner: Runner, store: Workspace, recipe: Recipe) -> tuple[Verdict, int | None]:
    """Enter a release that passed into the registry; a release already there keeps its number."""
    artifact = runner.artifacts.get("release")
    if artifact is None:
        return "stopped", None
    verdict: Verdict = artifact.json("release.json")["verdict"]
    if verdict != "ship":
        return verdict, None
    from danlu.release.registry import Registry

    registry = Registry(store, recipe.name)
    version = registry.register(artifact)
    was_champion = version.number in {move["to"] for move in registry.history()}
    live = registry.champion()
    # Asked of the registry, not of this run, so that a crash in between changes nothing; a rollback is not undone.
    wanted = {"always": not was_champion, "first": live is None}
    if wanted.get(recipe.release.promote, False):
        overtaken = _overtaken(runner, artifact, live)
        if overtaken is None:
            registry.promote(version.number)
        else:
            runner.observer({"type": "warn", "stage": "release", "text": f"Version {version.number} {overtaken}"})
    return "ship", version.number


def _overtaken(runner: Runner, release: Artifact, live: Version | None) -> str | None:
    """Why a release must not go live although it passed: what is live now is not what it was compared with. Else None.

    Another run, or a person, may have promoted a version since. One that is the same model takes nothing away.
    """
    champion = runner.artifacts.get("champion")
    if champion is None or live is None:
        return None
    compared = champion.json("champion.json")["version"]
    try:
        same = _form_of(Record.model_validate_json((live.folder / RECORD).read_bytes())) == _form_of(release.record)
    except OSError:  # its files are gone
        same = False
    if same or (compared is not None and compared["number"] == live.number):
        return None
    with_what = "no other version" if compared is None else f"version {compared['number']}"
    return (
        f"passed, but is not live: it was compared with {with_what}, and meanwhile version {live.number} has gone "
        "live. Run again to compare it with that one, or put it live yourself: danlu promote"
    )


def _form_of(release: Record) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in release.files if entry.path.startswith("form/")}


def write_report(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE, language: str = "en") -> Path:
    """Write the HTML report of the latest run of `name`; returns its path."""
    from danlu.report.page import write_report as write
    from danlu.report.summary import summary

    store = Workspace(Path(workspace))
    return write(summary(latest_run(name, workspace=store.root), store), store.root / "runs" / name, language)


def latest_run(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE) -> dict[str, Any]:
    """The record of the latest run of `name`, however it ended. Raises `UserError` where there is none."""
    root = Workspace(Path(workspace)).root
    path = root / "runs" / name / "latest.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        runs = root / "runs"
        names = sorted(entry.name for entry in runs.iterdir()) if runs.is_dir() else []
        near = difflib.get_close_matches(name, names, n=1)
        known = f" Runs here: {', '.join(names)}." if names else " `danlu run RECIPE` makes one."
        raise UserError(f"There is no run named {name!r} in {root}.{_meant(near) or known}") from None
    except ValueError as error:
        raise UserError(f"The run record {path} is damaged ({error}); run the recipe again to rewrite it.") from error
    return found


def judged_run(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE) -> dict[str, Any]:
    """The record of the latest run of `name` that came to a verdict; of the latest run where none did.

    A later run that was stopped, failed or ended at `--until` does not hide what is known of the model. Raises
    `UserError` where there is no run at all.
    """
    latest = latest_run(name, workspace=workspace)
    if latest["verdict"] != "stopped":
        return latest
    folder = Workspace(Path(workspace)).root / "runs" / name
    for path in sorted(folder.glob("[0-9]*.json"), reverse=True):  # named by when the run started
        with contextlib.suppress(OSError, ValueError, KeyError):  # a damaged record hides no older one
            run: dict[str, Any] = json.loads(path.read_bytes())
            if run["verdict"] != "stopped":
                return run
    return latest


def plan(
    recipe: str | Path,
    *,
    workspace: str | Path = DEFAULT_WORKSPACE,
    observer: Observer | None = None,
    wait_seconds: float = 0.0,
    options: bool = False,
) -> Artifact:
    """Predict what a recipe needs and costs on this machine; nothing is trained.

    `options`: as with `plan.options: true`, compare accelerators, methods and micro-batches too.
    """
    path = Path(recipe)
    parsed = load_recipe(path)
    if options:
        parsed = parsed.model_copy(update={"plan": parsed.plan.model_copy(update={"options": True})})
    store = Workspace(Path(workspace))
    with store.lock(wait_seconds) as lock:
        runner = Runner(
            stages=stages_of(parsed),
            workspace=store,
            base=path.resolve().parent,
            caps=caps_of(parsed, time.time()),
            observer=observer or ignore,
            lock=lock,
        )
        runner.walk(parsed, "plan")
    return runner.artifacts["plan"]


def track(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE, uri: str | None = None) -> Projected | None:
    """Bring MLflow up to date with the runs and releases of `name`; None where neither `uri` nor the recipe names one.

    `uri` is a server or a SQLAlchemy URL, by default the `tracking` of the latest run's recipe. Raises `UserError`.
    """
    store = Workspace(Path(workspace))
    run = latest_run(name, workspace=store.root)
    # A path in the recipe starts at the recipe, one on the command line where the command is given.
    base = Path(run["recipe_path"]).parent if uri is None else Path.cwd()
    uri = uri or run["recipe"].get("tracking")
    if uri is None:
        return None
    from danlu.tracking.project import project

    return project(name, store, uri, base)


def load(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE, version: str = "champion") -> Engine:
    """The released model `name`, ready to answer: "champion", "candidate" or a version number.

    Raises `UserError` where there is none, and where its files are no longer those that were tested.
    """
    from danlu.engines.table import load as load_engine

    return load_engine(released(name, workspace=workspace, version=version), threads=this_machine().cores)


def released(name: str, *, workspace: str | Path = DEFAULT_WORKSPACE, version: str = "champion") -> Path:
    """The folder of the form that the released model `name` answers with. Raises `UserError` as `load` does."""
    from danlu.release.registry import Registry, verify

    found = Registry(Workspace(Path(workspace)), name).resolve(version)
    verify(found)
    return found.folder / "form"


def compare(
    models: Sequence[str],
    *,
    on: str,
    workspace: str | Path = DEFAULT_WORKSPACE,
    config: CompareConfig | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """The same rows of the run `on` through every model, each compared with the first; as plain values.

    `models` are named as `danlu compare` has them: "reviews@2", "endpoint:URL#MODEL", "openai:MODEL", "answers.csv".
    Raises `UserError` and what is below it for what cannot be compared, and `BudgetReached` at an endpoint's cap: the
    answers that came are kept, and the same call goes on.
    """
    from danlu.compare.config import CompareConfig
    from danlu.compare.table import compare as made

    run = judged_run(on, workspace=workspace)
    return made(models, run, Workspace(Path(workspace)), config or CompareConfig(), observer or ignore)


def write_compare_rows(
    path: str | Path, *, on: str, workspace: str | Path = DEFAULT_WORKSPACE, config: CompareConfig | None = None
) -> int:
    """Write the rows of the run `on` that a model elsewhere is to answer as CSV; returns how many there are."""
    from danlu.compare.config import CompareConfig
    from danlu.compare.table import write_rows

    run = judged_run(on, workspace=workspace)
    return write_rows(run, Workspace(Path(workspace)), config or CompareConfig(), Path(path))


def write_comparison(comparison: dict[str, Any], path: str | Path, *, language: Language = "en") -> Path:
    """Write what `compare` returned as one HTML page, in English ("en") or Chinese ("zh"); returns its path."""
    from danlu.compare.page import write_page

    return write_page(comparison, Path(path), language)
