"""Every number of a run in one value: what `danlu show NAME --json` prints and what the report is drawn from.

It is read from the artifacts alone. A run that stopped early, or an artifact that was deleted, leaves nulls.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from danlu.core.artifact import RECORD, Artifact, Record
from danlu.core.descent import held_out_seen
from danlu.core.store import Workspace
from danlu.report.advice import advice, doubt
from danlu.report.decisions import abstention_sentence, champion_sentence, slices_sentence
from danlu.report.folds import folds_sentence
from danlu.report.questions import questions_sentence
from danlu.report.sentences import is_better, later_sentence, naive_sentence, verdict_sentence

_DATA_KEYS = (
    "language",
    "labels",
    "funnel",
    "splits",
    "masked",
    "duplicates",
    "added",
    "mix",
    "leaked_rows",
    "lengths",
    "sources",
    "teacher",
    "warnings",
)
_EVIDENCE_KEYS = (
    "rows",
    "form",
    "primary",
    "scores",
    "per_class",
    "heads",
    "confusion",
    "calibration",
    "abstention",
    "costs",
    "slices",
    "points",
    "worst",
    "queries",
    "pool",
    "found",
    "forms",
    "leaked_rows",
)
#: The order in which people read them; the files are sorted by the alphabet.
_PARTS = ("train", "validation", "test")
_SCORES = (
    "quality",
    "accuracy",
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
    "average_precision",
    "hamming_loss",
    "mae",
    "rmse",
    "r2",
    "spearman",
    "roc_auc",
    "log_loss",
    "ece",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "mrr_at_10",
    "ndcg_at_10",
    "bits_per_character",
    "perplexity",
)
_LATER_KEYS = ("verdict", "error", "started", "finished", "seconds")
_SPEED_KEYS = ("p50_ms", "p95_ms", "throughput_per_second")


def summary(run: dict[str, Any], workspace: Workspace, later: dict[str, Any] | None = None) -> dict[str, Any]:
    """The summary of `run`, a record in `runs/NAME/` of `workspace`.

    `later` is the record of a later run that came to no verdict, if there is one; it is mentioned.
    Scores are `{"value", "low", "high"}` (95 % interval), times are in seconds, sizes in bytes. Sentences come
    in English ("en") and Chinese ("zh"): `doubt` stands beside a verdict that ships, `advice` says what to do.
    """
    found = _artifacts(run, workspace)
    card = _json(found, "data", "card.json")
    export = _json(found, "compress", "export.json")
    evidence = _json(found, "evaluate", "evidence.json")
    model = _json(found, "train", "danlu.json")
    speed = _json(found, "speed", "speed.json")
    champion = _json(found, "champion", "champion.json")
    release = _json(found, "release", "release.json")
    numbers: dict[str, Any] = {
        "name": run["name"],
        "task": run["recipe"]["task"],
        "summary": run["recipe"].get("release", {}).get("summary", ""),
        "verdict": run["verdict"],
        "version": run.get("version"),
        "error": run.get("error"),
        "started": run["started"],
        "finished": run["finished"],
        "seconds": run["seconds"],
        "gates": release and release["gates"],
        "data": _with_seen(_only(card, _DATA_KEYS, splits=_PARTS), model),
        "evidence": _with_seen(_only(evidence, _EVIDENCE_KEYS, scores=_SCORES), model),
        "baseline": evidence and evidence.get("baseline"),
        "champion": champion,
        "questions": _json(found, "questions", "questions.json"),
        "naive": (evidence or {}).get("naive") or (card or {}).get("naive"),
        "speed": speed,
        "forms": _forms(export, evidence, speed),
        "model": model,
        "training": _training(found, run),
        "study": _json(found, "tune", "study.json"),
        "folds": _json(found, "folds", "folds.json"),
        "plan": _plan(run, found),
        "artifacts": [_artifact_row(stage, found) for stage in run["stages"]],
        "later": later and {key: later.get(key) for key in _LATER_KEYS} | {"stages": _names(later)},
    }
    numbers["ahead"] = is_better(numbers)
    return numbers | {
        "doubt": doubt(numbers),
        "advice": advice(numbers),
        "sentence": verdict_sentence(numbers),
        "naive_sentence": naive_sentence(numbers),
        "champion_sentence": champion_sentence(numbers),
        "abstention_sentence": abstention_sentence(numbers),
        "slices_sentence": slices_sentence(numbers),
        "folds_sentence": folds_sentence(numbers),
        "questions_sentence": questions_sentence(numbers),
        "later_sentence": later_sentence(numbers),
    }


def _names(run: dict[str, Any]) -> list[str]:
    return [row["stage"] for row in run["stages"]]


def _artifacts(run: dict[str, Any], workspace: Workspace) -> dict[str, Artifact]:
    """The artifacts of the run that are still there, by stage."""
    found = {}
    for row in run["stages"]:
        folder = workspace.root / row["folder"]
        try:
            record = Record.model_validate_json((folder / RECORD).read_bytes())
        except (OSError, ValidationError):
            continue
        found[row["stage"]] = Artifact(folder, record)
    return found


def _json(found: dict[str, Artifact], stage: str, name: str) -> Any:
    if stage not in found:
        return None
    return _read(found[stage] / name)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _only(value: dict[str, Any] | None, keys: tuple[str, ...], **orders: tuple[str, ...]) -> dict[str, Any] | None:
    """`value` with these keys alone; `orders` says for some of them how their own keys are ordered."""
    if value is None:
        return None
    found = {key: value.get(key) for key in keys}
    for key, order in orders.items():
        inner = found[key] or {}
        found[key] = {name: inner[name] for name in (*order, *inner) if name in inner}
    return found


def _with_seen(found: dict[str, Any] | None, model: dict[str, Any] | None) -> dict[str, Any] | None:
    """With the held-out texts that the model's base or teacher has read among the leaked rows, as gates count them."""
    if found is None or found["leaked_rows"] is None:
        return found
    return found | {"leaked_rows": found["leaked_rows"] + (held_out_seen(model or {}) or 0)}


