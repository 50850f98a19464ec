"""Classes are evened out the same way whatever the order of rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.data.balance.rows import oversample, undersample

LABELS = ["a"] * 100 + ["b"] * 40 + ["c"] * 7
KEYS = [f"row{number}" for number in range(len(LABELS))]


def sizes(indexes: np.ndarray, labels: list[str] = LABELS) -> dict[str, int]:
    return dict(Counter(labels[index] for index in indexes.tolist()))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("largest", {"a": 100, "b": 100, "c": 70}),
        ("mean", {"a": 100, "b": 49, "c": 49}),
        ("median", {"a": 100, "b": 40, "c": 40}),
        ("square_root", {"a": 100, "b": 63, "c": 26}),
    ],
)
def test_oversample(target: str, expected: dict[str, int]) -> None:
    indexes = oversample(LABELS, target, 1, keys=KEYS)  # type: ignore[arg-type]
    assert sizes(indexes) == expected
    times = np.bincount(indexes, minlength=len(LABELS))
    assert times.min() == 1
    for label in "abc":
        of_class = times[[place for place, name in enumerate(LABELS) if name == label]]
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("largest", {"a": 7, "b": 7, "c": 7}),
        ("mean", {"a": 49, "b": 40, "c": 7}),
        ("median", {"a": 40, "b": 40, "c": 7}),
        ("square_root", {"a": 26, "b": 17, "c": 7}),
    ],
)
def test_undersample(target: str, expected: dict[str, int]) -> None:
    indexes = undersample(LABELS, target, 1, keys=KEYS)  # type: ignore[arg-type]
    assert sizes(indexes) == expected
    assert len(set(indexes.tolist())) == len(indexes)


@given(st.permutations(list(range(len(LABELS)))), st.integers(0, 3))
def test_order_does_not_matter(order: list[int], seed: int) -> None:
    labels, keys = [LABELS[place] for place in order], [KEYS[place] for place in order]
    for one, other in (
        (oversample(LABELS, "mean", seed, keys=KEYS), oversample(labels, "mean", seed, keys=keys)),
        (undersample(LABELS, "median", seed, keys=KEYS), undersample(labels, "median", seed, keys=keys)),
    ):
        assert Counter(KEYS[place] for place in one.tolist()) == Counter(keys[place] for place in other.tolist())


def test_the_seed_decides() -> None:
    assert undersample(LABELS, "median", 1).tolist() != undersample(LABELS, "median", 2).tolist()
    assert undersample(LABELS, "median", 1).tolist() == undersample(LABELS, "median", 1).tolist()


def test_one_row_more_changes_few_others() -> None:
    keys = np.random.default_rng(4).integers(0, 2**63, len(LABELS)).astype(np.uint64)
    before = oversample(LABELS, "largest", 1, keys=keys)
    # In front of all others, so that every place is another one.
    after = oversample(["b", *LABELS], "largest", 1, keys=np.concatenate([keys[:1] ^ np.uint64(1), keys]))
    times = np.bincount(before), np.bincount(after)[1:]
    assert (times[0] != times[1]).sum() <= 4
    numbers = np.unique(LABELS, return_inverse=True)[1]
    assert (oversample(numbers, "largest", 1, keys=keys) == before).all()


def test_what_cannot_be_balanced_is_told() -> None:
    with pytest.raises(DataError, match="No rows"):
        oversample([], "mean", 1)
    with pytest.raises(DataError, match="1 keys came for 2 labels"):
        oversample(["a", "b"], "mean", 1, keys=["x"])
