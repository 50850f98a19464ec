"""Several numbers for one text: their mean, once, in whatever order rows come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danlu.data.config import DataConfig
from danlu.data.keys import Keys, first_rows, without_conflicts
from danlu.data.measured import averaged, mean_of
from danlu.data.outlook import outlook


def keys_of(texts: list[int], values: list[str]) -> Keys:
    labels = tuple(sorted(set(values)))
    return Keys(
        place=np.arange(len(texts)),
        text=np.array(texts),
        label=np.array([labels.index(value) for value in values]),
        characters=np.full(len(texts), 9),
        labels=labels,
        contents=np.arange(max(texts) + 1, dtype=np.uint64),
    )


def values_of(keys: Keys) -> list[float]:
    return [float(keys.labels[label]) for label in keys.label.tolist()]


def test_each_row_counts_once_and_no_text_is_lost() -> None:
    keys = keys_of([0, 1, 0, 2, 0, 1], ["3.0", "1.0", "4.0", "5.0", "4.0", "1.0"])
    found, told = averaged(keys)
    assert values_of(found) == pytest.approx([11 / 3, 1.0, 11 / 3, 5.0, 11 / 3, 1.0])
    assert list(found.labels) == sorted(found.labels)
    assert without_conflicts(found, "drop").all()
    same = found.text * len(found.labels) + found.label
    assert first_rows(found, np.ones(6, dtype=bool), same).sum() == 3
    # Sum of squares 2/3 over 3 rows less 1 text.
    assert told == [
        "1 text came with more than one number, in 3 rows; each is kept with their mean. Numbers of one text differ "
        "by 0.577 (standard deviation): about so far off is even a perfect model."
    ]


def test_the_order_of_rows_does_not_matter() -> None:
    draw = np.random.default_rng(3)
    texts, values = draw.integers(0, 40, 400), draw.normal(size=400).round(3)
    order = draw.permutation(400)
    one, _ = averaged(keys_of(texts.tolist(), [repr(float(value)) for value in values]))
    other, _ = averaged(keys_of(texts[order].tolist(), [repr(float(value)) for value in values[order]]))
    assert np.array(values_of(one))[order].tolist() == values_of(other)


def test_nothing_is_said_where_numbers_agree() -> None:
    keys = keys_of([0, 1, 0], ["3.0", "1.0", "3.0"])
    assert averaged(keys) == (keys, [])
    assert mean_of({"1.0": 1, "2.5": 3}) == "2.125"


def test_the_plan_says_so_and_counts_such_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"this is review number {row % 30},{row % 7}" for row in range(90)]
    path.write_text("text,stars\n" + "\n".join(lines) + "\n", encoding="utf-8")
    told = {}
    for policy in ("drop", "keep"):
        config = DataConfig.model_validate(
            {"sources": [{"path": str(path)}], "text": "text", "label": "stars", "label_conflicts": policy}
        )
        told[policy] = outlook(config, [path], task="regress")
    assert told["drop"][0] == (
        "Every text occurs with different numbers; each is kept once, with their mean (data.label_conflicts)."
    )
    assert not [line for line in told["keep"] if "mean" in line]
