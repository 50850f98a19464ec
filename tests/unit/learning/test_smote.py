"""New rows for small classes: where they lie, how many there are, and that they depend on the seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from danlu.core.columns import Codes
from danlu.core.errors import DataError
from danlu.learning.classic.base import Aim, Fitting, Rows
from danlu.learning.classic.beside import Cells
from danlu.learning.classic.config import LogisticConfig, SmoteConfig
from danlu.learning.classic.linear import Linear
from danlu.learning.classic.smote import wanted, with_new_rows

LABELS = ["many", "few", "none"]


def rows(few: int = 12) -> Rows:
    random = np.random.default_rng(0)
    features = np.concatenate([random.normal(size=(60, 5)), random.normal(4.0, size=(few, 5))]).astype(np.float32)
    return Rows(features=features, targets=np.array([0] * 60 + [1] * few))


def test_the_rows_stay_and_new_ones_lie_between_neighbours_of_their_class() -> None:
    given = rows()
    found, _, made = with_new_rows(given, LABELS, SmoteConfig(neighbours=3), seed=1)
    assert made == {"few": {"rows": 12, "new": 48}}
    np.testing.assert_array_equal(found.features[:72], given.features)
    np.testing.assert_array_equal(found.targets, [*given.targets, *[1] * 48])
    few = np.asarray(given.features[60:], dtype=np.float64)
    apart = np.linalg.norm(few[:, None] - few[None], axis=2)
    nearest = np.argsort(apart, axis=1)[:, 1:4]
    for new in np.asarray(found.features[72:], dtype=np.float64):
        # On the line from some row to one of its three neighbours: the way over the new row is no detour.
        detours = [
            np.linalg.norm(new - few[one]) + np.linalg.norm(few[other] - new) - apart[one, other]
            for one in range(len(few))
            for other in nearest[one]
        ]
        assert min(detours) < 1e-5


def test_the_seed_decides() -> None:
    made = (with_new_rows(rows(), LABELS, SmoteConfig(), seed)[0].features for seed in (1, 1, 2))
    first, again, other = map(np.asarray, made)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("target", "sizes"),
    [("largest", [100, 100, 0]), ("mean", [100, 52, 0]), ("median", [100, 52, 0]), ("square_root", [100, 20, 0])],
)
def test_sizes(target: Any, sizes: list[int]) -> None:
    assert wanted([100, 4, 0], target) == sizes


def test_classes_that_are_large_enough_get_nothing() -> None:
    given = rows(60)
    assert with_new_rows(given, LABELS, SmoteConfig(), seed=1) == (given, None, {})


def test_a_class_without_so_many_neighbours_is_refused() -> None:
    with pytest.raises(DataError, match=r"needs 6 training rows; too few have: 'few' \(5\)"):
        with_new_rows(rows(5), LABELS, SmoteConfig(), seed=1)


def test_cells_beside_the_vectors_stay_what_cells_can_be() -> None:
    """SMOTE-NC: numbers between those of neighbours, categories and missing numbers as most neighbours have them."""
    given, draw = rows(), np.random.default_rng(2)
    table: list[dict[str, Any]] = [
        {"amount": None if draw.random() < 0.3 else float(draw.normal()), "channel": ("app", "shop")[draw.integers(2)]}
        for _ in given.targets
    ]
    for row in table[60:]:
        row["channel"] = "phone"
    codes = Codes.of(table, ["amount"], ["channel"])
    cells = Cells.of(codes, table)
    found, evened, made = with_new_rows(given, LABELS, SmoteConfig(neighbours=3), 1, cells)
    assert made == {"few": {"rows": 12, "new": 48}}
    assert evened is not None
    assert found.features.shape == (120, 5)
    np.testing.assert_array_equal(evened.numbers[:72], cells.numbers)
    np.testing.assert_array_equal(evened.places[:72], cells.places)
    assert (evened.places[72:] == cells.places[60]).all()  # every row of the class is on the phone
    missing = evened.numbers[72:, 1]
    assert set(missing.tolist()) <= {0.0, 1.0}
    assert (evened.numbers[72:, 0][missing == 1.0] == 0.0).all()
    known = evened.numbers[72:, 0][missing == 0.0]
    assert cells.numbers[60:, 0].min() <= known.min() <= known.max() <= cells.numbers[60:, 0].max()
    whole = evened.behind(found.features)
    assert whole.shape == (120, 5 + 2 + codes.categorical[0].size)
    np.testing.assert_array_equal(whole[:, 7:].sum(axis=1), 1.0)


def test_the_penalty_is_chosen_without_the_new_rows() -> None:
    """In many dimensions with little to tell the classes by: the weakest penalties learn the rows by heart."""
    random = np.random.default_rng(5)
    features = random.normal(size=(240, 120)).astype(np.float32)
    features[200:] += 0.3
    given = Rows(features=features, targets=np.array([0] * 200 + [1] * 40))
    found, _, made = with_new_rows(given, LABELS, SmoteConfig(), seed=1)
    assert made == {"few": {"rows": 40, "new": 160}}
    assert found.given == 240
    aim, how = Aim(task="classify", columns=2), Fitting(seed=1, threads=1)

    def answers(penalty: Any, rows: Rows) -> np.ndarray:
        return Linear.logistic(rows, rows, aim, LogisticConfig(penalty=penalty), how).answers(given.features)

    # With the new rows, which lie between those that are held out, a weaker penalty looks better.
    np.testing.assert_array_equal(answers("auto", found), answers(1.0, found))
    np.testing.assert_array_equal(answers("auto", replace(found, given=None)), answers(4.0, found))