def _forms(export: Any, evidence: Any, speed: Any) -> list[dict[str, Any]] | None:
    """One row a form: size, parity, speed, scores; the one that is served comes first."""
    if export is None:
        return None
    rows = []
    for form, made in export["forms"].items():
        measured = ((speed or {}).get("forms") or {}).get(form) or {}
        scored = ((evidence or {}).get("forms") or {}).get(form) or {}
        rows.append(
            {
                "form": form,
                "shipped": form == export["ship"],
                "bytes": made.get("bytes"),
                "precision": made.get("precision"),
                "batch_invariant": made.get("batch_invariant"),
                "parity": made.get("parity"),
                "scores": scored.get("scores"),
            }
            | {key: measured.get(key) for key in _SPEED_KEYS}
        )
    return sorted(rows, key=lambda row: (not row["shipped"], row["form"]))


def _training(found: dict[str, Artifact], run: dict[str, Any]) -> dict[str, Any] | None:
    """What training says of itself; `limited_by` is the setting of the recipe that ended it."""
    training: dict[str, Any] | None = _json(found, "train", "training.json")
    if training is None:
        return None
    asked = run["recipe"].get("train") or {}
    limit = "train.epochs" if asked.get("max_samples") is None else "train.max_samples"
    return training | {"limited_by": limit, "speed": _json(found, "train", "logs/speed.json")}


def _plan(run: dict[str, Any], found: dict[str, Artifact]) -> dict[str, Any]:
    """The plan as it was written, and by stage and in total what was predicted beside what came."""
    plan = _json(found, "plan", "plan.json")
    costs = (plan or {}).get("stages") or {}
    stages = []
    for row in run["stages"]:
        stage = row["stage"]
        record = found[stage].record if stage in found else None
        predicted = costs.get(stage) or {}
        stages.append(
            {
                "stage": stage,
                "seconds": {"predicted": predicted.get("seconds"), "actual": record and record.seconds},
                "peak_memory_bytes": {
                    "predicted": predicted.get("memory_bytes"),
                    "actual": record and record.peak_memory_bytes,
                },
                "kwh": record and record.kwh,
                "kwh_by": record and record.kwh_by,
                "attempts": record and record.attempts,
            }
        )
    actual = {
        row["stage"]: {"seconds": row["seconds"]["actual"], "peak_memory_bytes": row["peak_memory_bytes"]["actual"]}
        for row in stages
    }
    return {
        "predicted": plan,
        "actual": actual,
        "stages": stages,
        "total": _total(run, plan, costs, found),
        "kwh_by": sorted({row["kwh_by"] for row in stages if row["stage"] in costs and row["kwh_by"]}),
    }


def _total(run: dict[str, Any], plan: Any, costs: dict[str, Any], found: dict[str, Artifact]) -> dict[str, Any]:
    """Predicted beside actual for the whole run; actual is null while a planned stage is missing or unmeasured.

    Actual money is electricity at the recipe's price, like the plan's; the records say how its energy is known.
    """
    predicted = (plan or {}).get("total") or {}
    records = [found[stage].record for stage in costs if stage in found]
    whole = bool(costs) and len(records) == len(costs)
    kwh = [record.kwh for record in records if record.kwh is not None]
    energy = sum(kwh) if whole and len(kwh) == len(records) else None
    budget = run["recipe"].get("budget") or {}

    def priced(key: str) -> float | None:
        return None if energy is None or key not in budget else energy * float(budget[key])

    actual = {
        "seconds": sum(record.seconds for record in records) if whole else None,
        "memory_bytes": max(record.peak_memory_bytes for record in records) if whole else None,
        "kwh": energy,
        "usd": priced("electricity_price"),
        "kg_co2": priced("carbon_intensity"),
    }
    return {key: {"predicted": predicted.get(key), "actual": value} for key, value in actual.items()}


def _artifact_row(row: dict[str, Any], found: dict[str, Artifact]) -> dict[str, Any]:
    artifact = found.get(row["stage"])
    return {
        "stage": row["stage"],
        "fingerprint": row["fingerprint"],
        "content": artifact.content if artifact else None,
        "folder": row["folder"],
        "bytes": artifact.bytes() if artifact else None,
        "reused": row["reused"],
        "seconds": row["seconds"],
        "finished": artifact.record.finished if artifact else None,
        "inputs": {name: pair[0] for name, pair in artifact.record.inputs.items()} if artifact else None,
    }
