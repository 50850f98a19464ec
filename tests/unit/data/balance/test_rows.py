"""Classes are evened out the same way whatever the order of rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.data.balance.rows import oversample, smote, undersample

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


def test_smote_lies_between_rows_of_the_class() -> None:
    generator = np.random.default_rng(0)
    vectors = np.concatenate([generator.normal(size=(20, 3)), generator.normal(size=(5, 3)) + 10])
    labels = ["many"] * 20 + ["few"] * 5
    made, made_labels = smote(vectors, labels, seed=3)
    assert (made[:25] == vectors).all()
    assert made_labels == labels + ["few"] * 15
    few = vectors[20:]
    for new in made[25:]:
        # On a line between two rows of its class: the distances to both add up to theirs.
        to_rows = np.linalg.norm(few - new, axis=1)
        gaps = to_rows[:, None] + to_rows[None, :] - np.linalg.norm(few[:, None] - few[None, :], axis=2)
        np.fill_diagonal(gaps, np.inf)
        assert gaps.min() < 1e-9


def test_smote_does_not_depend_on_order() -> None:
    generator = np.random.default_rng(0)
    vectors, labels = generator.normal(size=(30, 4)), ["a"] * 20 + ["b"] * 8 + ["c"] * 2
    order = generator.permutation(30)
    one, one_labels = smote(vectors, labels, 1)
    other, other_labels = smote(vectors[order], [labels[place] for place in order], 1)
    assert one_labels[30:] == other_labels[30:]
    assert Counter(one_labels) == {"a": 20, "b": 20, "c": 20}
    assert np.array_equal(one[30:], other[30:])


def test_what_cannot_be_balanced_is_told() -> None:
    with pytest.raises(DataError, match="there is one of 'b'"):
        smote(np.zeros((3, 2)), ["a", "a", "b"], 1)
    with pytest.raises(DataError, match="NaN"):
        smote(np.full((3, 2), np.nan), ["a", "a", "b"], 1)
    with pytest.raises(DataError, match=r"2 labels came with vectors of shape \(3, 2\)"):
        smote(np.zeros((3, 2)), ["a", "a"], 1)
    with pytest.raises(DataError, match="No rows"):
        oversample([], "mean", 1)
    with pytest.raises(DataError, match="1 keys came for 2 labels"):
        oversample(["a", "b"], "mean", 1, keys=["x"])
