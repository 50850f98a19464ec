"""Where the model is worse than elsewhere: parts of the test rows, asked for or searched.

A part is a mask over rows. If it had nothing to do with the mistakes, their number in it would be hypergeometric: so
many rows drawn without replacement from all, of which so many are wrong (Fisher's exact test, one-sided). Of many
parts looked at some are bad by chance, so the p-values are corrected by Holm's method; that the masks overlap does not
matter to it. The idea of searching them: Chung, Kraska, Polyzotis, Tae and Whang 2019, "Slice Finder",
arXiv:1807.06068.

Shapes: N rows, S parts, D draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from danlu.metrics.bootstrap import Floats
from danlu.metrics.multiple import holm
from danlu.metrics.paired import LEVEL
from danlu.metrics.proportions import wilson

Flags = NDArray[np.bool_]

#: What all rows of a part have in common, each as a condition of the query language (`danlu.evaluate.query`).
Conditions = tuple[str, ...]

#: A column with more values than this, or numbers in more groups, is no way to divide rows for people.
_MOST_VALUES = 12
_GROUPS = 5

#: Parts that are tried at most: those of single columns first, then of two together, the largest first.
_MOST_PARTS = 400

#: Rows that a search looks at: what more would show is too small to matter, and memory grows with it (a byte a part).
_MOST_ROWS = 50_000


def p_values(masks: Flags, wrong: Flags) -> Floats:
    """How probable so many mistakes or more in each part are by chance, [S] or [D, S].

    `masks` [S, N]; `wrong` [N], or [D, N] for several draws at once.
    """
    # Counts of up to 2^24 are exact in float32.
    inside = np.rint(wrong.astype(np.float32) @ masks.T.astype(np.float32)).astype(np.int64)
    totals = np.broadcast_to(wrong.sum(axis=-1, keepdims=True), inside.shape)
    sizes = np.broadcast_to(masks.sum(axis=1), inside.shape)
    kinds, which = np.unique(np.stack([sizes.ravel(), totals.ravel()]), axis=1, return_inverse=True)
    log_factorials = gammaln(np.arange(masks.shape[1] + 2) + 1.0)
    chances = np.empty(inside.size)
    for kind, (size, total) in enumerate(kinds.T.tolist()):
        here = which.ravel() == kind
        chances[here] = _tail(size, total, masks.shape[1], log_factorials)[inside.ravel()[here]]
    return chances.reshape(inside.shape)


def _tail(size: int, total: int, rows: int, log_factorials: Floats) -> Floats:
    """The probability of k or more of `total` mistakes among `size` of `rows` rows, for k from 0 to `size`."""

    def log_choose(of: int, some: NDArray[np.int64]) -> Floats:
        return np.asarray(log_factorials[of] - log_factorials[some] - log_factorials[of - some])

    k = np.arange(max(0, size + total - rows), min(size, total) + 1)
    log_mass = log_choose(total, k) + log_choose(rows - total, size - k) - log_choose(rows, np.array([size]))
    tail = np.zeros(size + 1)
    tail[k] = np.cumsum(np.exp(log_mass)[::-1])[::-1]
    tail[: k[0]] = 1.0
    return np.minimum(tail, 1.0)


def scored(masks: Mapping[str, Flags], wrong: Flags, fewest_rows: int) -> list[dict[str, Any]]:
    """How right the model is in each part, in their order, beside how right it is outside of it.

    `[{"slice", "rows", "accuracy": {"value", "low", "high"}, "elsewhere", "p_value", "significant"}]`: Wilson's
    interval; `elsewhere` is the accuracy on the other rows; the p-value is corrected over the parts that have at least
    `fewest_rows` rows. A part with fewer has its number of rows and nothing else (None).
    """
    large = [name for name, mask in masks.items() if mask.sum() >= fewest_rows]
    chances = holm(p_values(np.stack([masks[name] for name in large]), wrong)) if large else np.zeros(0)
    chance = dict(zip(large, chances.tolist(), strict=True))
    return [_scored(name, mask, wrong, chance.get(name)) for name, mask in masks.items()]


def worst(columns: Mapping[str, Sequence[Any]], wrong: Flags, fewest_rows: int, most: int) -> dict[str, Any]:
    """The parts in which the model is worse than elsewhere beyond doubt: `{"searched", "found"}`.

    `columns` are what rows can be divided by, of which the first `_MOST_ROWS` are looked at; `found` is as `scored`
    gives it, the most needless mistakes first, at most `most`. A part of two columns is told only where it is worse
    than each of the two alone.
    """
    columns = {name: values[:_MOST_ROWS] for name, values in columns.items()}
    masks = parts(columns, fewest_rows)
    rows = scored({_query(conditions): mask for conditions, mask in masks.items()}, wrong[:_MOST_ROWS], fewest_rows)
    found = {conditions: row for conditions, row in zip(masks, rows, strict=True) if row["significant"]}
    told = [row for conditions, row in found.items() if _adds(conditions, found)]
    told.sort(key=lambda row: (-row["rows"] * (row["elsewhere"] - row["accuracy"]["value"]), row["slice"]))
    return {"searched": len(masks), "found": told[:most]}


def parts(columns: Mapping[str, Sequence[Any]], fewest_rows: int) -> dict[Conditions, Flags]:
    """The parts that a search looks at: the conditions that make each -> mask [N].

    Those of single columns: each value of one that has few, five groups of numbers; and those of two columns together.
    All have `fewest_rows` rows at least, and as many outside.
    """
    single: list[tuple[str, str, Flags]] = []
    for column, values in columns.items():
        divide = _by_number if _is_numeric(values) else _by_value
        single += [(column, query, mask) for query, mask in divide(column, values) if _fits(mask, fewest_rows)]
    found: dict[Conditions, Flags] = {(query,): mask for _, query, mask in single[:_MOST_PARTS]}
    if not single:
        return found
    stacked = np.stack([mask for _, _, mask in single])
    sizes = np.rint(stacked.astype(np.float32) @ stacked.T.astype(np.float32)).astype(np.int64)
    pairs = [
        (-int(sizes[first, second]), first, second)
        for first in range(len(single))
        for second in range(first + 1, len(single))
        if single[first][0] != single[second][0]
        and fewest_rows <= sizes[first, second] <= len(stacked[0]) - fewest_rows
    ]
    for _, first, second in sorted(pairs)[: _MOST_PARTS - len(found)]:
        found[single[first][1], single[second][1]] = stacked[first] & stacked[second]
    return found


def _query(conditions: Conditions) -> str:
    return " and ".join(conditions)


def _scored(name: str, mask: Flags, wrong: Flags, chance: float | None) -> dict[str, Any]:
    rows, others = int(mask.sum()), int((~mask).sum())
    row: dict[str, Any] = {"slice": name, "rows": rows, "accuracy": None, "elsewhere": None}
    if chance is None:
        return {**row, "p_value": None, "significant": False}
    hits = rows - int((mask & wrong).sum())
    low, high = wilson(hits, rows)
    row["accuracy"] = {"value": hits / rows, "low": low, "high": high}
    row["elsewhere"] = 1.0 - int((~mask & wrong).sum()) / others if others else None
    return {**row, "p_value": chance, "significant": bool(chance < LEVEL and others)}


def _adds(conditions: Conditions, found: Mapping[Conditions, dict[str, Any]]) -> bool:
    """Whether a part says more than those that it is a part of."""
    wider = [row for other, row in found.items() if set(other) < set(conditions)]
    return all(found[conditions]["accuracy"]["high"] < row["accuracy"]["value"] for row in wider)


def _fits(mask: Flags, fewest_rows: int) -> bool:
    inside = int(mask.sum())
    return inside >= fewest_rows and len(mask) - inside >= fewest_rows


def _is_numeric(values: Sequence[Any]) -> bool:
    return bool(len(values)) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _by_value(column: str, values: Sequence[Any]) -> list[tuple[str, Flags]]:
    """One part a value, for a column with few of them."""
    texts = np.array(["" if value is None else str(value) for value in values], dtype=object)
    known = sorted(set(texts.tolist()))
    if not 2 <= len(known) <= _MOST_VALUES:
        return []
    return [(f"{column} == {_quoted(value)}", texts == value) for value in known if value and '"' not in value]


def _by_number(column: str, values: Sequence[Any]) -> list[tuple[str, Flags]]:
    """Groups of about as many rows each, from the smallest number to the largest."""
    numbers = np.asarray(values, dtype=np.float64)
    inner = np.quantile(numbers, np.arange(1, _GROUPS) / _GROUPS, method="lower")
    edges = [float(edge) for edge in np.unique(inner) if edge < numbers.max()]
    if not edges:
        return []
    found = [(f"{column} <= {_plain(edges[0])}", numbers <= edges[0])]
    for low, high in itertools.pairwise(edges):
        found.append((f"{_plain(low)} < {column} <= {_plain(high)}", (numbers > low) & (numbers <= high)))
    return [*found, (f"{column} > {_plain(edges[-1])}", numbers > edges[-1])]


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _quoted(value: str) -> str:
    return f'"{value}"'
