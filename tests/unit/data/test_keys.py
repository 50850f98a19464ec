"""Conflicts and survivors are decided by label and place, never by where a row happens to lie."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from danlu.core.errors import UserError
from danlu.data.keys import Keys, chosen_rows, first_rows, read_keys, without_conflicts
from danlu.data.steps import content_of
from danlu.data.tables import CLEAN, Writer
from danlu.data.times import NO_TIME


def keys(text: list[int], label: list[int], place: list[int] | None = None) -> Keys:
    return Keys(
        place=np.array(place or range(len(text))),
        text=np.array(text),
        label=np.array(label),
        characters=np.ones(len(text), dtype=np.int64),
        labels=("a", "b", "c"),
        contents=np.arange(max(text) + 1, dtype=np.uint64),
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("drop", [False, False, False, True, True, False, False]),
        ("keep", [True] * 7),
        ("majority", [True, True, False, True, True, False, False]),
    ],
)
def test_conflicts(policy: str, expected: list[bool]) -> None:
    # Text 0 is a, a, b; text 1 is c twice; text 2 is a against b, one each.
    found = without_conflicts(keys([0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 0, 1]), policy)
    assert found.tolist() == expected


def test_the_first_by_place_survives_among_the_marked() -> None:
    some = keys([0, 0, 1, 0], [0, 0, 0, 0], place=[9, 3, 5, 1])
    marked = np.array([True, True, True, False])
    assert first_rows(some, marked, some.text).tolist() == [False, True, True, False]


def of_two_groups(order: list[int]) -> tuple[Keys, np.ndarray]:
    """Rows 0 to 4 of two groups, lying in another order; with characters and times that tie."""
    group = np.array([0, 0, 0, 1, 1])[order]
    some = keys(list(range(5)), [0] * 5, place=[4, 2, 9, 7, 6])
    arrays = {"characters": np.array([5, 8, 8, 3, 3]), "place": some.place}
    arrays["time"] = np.array([30, 10, 30, NO_TIME, 1])
    some = dataclasses.replace(some, **{name: array[order] for name, array in arrays.items()})
    return some, group


@pytest.mark.parametrize(("policy", "expected"), [("first", {2, 6}), ("longest", {2, 6}), ("newest", {4, 6})])
def test_one_row_of_each_group_is_kept_whatever_the_order(policy: str, expected: set[int]) -> None:
    for order in itertools.permutations(range(5)):
        some, group = of_two_groups(list(order))
        kept = chosen_rows(some, np.ones(5, dtype=bool), group, policy)
        assert set(some.place[kept].tolist()) == expected


def test_rows_that_are_not_marked_are_not_kept() -> None:
    some, group = of_two_groups([0, 1, 2, 3, 4])
    marked = np.array([False, False, True, False, False])
    assert chosen_rows(some, marked, group, "newest").tolist() == marked.tolist()


def test_the_newest_needs_times_and_a_policy_is_one_of_three() -> None:
    some, group = of_two_groups([0, 1, 2, 3, 4])
    with pytest.raises(UserError, match="no row has a time"):
        chosen_rows(dataclasses.replace(some, time=None), np.ones(5, dtype=bool), group, "newest")
    with pytest.raises(ValueError, match="'best'; it must be one of first, longest, newest"):
        chosen_rows(some, np.ones(5, dtype=bool), group, "best")


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    texts = ["好评", "abc", "x", "好评", ""]
    hashes = [content_of(text) for text in texts]
    with Writer(tmp_path / "part.parquet", CLEAN) as writer:
        for at in (slice(0, 2), slice(2, 5)):
            columns = {
                "id": texts[at],
                "place": [9, 8, 7, 6, 5][at],
                "origin": texts[at],
                "source": [0] * len(texts[at]),
                "text": texts[at],
                "label": ["b", None, "a", "b", "a"][at],
                "content": hashes[at],
                "subject": ["0" * 16, None, "ff" * 8, "0" * 16, None][at],
                "time": ["2024-03-01", None, "1970年1月2日", None, None][at],
            }
            count = len(texts[at])
            kinds = {name: CLEAN.field(name).type for name in CLEAN.names}
            filled = {name: columns.get(name, [None] * count) for name in kinds}
            writer.write(pa.table({name: pa.array(filled[name], kind) for name, kind in kinds.items()}))
    found = read_keys(tmp_path)
    assert found.place.tolist() == [9, 8, 7, 6, 5]
    assert found.characters.tolist() == [2, 3, 1, 2, 0]
    assert found.labels == ("", "a", "b")
    assert found.subject is not None
    assert found.subject.tolist() == [0, -1, 1, 0, -1]
    assert found.subjects.tolist() == [0, 2**64 - 1]
    assert found.conversation is None
    assert found.time is not None
    assert found.time.tolist() == [1709251200, NO_TIME, 86400, NO_TIME, NO_TIME]
    assert found.label.tolist() == [2, 0, 1, 2, 1]
    assert found.contents.tolist() == sorted({int(value[:16], 16) for value in hashes})
    assert [f"{found.contents[number]:016x}" for number in found.text] == [value[:16] for value in hashes]
    texts = read_keys(tmp_path, texts_only=True)
    assert (texts.place.tolist(), texts.text.tolist()) == (found.place.tolist(), found.text.tolist())
    assert texts.subject is None
    assert texts.time is None
