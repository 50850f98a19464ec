"""The competitor's table: the same rows of a run through every model, as one value that the page is drawn from."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danlu.compare.asked import cache_folder
from danlu.compare.config import CompareConfig
from danlu.compare.entrants import Entrant, File, Release, read_entrants
from danlu.compare.judge import JUDGES, Answered, Judge, Setting
from danlu.compare.local import Rates
from danlu.compare.notes import Note, note
from danlu.compare.predictions import Columns, Predictions, read_predictions
from danlu.compare.rows import KNOWN_PARTS, part_of, seen
from danlu.compare.sentences import headline
from danlu.core.artifact import RECORD, Artifact, Record
from danlu.core.context import Context
from danlu.core.energy import WATTS_PER_CORE
from danlu.core.errors import UserError
from danlu.core.lazy import load_attribute
from danlu.core.machine import this_machine
from danlu.core.store import Workspace
from danlu.data.labels.corpus import cleaning_of
from danlu.data.steps import Cleaner
from danlu.evaluate.rows import Part
from danlu.metrics.multiple import holm
from danlu.metrics.paired import LEVEL

Observer = Callable[[dict[str, Any]], None]

#: Below so many rows it is said that little can be shown.
_FEW_ROWS = 100


def corpus_of(run: Mapping[str, Any], workspace: Workspace) -> Artifact:
    """The corpus of a run, as `runs/NAME/` names it. Raises `UserError` where the run made none, or it is gone."""
    row = next((row for row in run["stages"] if row["stage"] == "data"), None)
    if row is None:
        raise UserError(
            f"The run {run['name']!r} made no corpus, so there are no rows to compare on. Run it to its end."
        )
    folder = workspace.root / row["folder"]
    if not (folder / RECORD).is_file():
        raise UserError(f"The corpus of the run {run['name']!r} is gone ({folder}); run its recipe again.")
    return Artifact(folder, Record.model_validate_json((folder / RECORD).read_bytes()))


def write_rows(run: Mapping[str, Any], workspace: Workspace, config: CompareConfig, path: Path) -> int:
    """Write the rows that a competitor is to answer as CSV: `id`, `text` and what stands beside it, no labels.

    Returns how many. The texts are masked as the corpus is. The file begins with a byte order mark, without which Excel
    takes UTF-8 for something else.
    """
    part = part_of(corpus_of(run, workspace), config.part).first(config.rows)
    columns: dict[str, Any] = {"id": part.ids, "text": part.texts} | ({"pair": part.pairs} if part.pairs else {})
    for name in sorted({name for row in part.cells for name in row}):
        columns[name] = [row.get(name) for row in part.cells]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return len(part)


def compare(
    names: Sequence[str], run: Mapping[str, Any], workspace: Workspace, config: CompareConfig, observer: Observer
) -> dict[str, Any]:
    """The comparison of the entrants `names`, as plain values; see docs/compare.md for what they mean.

    Raises `UserError` and what is below it for what cannot be compared, `BudgetReached` where an endpoint's cap is.
    """
    task = run["recipe"]["task"]
    if task not in JUDGES:
        raise UserError(f"Models for {task} cannot be compared yet; models for {', '.join(JUDGES)} can.")
    kind: type[Judge] = load_attribute(JUDGES[task])
    entrants = read_entrants(tuple(names), workspace, config.endpoints)
    _check(entrants, task, kind)
    corpus = corpus_of(run, workspace)
    card = corpus.json("card.json")
    ctx = _context(workspace, observer)
    whole = part_of(corpus, config.part)
    labels = kind.labels(card.get("labels") or [], whole)
    given = _predictions(entrants, whole, labels, run, corpus, workspace, config)
    keep, notes = _comparable(ctx, entrants, whole, given, (card.get("duplicates") or {}).get("threshold"), config)
    rows = whole.where(keep).first(config.rows)
    chosen = np.flatnonzero(keep)[: len(rows)].tolist()
    setting = Setting(
        ctx=ctx,
        config=config,
        rates=_rates(run, config),
        rows=rows,
        labels=labels,
        language=str(card.get("language") or ""),
        entrants=entrants,
        predictions={name: [found.labels[place] for place in chosen] for name, found in given.items()},
        cache=cache_folder(workspace.root),
    )
    judge = kind(setting)
    answered = _answered(judge, entrants)
    compared = _compared(judge, entrants, answered, notes)
    told = [_told(*each) for each in zip(entrants, answered, compared, strict=True)]
    table = {"run": run["name"], "task": task, "rows_in_part": len(whole), **_about(setting, judge), "entrants": told}
    notes += [each for found in answered for each in found.notes]
    if len(rows) < _FEW_ROWS:
        notes.append(note("few_rows", rows=len(rows)))
    if config.machine_price is None:
        notes += _about_cost(answered)
    return table | {"sentence": headline(table), "notes": [each.as_json() for each in notes]}


def _check(entrants: Sequence[Entrant], task: str, kind: type[Judge]) -> None:
    for entrant in entrants:
        if isinstance(entrant, Release) and entrant.form.task != task:
            raise UserError(
                f"{entrant.name} is for {entrant.form.task}, the run is for {task}: they have no question in common."
            )
        if isinstance(entrant, File) and "file" not in kind.takes:
            raise UserError(
                f"A file of predictions ({entrant.name}) holds labels, and the run is for {task}, which has none: it "
                "cannot be compared."
            )
    if not any(entrant.kind in kind.takes for entrant in entrants):
        raise UserError(f"Endpoints alone cannot be compared for {task}; name a release of this workspace.")


def _context(workspace: Workspace, observer: Observer) -> Context:
    machine = this_machine()
    nowhere = workspace.root / "cache" / "compare"
    return Context(
        stage="compare",
        fingerprint="",
        out=nowhere,
        state=nowhere,
        inputs={},
        resources={},
        digests={},
        threads=machine.cores,
        machine=machine,
        emit=lambda event: observer({"stage": "compare", **event}),
    )


def _rates(run: Mapping[str, Any], config: CompareConfig) -> Rates:
    """What the run's plan reckons with."""
    budget = run["resolved"].get("budget", {})
    return Rates(
        kwh_price=float(budget.get("electricity_price", 0.0)),
        watts_per_core=float(budget.get("watts_per_core", WATTS_PER_CORE)),
        machine_price=config.machine_price,
    )


