"""No cluster straddles, every part gets its share, and nothing depends on the order of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.data.split import TEST, TRAIN, VALIDATION, order_of, split


def run(cluster: list[int], label: list[int], seed: int = 1, share: float = 0.1) -> np.ndarray:
    contents = np.arange(max(cluster) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return split(
        cluster=np.array(cluster),
        label=np.array(label),
        order=order_of(contents, seed),
        validation=share,
        test=share,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), min_size=20, max_size=300),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_clusters_never_straddle_and_order_is_nothing(rows: list[tuple[int, int]], seed: int, draw: object) -> None:
    cluster, label = [row[0] for row in rows], [row[1] for row in rows]
    try:
        part = run(cluster, label, seed)
    except DataError:
        assert len(set(cluster)) < 3 * len(set(label)) + 3
        return
    sides: dict[int, set[int]] = {}
    for number, side in zip(cluster, part.tolist(), strict=True):
        sides.setdefault(number, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    assert {TRAIN, VALIDATION, TEST} == set(part.tolist())
    order = list(range(len(rows)))
    draw.shuffle(order)  # type: ignore[attr-defined]
    again = run([cluster[i] for i in order], [label[i] for i in order], seed)
    assert again.tolist() == [part[i] for i in order]


def test_shares_are_kept_for_each_label() -> None:
    rows = 3000
    label = [number % 3 if number < 2700 else 0 for number in range(rows)]
    part = run(list(range(rows)), label)
    for number in range(3):
        own = part[np.array(label) == number]
        assert (own == TEST).sum() == round(len(own) * 0.1)
        assert (own == VALIDATION).sum() == round(len(own) * 0.1)


def test_a_cluster_too_large_for_a_part_is_trained_on() -> None:
    part = run([0] * 50 + list(range(1, 51)), [0] * 100)
    assert set(part[:50].tolist()) == {TRAIN}
    assert (part == TEST).sum() == 10


def test_small_sets_get_every_part_and_every_class_in_test() -> None:
    label = [0] * 12 + [1] * 4 + [2] * 3 + [3] * 2
    part = run(list(range(21)), label)
    assert {label[i] for i in range(21) if part[i] == TEST} == {0, 1, 2, 3}
    assert {label[i] for i in range(21) if part[i] == TRAIN} == {0, 1, 2, 3}
    assert {label[i] for i in range(21) if part[i] == VALIDATION} == {0, 1, 2}


def test_the_seed_changes_the_split() -> None:
    parts = [run(list(range(100)), [0] * 100, seed).tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]


def test_what_cannot_be_split_says_so() -> None:
    with pytest.raises(DataError, match="cannot be split: nothing is left for validation"):
        run([0] * 10 + [1] * 10, [0] * 20)
