"""Which rows are used, augmented and repeated hangs on what rows say: another file name or one row more moves few."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.test_stage import PARTS, distinct, make, rows_of, write


def texts_of(out: Path, parts: tuple[str, ...] = PARTS) -> Counter[tuple[str, str]]:
    return Counter((row["text"], row["label"]) for part in parts for row in rows_of(out, part))


@pytest.mark.parametrize("place", [0, 77, 300])
def test_one_row_more_keeps_the_sample(tmp_path: Path, place: int) -> None:
    rows = distinct(150) + distinct(150, seed=2)
    # Copies too: which of them is drawn does not matter, how many are does.
    rows = rows[:100] + rows[50:250]
    more = [*rows[:place], {"text": "a row that nobody has seen before", "label": "good"}, *rows[place:]]
    asked: dict[str, Any] = {"max_rows": 120, "duplicates": {"near": False}}
    before, after = (
        make(tmp_path / name, [write(tmp_path / name / f"{name}.jsonl", some)], **asked).out
        for name, some in (("one", rows), ("two", more))
    )
    old, new = texts_of(before), texts_of(after)
    assert sum((old & new).values()) >= sum(old.values()) - 2
    sampled = [sum(row["reason"] != "not_sampled" for row in rows_of(out, "rejected")) for out in (before, after)]
    assert [sum(found.values()) + gone for found, gone in zip((old, new), sampled, strict=True)] == [120, 120]


def test_another_seed_draws_others(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", distinct(300))
    one, two = (texts_of(make(tmp_path / str(seed), [path], max_rows=100, seed=seed).out) for seed in (1, 2))
    assert 15 < sum((one & two).values()) < 60


ADDING = {
    "augment": {"operations": [{"kind": "character_noise"}], "share": 0.5},
    "balance": {"target": "largest", "most_repeats": 5},
}


def test_one_row_more_keeps_what_is_added(tmp_path: Path) -> None:
    rows = [row for number, row in enumerate(distinct(300)) if number % 2 or number % 6 == 0]
    more = [*rows[:9], {"text": "a row that nobody has seen before", "label": "good"}, *rows[9:]]
    added = []
    for name, some in (("one", rows), ("two", more)):
        out = make(tmp_path / name, [write(tmp_path / name / f"{name}.jsonl", some)], **ADDING).out
        train = rows_of(out, "train")
        text = {row["id"]: row["text"] for row in train}
        made = Counter((text[row["parent"]], row["operation"], row["text"]) for row in train if row["parent"])
        assert {operation for _, operation, _ in made} == {"character_noise", "repeat"}
        added.append(made)
    assert sum((added[0] & added[1]).values()) >= sum(added[0].values()) - 6