def _predictions(
    entrants: Sequence[Entrant],
    part: Part,
    labels: Sequence[str],
    run: Mapping[str, Any],
    corpus: Artifact,
    workspace: Workspace,
    config: CompareConfig,
) -> dict[str, Predictions]:
    files = [entrant for entrant in entrants if isinstance(entrant, File)]
    if not files:
        return {}
    section = run["recipe"]["data"]
    columns = Columns(
        text=str(section.get("text") or "text"),
        label=section.get("label") if isinstance(section.get("label"), str) else None,
        predicted=config.predicted,
    )
    clean = _cleaning(corpus, workspace)
    return {file.name: read_predictions(file, part, labels, columns, clean) for file in files}


def _cleaning(corpus: Artifact, workspace: Workspace) -> Callable[[str], str | None]:
    """A text as the corpus would have it, None where it would be dropped, or nothing is known of its cleaning."""
    try:
        cleaner = Cleaner(cleaning_of(corpus, workspace), {})
    except UserError:
        return lambda _: None

    def clean(text: str) -> str | None:
        cleaned = cleaner.clean([text])
        return None if cleaned.reason or not cleaned.parts else cleaned.parts[0]

    return clean


def _comparable(
    ctx: Context,
    entrants: Sequence[Entrant],
    part: Part,
    given: Mapping[str, Predictions],
    threshold: float | None,
    config: CompareConfig,
) -> tuple[np.ndarray, list[Note]]:
    """Which rows bool [N] everybody is asked about, and what must be said of the others."""
    keep = np.ones(len(part), dtype=bool)
    notes: list[Note] = []
    corpora: dict[str, dict[str, np.ndarray]] = {}
    for entrant in entrants:
        name, total = entrant.name, len(part)
        if isinstance(entrant, File):
            found = given[name]
            lacking = np.array([place not in found.labels for place in range(total)])
            keep &= ~lacking
            if lacking.any():
                notes.append(note("rows_missing", name, rows=int(lacking.sum()), total=total))
            if found.foreign:
                notes.append(note("rows_foreign", name, rows=found.foreign))
        if not isinstance(entrant, Release):
            notes.append(note("seen_unknown", name))
            continue
        if entrant.corpus is None:
            notes.append(note("corpus_gone", name))
            continue
        known = corpora.get(entrant.corpus.fingerprint)
        if known is None:
            known = corpora[entrant.corpus.fingerprint] = seen(ctx, entrant.corpus, part, threshold)
        learned, chosen = (known[each] for each in KNOWN_PARTS)
        if learned.any():
            kind = "seen_kept" if config.keep_seen else "seen_dropped"
            notes.append(note(kind, name, rows=int(learned.sum()), total=total, part="train"))
            keep &= config.keep_seen | ~learned
        if chosen.any():
            notes.append(note("chosen_on", name, rows=int(chosen.sum()), total=total))
    if not keep.any():
        why = " ".join(each.en for each in notes if each.kind in {"seen_dropped", "rows_missing"})
        raise UserError(
            f"No row is left that all can be compared on. {why} --keep-seen keeps rows that were trained on."
        )
    return keep, notes


