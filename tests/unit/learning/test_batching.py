"""The order of training is a pure function; every example is seen once an epoch; little is padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.core.errors import UserError
from danlu.learning.batching import (
    BatchSize,
    Examples,
    Order,
    by_length,
    choose_packing,
    pack_rows,
    padding_share,
    unpack_rows,
)


def some_lengths(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 60, size=count)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 900), st.integers(0, 5))
def test_every_example_once_an_epoch(count: int, batch_size: int, samples: int, seed: int) -> None:
    order = Order(some_lengths(count), size=BatchSize(samples=batch_size), samples=samples, seed=seed)
    batches = [order.batch(step) for step in range(order.steps)]
    assert sum(len(batch) for batch in batches) == samples
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    times = np.bincount(np.concatenate(batches), minlength=count)
    assert times.max() - times.min() <= 1
    assert times.max() == -(-samples // count)


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    lengths = some_lengths(200)
    forward = Order(lengths, size=BatchSize(samples=8), samples=500, seed=3)
    backward = Order(lengths, size=BatchSize(samples=8), samples=500, seed=3)
    seen = {step: forward.batch(step).tolist() for step in range(forward.steps)}
    assert {step: backward.batch(step).tolist() for step in reversed(range(backward.steps))} == seen
    other = Order(lengths, size=BatchSize(samples=8), samples=500, seed=4)
    assert [other.batch(step).tolist() for step in range(10)] != [seen[step] for step in range(10)]
    assert seen[0] != seen[forward.steps_per_epoch]


def test_buckets_pad_little() -> None:
    lengths = some_lengths(3000)
    order = Order(lengths, size=BatchSize(samples=16), samples=3000, seed=1)
    shuffled = np.random.default_rng(1).permutation(3000).reshape(-1, 15)
    unbucketed = 1 - lengths.sum() / sum(lengths[row].max() * 15 for row in shuffled)
    assert padding_share(order, lengths, order.steps) < 0.03
    assert unbucketed > 0.4


def test_lengths_are_mixed_from_step_to_step() -> None:
    lengths = some_lengths(3000)
    order = Order(lengths, size=BatchSize(samples=16), samples=3000, seed=1)
    means = [lengths[order.batch(step)].mean() for step in range(order.steps)]
    half = len(means) // 2
    assert abs(np.mean(means[:half]) - np.mean(means[half:])) < 6
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


@pytest.mark.parametrize("steps", [1, 7, 25, 60])
def test_seen_is_what_the_steps_saw(steps: int) -> None:
    order = Order(some_lengths(200), size=BatchSize(samples=8), samples=480, seed=3)
    expected = np.zeros(200, dtype=bool)
    for step in range(steps):
        expected[order.batch(step)] = True
    assert np.array_equal(order.seen(steps), expected)
    assert np.array_equal(unpack_rows(pack_rows(expected)), expected)


def test_batches_are_padded_to_their_own_longest() -> None:
    examples = Examples.from_rows([[1, 2, 3], [4], [5, 6]], columns={"labels": np.array([0, 1, 2])})
    batch = examples.batch(np.array([1, 2]), pad_id=9)
    assert batch.ids.tolist() == [[4, 9], [5, 6]]
    assert batch.mask.tolist() == [[1, 0], [1, 1]]
    assert batch.columns["labels"].tolist() == [1, 2]
    renumbered = examples.renumbered(np.arange(10, dtype=np.int32)[::-1].copy())
    assert renumbered.batch(np.array([0]), pad_id=9).ids.tolist() == [[8, 7, 6]]
    assert examples.used(np.array([True, False, True])).tolist() == [1, 2, 3, 5, 6]


def test_scoring_order_covers_all_longest_first() -> None:
    lengths = some_lengths(50)
    batches = list(by_length(lengths, BatchSize(samples=8)))
    assert sorted(np.concatenate(batches)) == list(range(50))
    assert lengths[batches[0]].min() >= lengths[batches[-1]].max()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(16, 400), st.integers(1, 600), st.booleans())
def test_a_budget_of_tokens_is_kept_and_every_example_is_seen(
    count: int, tokens: int, samples: int, padded: bool
) -> None:
    lengths = some_lengths(count)
    order = Order(lengths, size=BatchSize(samples=1, tokens=tokens, padded=padded), samples=samples, seed=2)
    batches = [order.batch(step) for step in range(order.steps)]
    assert sum(len(batch) for batch in batches) == samples
    times = np.bincount(np.concatenate(batches), minlength=count)
    assert times.max() - times.min() <= 1
    for batch in batches:
        taken = lengths[batch].max() * len(batch) if padded else lengths[batch].sum()
        assert taken <= tokens or len(batch) == 1


def test_a_budget_of_tokens_is_a_function_of_the_step_and_well_used() -> None:
    lengths = np.random.default_rng(4).integers(1, 200, size=2000)
    size = BatchSize(samples=1, tokens=2048)
    order = Order(lengths, size=size, samples=5000, seed=3)
    seen = {step: order.batch(step).tolist() for step in range(order.steps)}
    again = Order(lengths, size=size, samples=5000, seed=3)
    assert {step: again.batch(step).tolist() for step in reversed(range(again.steps))} == seen
    taken = [lengths[batch].max() * len(batch) for batch in seen.values()]
    assert np.mean(taken) > 0.85 * 2048
    assert padding_share(order, lengths, order.steps) < 0.03
    # Epochs of 2,000, 2,000 and 1,000 examples: what each example was seen before the epoch's end.
    assert sum(map(len, list(seen.values())[: order.steps_per_epoch])) == 2000


def test_a_budget_below_the_longest_example_takes_it_alone() -> None:
    lengths = np.array([3, 50, 4])
    order = Order(lengths, size=BatchSize(samples=1, tokens=16), samples=3, seed=0)
    assert sorted(order.batch(step).tolist() for step in range(order.steps)) in ([[0, 2], [1]], [[1], [2, 0]])


def test_packing_is_refused_where_it_cannot_be() -> None:
    assert choose_packing(True, packable=True)
    assert not choose_packing("auto", packable=True)
    with pytest.raises(UserError, match=r"packing is true.*causal"):
        choose_packing(True, packable=False)
