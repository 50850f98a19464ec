"""What stands in the columns beside the texts of the training rows, for the card and for warnings."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from danlu.data.checks import spread
from danlu.data.columns.cells import BESIDE
from danlu.data.tables import batches

#: Values of a category that the card lists, the most frequent.
_SHOWN = 10

#: So many different values of a category are told apart; a column with more is none, and its others count as one.
_MOST_VALUES = 10_000


def summarise(train: Path, columns: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Of each column in the folder `train`: `rows`, `missing`, and `numbers` (a spread) or `values` and `most` of them.

    `columns` are the names under `numeric` and `categorical`. Values are listed without those of one row alone. A
    number takes 8 bytes, and a category no more than its first `_MOST_VALUES` values; `values` is at most one more.
    """
    numbers: dict[str, array[float]] = {name: array("d") for name in columns["numeric"]}
    words: dict[str, Counter[str]] = {name: Counter() for name in columns["categorical"]}
    others: Counter[str] = Counter()
    rows = 0
    for batch in batches(train, list(BESIDE)):
        rows += batch.num_rows
        for row in batch.to_pylist():
            for name, number in row["numbers"] or ():
                numbers[name].append(number)
            for name, word in row["categories"] or ():
                if word in words[name] or len(words[name]) < _MOST_VALUES:
                    words[name][word] += 1
                else:
                    others[name] += 1
    found: dict[str, dict[str, Any]] = {
        name: {"rows": rows, "missing": rows - len(values), "numbers": spread(values)}
        for name, values in numbers.items()
    }
    for name, counts in words.items():
        ranked = sorted((one for one in counts.items() if one[1] > 1), key=lambda one: (-one[1], one[0]))
        known, values = counts.total() + others[name], len(counts) + (others[name] > 0)
        found[name] = {"rows": rows, "missing": rows - known, "values": values}
        found[name]["most"] = dict(ranked[:_SHOWN])
    return found


def warnings(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What people should know of their columns: one that says nothing, and one that is no category."""
    told = []
    for name, column in found.items():
        known = column["rows"] - column["missing"]
        if not known:
            told.append(f"No training row has anything in the column {name!r}, so it can teach nothing.")
        elif "values" in column and column["values"] > _SHOWN and column["values"] > min(known / 2, _MOST_VALUES):
            many = f"{column['values']:,}" if column["values"] <= _MOST_VALUES else f"more than {_MOST_VALUES:,}"
            told.append(
                f"The column {name!r} has {many} different values in {known:,} training rows: that is no "
                "category. A value of a single row counts as unknown. Is it a number, or somebody's name?"
            )
    return told
