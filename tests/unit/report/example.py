"""A run's artifacts, written as the stages write them, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.core.artifact import Record, content_hash, list_files, write_json
from danlu.core.store import Workspace, write_json_atomically

ORDER = ("plan", "data", "train", "compress", "evaluate", "speed", "release")
READS = {
    "train": ("data",),
    "compress": ("data", "train"),
    "evaluate": ("data", "compress"),
    "speed": ("data", "compress"),
    "release": ("data", "train", "compress", "evaluate", "speed"),
}
SECONDS = {"plan": 6.2, "data": 21.4, "train": 182.0, "compress": 41.0, "evaluate": 38.0, "speed": 9.5, "release": 1.1}
LONG = "物流很快，就是味道不太行。" * 60
EVIL = "<script>alert('x')</script> & --> $5"


def score(value: float, half: float = 0.014) -> dict[str, float]:
    return {"value": value, "low": round(value - half, 4), "high": round(value + half, 4)}


def card(task: str, labels: list[str]) -> dict[str, Any]:
    rows = {"train": 29_100, "validation": 3_640, "test": 3_637}
    return {
        "task": task,
        "language": "en",
        "labels": labels,
        "funnel": [
            {"step": "read", "rows_in": 38_158, "rows_out": 38_150, "dropped": {"no_text": 8}},
            {"step": "length", "rows_in": 38_150, "rows_out": 37_900, "dropped": {"too_short": 250}},
            {
                "step": "exact_duplicates",
                "rows_in": 37_900,
                "rows_out": 36_377,
                "dropped": {"exact_duplicate": 868, "label_conflict": 655},
            },
        ],
        "splits": {
            part: {"rows": n, "characters": n * 70, "labels": {label: n // len(labels) for label in labels}}
            for part, n in rows.items()
        },
        "masked": {"email": 12, "phone": 3, "china_id": 0, "bank_card": 0},
        "duplicates": {"exact_dropped": 868, "near_clusters": 410, "near_rows": 1_022, "threshold": 0.8},
        "leaked_rows": 0,
        "lengths": {"p50": 62, "p95": 138, "p99": 160, "max": 2_313},
        "sources": [
            {
                "name": "reviews <1>.csv",
                "sha256": "a" * 64,
                "bytes": 3_210_000,
                "format": "csv",
                "encoding": "utf-8",
                "licence": "MIT",
                "rows": 38_158,
                "bad_rows": 8,
            }
        ],
        "naive": {
            "metric": "accuracy",
            "model": "TF-IDF + logistic regression",
            "naive": score(0.951),
            "clean": score(0.848),
            "rows": 20_000,
            "straddling_share": 0.41,
        },
        "warnings": ["The label 'Positive' also occurs as 'positive'; both were kept."],
    }


def classify_evidence(labels: list[str]) -> dict[str, Any]:
    size = len(labels)
    matrix = [[900 if row == column else 90 + 20 * row for column in range(size)] for row in range(size)]
    names = ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "roc_auc")
    ours = {name: score(0.773 + 0.004 * index) for index, name in enumerate(names)}
    return {
        "task": "classify",
        "rows": 3_637,
        "form": "onnx",
        "primary": "macro_f1",
        "scores": ours | {"log_loss": score(0.553, 0.02), "ece": score(0.031, 0.008)},
        "per_class": {
            label: {"precision": score(0.76), "recall": score(0.78), "f1": score(0.77), "support": 1_212}
            for label in labels
        },
        "confusion": {"labels": labels, "matrix": matrix},
        "calibration": {
            "ece": score(0.031, 0.008),
            "bins": [
                {
                    "low": index / 10,
                    "high": (index + 1) / 10,
                    "rows": 100 * (index - 2) if index > 2 else 0,
                    "confidence": index / 10 + 0.05 if index > 2 else None,
                    "accuracy": index / 10 + 0.02 if index > 2 else None,
                }
                for index in range(10)
            ],
        },
        "abstention": [
            {"coverage": 0.5, "rows": 1_818, "threshold": 0.97, "accuracy": score(0.93)},
            {"coverage": 0.8, "rows": 2_910, "threshold": 0.71, "accuracy": score(0.861)},
            {"coverage": 1.0, "rows": 3_637, "threshold": 0.34, "accuracy": score(0.773)},
        ],
        "slices": {
            "fewest_rows": 30,
            "searched": 61,
            "asked": [
                {"slice": 'source == "<b>"', "rows": 12, "accuracy": None, "elsewhere": None}
                | {"p_value": None, "significant": False},
            ],
            "found": [
                {"slice": "length <= 20", "rows": 700, "accuracy": score(0.64), "elsewhere": 0.8}
                | {"p_value": 0.0002, "significant": True},
            ],
        },
        "baseline": {
            "name": "TF-IDF + logistic regression",
            "rows": 6_400,
            "scores": {name: score(0.71 + 0.002 * index) for index, name in enumerate(names)},
            "all_rows": {"rows": 29_100, "scores": {name: score(0.75) for name in names}},
            "comparison": {
                "metric": "macro_f1",
                "test": "paired bootstrap",
                "difference": score(0.065),
                "p_value": 0.0001,
                "significant": True,
            },
        },
        "forms": {
            "torch": {"scores": {"accuracy": score(0.773), "macro_f1": score(0.777)}},
            "onnx": {"scores": {"accuracy": score(0.773), "macro_f1": score(0.777)}},
        },
        "naive": None,
        "leaked_rows": 0,
        "worst": [
            {"id": "1", "text": EVIL, "label": labels[0], "predicted": labels[-1], "confidence": 0.998},
            {
                "id": "2",
                "text": LONG,
                "label": labels[-1],
                "predicted": labels[0],
                "confidence": 0.97,
            },
        ],
    }


def generate_evidence() -> dict[str, Any]:
    return {
        "task": "generate",
        "rows": 1_500,
        "form": "torch",
        "primary": "perplexity",
        "scores": {"perplexity": score(61.2, 1.4), "bits_per_character": score(4.91, 0.03)},
        "per_class": {},
        "confusion": None,
        "calibration": None,
        "baseline": {
            "name": "n-gram language model",
            "rows": 12_000,
            "scores": {"bits_per_character": score(5.44, 0.03), "perplexity": score(43.0, 0.9)},
            "all_rows": {"rows": 14_000, "scores": {"bits_per_character": score(5.4, 0.03)}},
            "comparison": {
                "metric": "bits_per_character",
                "test": "paired bootstrap",
                "difference": score(-0.53, 0.02),
                "p_value": 0.001,
                "significant": True,
            },
        },
        "forms": {"torch": {"scores": {"perplexity": score(61.2, 1.4)}}},
        "naive": None,
        "leaked_rows": 0,
        "worst": [],
    }


def span(value: float) -> dict[str, float]:
    return {"value": value, "low": 0.7 * value, "high": 1.6 * value}


def plan() -> dict[str, Any]:
    total = {
        "seconds": span(322.0),
        "memory_bytes": span(9e8),
        "kwh": span(0.003),
        "usd": span(0.0005),
        "kg_co2": span(0.0014),
    }
    gpu = {
        **total,
        "name": "NVIDIA A10",
        "capacity_bytes": 24e9,
        "fits": True,
        "training_seconds": span(9.0),
        "price_usd_per_hour": 0.86,
        "seller": "Lambda",
        "date": "2026-05-07",
        "measured": False,
    }
    return {
        "rows": 38_158,
        "samples": 6_400,
        "steps": 200,
        "parameters": 22_700_000,
        "precision": "bfloat16",
        "max_length": 48,
        "notes": ["Early stopping may end the training sooner; the plan counts every step."],
        "machine": {"cpu": "AMD EPYC", "cores": 2, "threads": 2},
        "stages": {
            stage: {"seconds": span(1.1 * seconds), "memory_bytes": span(9e8)}
            for stage, seconds in SECONDS.items()
            if stage != "plan"
        },
        "total": total,
        "elsewhere": [gpu, gpu | {"name": "A small one", "fits": False}],
        "method": "First formula.",
    }


def _contents(task: str, labels: list[str], refused: bool) -> dict[str, dict[str, Any]]:
    """Stage -> file -> value."""
    forms = {
        name: {
            "bytes": size,
            "batch_invariant": True,
            "precision": "float32",
            "parity": {
                "reference": "checkpoint",
                "rows": 200,
                "disagreement": 0.0,
                "max_difference": 2e-7,
                "mean_difference": 1e-8,
            },
        }
        for name, size in (("torch", 90_900_000), ("onnx", 91_200_000))
    }
    shipped = "onnx" if task == "classify" else "torch"
    speeds = {"p50_ms": 6.4, "p95_ms": 9.8, "throughput_per_second": 182.0}
    gates = [
        {"expression": "macro_f1 >= 0.70", "passed": not refused, "observed": 0.777, "reason": "macro_f1 is 0.777"},
        {"expression": "leaked_rows == 0", "passed": True, "observed": 0, "reason": "leaked_rows is 0"},
    ]
    history = [
        {
            "step": step,
            "epoch": step / 200,
            "train_loss": 1.0 / (1 + step / 80),
            "validation_loss": 0.55 + 0.3 / (1 + step / 60),
            "validation_score": 0.7 + step / 3_000,
        }
        for step in range(20, 201, 20)
    ]
    return {
        "plan": {"plan.json": plan(), "resolved.json": {}},
        "data": {"card.json": card(task, labels)},
        "train": {
            "danlu.json": {
                "task": task,
                "labels": labels or None,
                "max_length": 128,
                "architecture": "BertForSequenceClassification",
                "parameters": 22_700_000,
                "base": "all-MiniLM-L6-v2",
                "licence": "Apache-2.0",
            },
            "training.json": {
                "steps": 200,
                "epochs": 1.0,
                "samples": 6_400,
                "precision": "bfloat16",
                "best": {"step": 180, "metric": "macro_f1", "value": 0.77},
                "stopped_early": False,
                "history": history,
                "tokens": 240_000,
            },
            "logs/speed.json": {"samples_per_second": 37.1, "seconds": 172.0, "peak_memory_bytes": 900_000_000},
        },
        "compress": {"export.json": {"ship": shipped, "forms": forms}},
        "evaluate": {"evidence.json": classify_evidence(labels) if task == "classify" else generate_evidence()},
        "speed": {"speed.json": {"machine": {}, "form": shipped, **speeds, "forms": dict.fromkeys(forms, speeds)}},
        "release": {"release.json": {"verdict": "refused" if refused else "ship", "gates": gates}},
    }


def make_run(
    workspace: Path,
    *,
    name: str = "sentiment-en",
    task: str = "classify",
    labels: list[str] | None = None,
    refused: bool = False,
    until: str = "release",
    serve: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the artifacts of a run up to `until`, and its `latest.json`, which is returned."""
    names = labels or ["negative", "neutral", EVIL] if task == "classify" else []
    store = Workspace(workspace).open()
    rows, made = [], {}
    for stage, files in _contents(task, names, refused).items():
        out = store.work_of(stage, "f") / "out"
        for path, value in files.items():
            write_json(out / path, value | {"name": name} if path == "release.json" else value)
        made[stage] = store.publish(out, _record(stage, out, made))
        folder = made[stage].folder.relative_to(store.root)
        rows.append(
            {
                "stage": stage,
                "fingerprint": made[stage].fingerprint,
                "folder": str(folder),
                "reused": stage == "data",
                "seconds": SECONDS[stage],
            }
        )
        if stage == until:
            break
    verdict = ("refused" if refused else "ship") if until == "release" else "stopped"
    run = {
        "name": name,
        "recipe_path": "recipe.yaml",
        "recipe": {"name": name, "task": task, "release": {"summary": ""}, "budget": {}, "serve": serve or {}},
        "resolved": {},
        "started": "2026-11-23T12:00:00.000+00:00",
        "finished": "2026-11-23T12:05:02.000+00:00",
        "seconds": 302.0,
        "verdict": verdict,
        "version": 1 if verdict == "ship" else None,
        "error": None,
        "stages": rows,
    }
    write_json_atomically(store.root / "runs" / name / "latest.json", run)
    return run


def _record(stage: str, out: Path, made: dict[str, Any]) -> Record:
    files = list_files(out)
    return Record(
        stage=stage,
        version=1,
        fingerprint=content_hash(files),
        content=content_hash(files),
        inputs={name: [made[name].fingerprint, made[name].content] for name in READS.get(stage, ())},
        resources={},
        config={},
        environment={},
        libraries={},
        files=files,
        seed=1,
        started="2026-11-23T12:00:00.000+00:00",
        finished="2026-11-23T12:05:00.000+00:00",
        seconds=SECONDS[stage],
        attempts=1,
        peak_memory_bytes=850_000_000,
        kwh=None,
        danlu="0.1.0",
    )
