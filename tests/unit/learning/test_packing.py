"""Rows are filled by best fit; no token is lost or doubled; documents that fit in a row are whole."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.learning.packing import Bins, pack

LENGTHS = st.lists(st.integers(0, 70), max_size=60)


def one_by_one(lengths: list[int], capacity: int) -> list[int]:
    """Best-fit decreasing as the textbook has it, a document at a time: how full each bin is, sorted."""
    pieces = [min(capacity, length - begin) for length in lengths for begin in range(0, length, capacity)]
    bins: list[int] = []
    for size in sorted(pieces, reverse=True):
        fitting = [number for number, filled in enumerate(bins) if filled + size <= capacity]
        if fitting:
            bins[max(fitting, key=lambda number: bins[number])] += size
        else:
            bins.append(size)
    return sorted(bins)


def assert_all_tokens_once(bins: Bins, lengths: list[int], capacity: int) -> None:
    seen = [np.zeros(length, dtype=int) for length in lengths]
    for one in bins:
        assert 0 < one.starts[-1] <= capacity
        for document, begin, end in zip(one.documents, one.begins, one.ends, strict=True):
            assert begin < end
            seen[document][begin:end] += 1
    assert all((times == 1).all() for times in seen)


@settings(max_examples=120, deadline=None)
@given(LENGTHS, st.integers(1, 40))
def test_as_full_as_best_fit_piece_by_piece(lengths: list[int], capacity: int) -> None:
    bins = pack(lengths, capacity)
    assert sorted(bins.lengths.tolist()) == one_by_one(lengths, capacity)
    assert [int(one.starts[-1]) for one in bins] == bins.lengths.tolist()
    assert_all_tokens_once(bins, lengths, capacity)


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.integers(1, 40))
def test_only_what_is_longer_than_a_row_is_cut(lengths: list[int], capacity: int) -> None:
    bins = pack(lengths, capacity)
    pieces = np.bincount(bins.documents, minlength=len(lengths))
    assert pieces.tolist() == [-(-length // capacity) for length in lengths]
    assert bins.cut_documents == sum(length > capacity for length in lengths)


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.integers(1, 40))
def test_end_to_end_keeps_the_order_and_pads_the_last_row_alone(lengths: list[int], capacity: int) -> None:
    bins = pack(lengths, capacity, cut=True)
    assert_all_tokens_once(bins, lengths, capacity)
    assert len(bins) == -(-sum(lengths) // capacity)
    assert all(length == capacity for length in bins.lengths[:-1])
    pieces = list(zip(bins.documents.tolist(), bins.begins.tolist(), strict=True))
    assert pieces == sorted(pieces)
    assert bins.cut_documents == sum(times > 1 for times in np.bincount(bins.documents, minlength=len(lengths)))


def test_a_worked_example() -> None:
    bins = pack([3, 12, 5, 0, 7, 2], 10)
    found = [list(zip(one.documents.tolist(), one.begins.tolist(), one.ends.tolist(), strict=True)) for one in bins]
    assert found == [[(1, 0, 10)], [(4, 0, 7), (0, 0, 3)], [(2, 0, 5), (1, 10, 12), (5, 0, 2)]]
    assert bins[2].starts.tolist() == [0, 5, 7, 9]
    assert bins[-1].documents.tolist() == bins[2].documents.tolist()
    assert bins.cut_documents == 1
    assert bins.padding_share == pytest.approx(1 / 30)


def test_fewer_documents_are_cut_for_hardly_more_rows() -> None:
    lengths = np.random.default_rng(0).lognormal(5.5, 1.1, size=20_000).astype(int)
    best, end_to_end = pack(lengths, 2048), pack(lengths, 2048, cut=True)
    assert len(best) <= 1.001 * len(end_to_end)
    assert best.cut_documents == (lengths > 2048).sum()
    assert best.cut_documents < 0.25 * end_to_end.cut_documents


def test_nothing_to_pack() -> None:
    for cut in (False, True):
        for lengths in ([], [0, 0]):
            bins = pack(lengths, 8, cut=cut)
            assert (len(bins), list(bins), bins.padding_share, bins.lengths.tolist()) == (0, [], 0.0, [])


def test_the_same_lengths_give_the_same_rows() -> None:
    lengths = np.random.default_rng(1).integers(1, 500, size=3000)
    first, second = pack(lengths, 512), pack(lengths.astype(np.uint16), 512)
    assert (first.documents == second.documents).all() and (first.bounds == second.bounds).all()


def test_a_million_documents_take_seconds() -> None:
    lengths = np.random.default_rng(0).lognormal(5.5, 1.1, size=1_000_000).astype(int)
    started = time.process_time()
    bins = pack(lengths, 4096)
    assert time.process_time() - started < 10
    assert bins.lengths.sum() == lengths.sum()
    assert bins.padding_share < 0.001


@pytest.mark.parametrize("lengths", [[1.5], [-1], [[1, 2]], ["a"]])
def test_lengths_that_are_none(lengths: list[object]) -> None:
    with pytest.raises(ValueError, match="whole numbers of at least 0"):
        pack(lengths, 8)  # type: ignore[arg-type]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        pack([1], 0)
    with pytest.raises(IndexError, match="no bin 1: there are 1"):
        pack([1], 8)[1]
