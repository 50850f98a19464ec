"""The score that a careless split of the same rows would have claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.data.keys import Integers, Keys
from danlu.data.tables import batches
from danlu.metrics.naive import choose_rows, naive_split_score

_RESAMPLES = 1_000


def naive_score(folder: Path, keys: Keys, clusters: Integers, seed: int) -> dict[str, Any]:
    """`naive_split_score` over the cleaned and masked rows in `folder`, duplicates and all.

    `clusters` [T] are those of the distinct texts. Scores are rounded to four digits: a corpus must not become another
    one because a processor adds floating-point numbers in another order.
    """
    cluster = clusters[keys.text]
    chosen = choose_rows(cluster, keys.place, seed)
    texts: list[str] = []
    start = 0
    for batch in batches(folder, ["text"]):
        inside = chosen[start : start + batch.num_rows]
        start += batch.num_rows
        texts += [text for text, wanted in zip(batch.column(0).to_pylist(), inside, strict=True) if wanted]
    labels = [keys.labels[number] for number in keys.label[chosen]]
    names = [f"{content:016x}" for content in keys.contents[cluster[chosen]].tolist()]
    found = naive_split_score(texts, labels, names, seed=seed, resamples=_RESAMPLES, rows_available=len(cluster))
    return {name: _rounded(value) for name, value in found.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
