"""Added rows: each says something of its own, none says what a held-out row says, whatever order texts come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.additions import _distinct
from danlu.data.steps import content_of


def contents(*texts: str) -> np.ndarray:
    return np.array([int(content_of(text)[:16], 16) for text in texts], np.uint64)


def test_of_children_that_say_the_same_one_stays(tmp_path: Path) -> None:
    for part, text in (("train", "real"), ("validation", "seen"), ("test", "held out")):
        (tmp_path / part).mkdir()
        pq.write_table(pa.table({"content": [content_of(text)]}), tmp_path / part / "part-00000.parquet")
    said = ["same", "same", "held out", "own", "real", "seen", "same"]
    order = (contents(*said), np.array([9, 4, 4, 4, 9, 9, 4], np.uint64), np.array([0, 1, 2, 3, 4, 5, 0]))
    expected = [False, False, False, True, False, False, True]
    assert _distinct(order, tmp_path).tolist() == expected
    turned = _distinct(tuple(column[::-1] for column in order), tmp_path)  # type: ignore[arg-type]
    assert turned.tolist() == expected[::-1]
    assert not len(_distinct(tuple(column[:0] for column in order), tmp_path))  # type: ignore[arg-type]
