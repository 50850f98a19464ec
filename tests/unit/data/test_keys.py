"""Conflicts and survivors are decided by label and place, never by where a row happens to lie."""

from __future__ import annotations

import numpy as np
import pytest

from danlu.data.keys import Keys, clusters_of, first_rows, without_conflicts


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


def test_clusters_are_what_links_join() -> None:
    found = clusters_of(np.array([[1, 4], [4, 5], [2, 3]]), 7)
    assert found.tolist() == [0, 1, 2, 2, 1, 1, 6]
    assert clusters_of(np.zeros((0, 2), dtype=np.int64), 3).tolist() == [0, 1, 2]
