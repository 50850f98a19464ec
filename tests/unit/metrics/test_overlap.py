"""Similar sets against brute force: every pair at the threshold, and no other, whatever the order of members."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from danlu.metrics import overlap
from danlu.metrics.overlap import Order, SetIndex, Sets, joined, reaching, shared_members


def random_sets(seed: int, count: int) -> list[set[int]]:
    """Sets of 64-bit numbers in families that share most members; some numbers are in many sets."""
    draw = random.Random(seed)
    common = [draw.getrandbits(64) for _ in range(5)]
    found: list[set[int]] = []
    for _ in range(count // 4):
        base = {draw.getrandbits(64) for _ in range(draw.randrange(1, 40))} | set(draw.sample(common, 3))
        for _ in range(4):
            kept = {value for value in base if draw.random() > 0.1}
            found.append(kept | {draw.getrandbits(64) for _ in range(draw.randrange(4))} or {1 << 63})
    draw.shuffle(found)
    return found


def as_sets(sets: list[set[int]], order: Order) -> Sets:
    parts = []
    for one in sets:
        keys = np.sort(order.key(np.array(sorted(one), dtype=np.uint64)))
        parts.append((keys, np.array([0, len(keys)])))
    return joined(parts)


def order_of(sets: list[set[int]], seen: bool) -> Order:
    order = Order(1_000)
    if seen:
        for one in sets:
            order.see(np.array(sorted(one), dtype=np.uint64))
    return order.close()


def jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("seen", [True, False])
def test_pairs_are_those_of_brute_force(threshold: float, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_MEMBERS_AT_ONCE", 200)
    monkeypatch.setattr(overlap, "_PAIRS_AT_ONCE", 50)
    indexed, others = random_sets(1, 120), random_sets(1, 120)[:60] + random_sets(2, 60)
    order = order_of(indexed, seen)
    index = SetIndex(as_sets(indexed, order), threshold)
    found = [pair for rows, own in index.similar(as_sets(others, order)) for pair in zip(rows, own, strict=True)]
    expected = {
        (i, j)
        for (i, one), (j, other) in itertools.product(enumerate(others), enumerate(indexed))
        if jaccard(one, other) >= threshold
    }
    assert len(expected) >= 60
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_shared_members_are_counted() -> None:
    sets = random_sets(3, 40)
    order = order_of(sets, seen=True)
    ours = as_sets(sets, order)
    left, right = (side.ravel() for side in np.meshgrid(np.arange(40), np.arange(40)))
    expected = [len(sets[i] & sets[j]) for i, j in zip(left, right, strict=True)]
    assert shared_members(ours, ours, left, right).tolist() == expected
    nearly = [jaccard(sets[i], sets[j]) >= 0.6 for i, j in zip(left, right, strict=True)]
    assert reaching(ours, ours, left, right, 0.6).tolist() == nearly


def test_unwanted_pairs_are_not_compared_and_long_lists_are_cut_short() -> None:
    sets = random_sets(4, 40)
    order = order_of(sets, seen=True)
    ours = as_sets(sets, order)
    index = SetIndex(ours, 0.5)
    pairs = [pair for rows, own in index.similar(ours, wanted=np.less) for pair in zip(rows, own, strict=True)]
    assert pairs
    assert all(one < other for one, other in pairs)
    assert index.truncated == 0
    list(index.similar(ours, most=1))
    assert index.truncated > 0


def test_rare_members_come_first() -> None:
    order = Order(10)
    often, once, never = (np.array([value], dtype=np.uint64) for value in (7 << 20, 8 << 20, 9 << 20))
    for _ in range(9):
        order.see(often)
    order.see(once)
    order.close()
    assert order.key(never)[0] < order.key(once)[0] < order.key(often)[0]


def test_no_sets_and_no_such_threshold() -> None:
    nothing = joined([])
    assert list(SetIndex(nothing, 0.5).similar(nothing)) == []
    one = as_sets([{5}], order_of([], seen=False))
    assert list(SetIndex(one, 0.5).similar(nothing)) == []
    assert list(SetIndex(nothing, 0.5).similar(one)) == []
    with pytest.raises(ValueError, match="threshold is 0"):
        SetIndex(one, 0.0)