def _answered(judge: Judge, entrants: Sequence[Entrant]) -> list[Answered]:
    """What came of each, in their order. Endpoints are asked first: what they refuse is told before time is spent."""
    order = sorted(range(len(entrants)), key=lambda place: entrants[place].kind != "endpoint")
    found = {place: judge.answered(entrants[place]) for place in order}
    return [found[place] for place in range(len(entrants))]


def _compared(
    judge: Judge, entrants: Sequence[Entrant], answered: Sequence[Answered], notes: list[Note]
) -> list[dict[str, Any] | None]:
    """Each one's difference to the first, with p-values corrected for having made them all; None for the first."""
    first, name = answered[0], entrants[0].name
    found: list[dict[str, Any] | None] = [None]
    for entrant, other in zip(entrants[1:], answered[1:], strict=True):
        if first.answers is None or other.answers is None:
            found.append(None)
            continue
        comparison, said = judge.compared(entrant.name, other.answers, name, first.answers)
        notes += said
        found.append(comparison)
    # A comparison without a p-value was not made.
    values = np.array([np.nan if each is None or each["p_value"] is None else each["p_value"] for each in found])
    made = ~np.isnan(values)
    values[made] = holm(values[made])
    adjusted = [value if known else None for value, known in zip(values.tolist(), made.tolist(), strict=True)]
    return [None if each is None else _with_holm(each, p) for each, p in zip(found, adjusted, strict=True)]


def _with_holm(comparison: dict[str, Any], adjusted: float | None) -> dict[str, Any]:
    clear = adjusted is not None and adjusted < LEVEL and comparison["difference"]["value"] != 0.0
    return comparison | {"p_holm": adjusted, "significant": clear}


def _about(setting: Setting, judge: Judge) -> dict[str, Any]:
    """What holds for all entrants."""
    config = setting.config
    return {
        "part": config.part,
        "rows": len(setting.rows),
        "primary": judge.primary,
        "lower_is_better": judge.lower_is_better,
        "shown": list(judge.shown),
        "level": LEVEL,
        "resamples": config.resamples,
        "machine": setting.ctx.machine.as_dict(),
        "threads": setting.ctx.threads,
        "kwh_price": setting.rates.kwh_price,
        "machine_price": config.machine_price,
    }


def _told(entrant: Entrant, found: Answered, comparison: dict[str, Any] | None) -> dict[str, Any]:
    release = entrant if isinstance(entrant, Release) else None
    facts: Mapping[str, Any] = release.facts if release else {}
    return {
        "name": entrant.name,
        "kind": entrant.kind,
        "scores": found.scores,
        "unanswered": found.unanswered,
        "comparison": comparison,
        "latency": found.latency,
        "cost": found.cost,
        "form": release.form.name if release else None,
        "bytes": release.form.bytes if release else None,
        "parameters": facts.get("parameters"),
        "base": facts.get("base"),
        "licence": facts.get("licence"),
        "context": release.form.max_length if release else None,
        "data": facts.get("data"),
    }


#: How energy is known -> in English, in Chinese.
_ENERGY = {
    "estimated": ("energy estimated from CPU time", "能耗由 CPU 时间估算"),
    "": ("energy read from counters", "能耗读自计数器"),
}


def _about_cost(answered: Sequence[Answered]) -> list[Note]:
    ways = [found.cost["kwh_by"] for found in answered if found.cost is not None and "kwh_by" in found.cost]
    if not ways:
        return []
    english, chinese = _ENERGY["estimated" if any("estimated" in way for way in ways) else ""]
    return [note("electricity_alone", how=english, how_zh=chinese)]
