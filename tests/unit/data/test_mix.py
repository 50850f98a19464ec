"""The mix of sources: shares, repeats, what is left out, and that held-out rows are none of its business."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.data.config import DataConfig
from danlu.data.mix.config import MixConfig
from danlu.data.mix.shares import plan_mix, uses
from tests.unit.data.test_stage import PARTS, card_of, distinct, make, rows_of, write


def config(**values: Any) -> MixConfig:
    return MixConfig.model_validate(values)


def planned(sizes: list[int], **values: Any) -> Any:
    return plan_mix(config(**values), np.array(sizes))


def test_weights_are_reached_by_repeating_small_sources_and_sampling_large_ones() -> None:
    plan = planned([1_000, 100], weights=[1.0, 1.0])
    assert plan.times.tolist() == [0.4, 4.0]
    assert plan.reached.tolist() == [0.5, 0.5]
    assert planned([1_000, 100], weights=[10.0, 1.0]).times.tolist() == [1.0, 1.0], "nothing more than it takes"
    assert planned([1_000, 500], weights=[1.0, 1.0]).times.tolist() == [1.0, 2.0]
    assert planned([1_000, 100], weights=[1.0, 0.0]).times.tolist() == [1.0, 0.0]
    assert planned([1_000, 0, 100], weights=[1.0, 5.0, 1.0]).wanted.tolist() == [0.5, 0.0, 0.5]


def test_what_cannot_be_reached_without_leaving_rows_out_is_said() -> None:
    plan = planned([1_000, 100], weights=[1.0, 1.0], keep_all=True)
    assert plan.times.tolist() == [1.0, 4.0]
    assert plan.wanted.tolist() == [0.5, 0.5]
    assert plan.reached.tolist() == pytest.approx([1_000 / 1_400, 400 / 1_400])


def test_a_temperature_evens_sizes_out() -> None:
    natural = planned([900, 100], temperature=1.0)
    assert natural.times.tolist() == pytest.approx([1.0, 1.0])
    # n ** (1 / 2): 30 to 10, so three quarters and one quarter (XLM-R, arXiv:1911.02116, with alpha 0.5).
    assert planned([900, 100], temperature=2.0).wanted.tolist() == pytest.approx([0.75, 0.25])
    assert planned([900, 100], temperature=1e9).wanted.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.lists(st.floats(0.1, 10.0), min_size=4, max_size=4),
    st.integers(1, 5),
    st.booleans(),
)
def test_no_row_is_used_too_often_and_shares_come_out(
    sizes: list[int], weights: list[float], most: int, keep_all: bool
) -> None:
    plan = planned(sizes, weights=weights[: len(sizes)], most_repeats=most, keep_all=keep_all)
    source = np.repeat(np.arange(len(sizes)), sizes)
    hashes = np.random.default_rng(1).integers(0, 2**63, len(source)).astype(np.uint64)
    times = uses(plan, source, np.ones(len(source), dtype=np.int64), hashes)
    assert times.max() <= most
    assert times.min() >= int(keep_all)
    used = np.bincount(source, weights=times)
    assert np.abs(used - plan.times * np.array(sizes)).max() <= 1.0
    # The same rows in another order are used as often.
    order = np.random.default_rng(2).permutation(len(source))
    again = uses(plan, source[order], np.ones(len(source), dtype=np.int64), hashes[order])
    assert (again == times[order]).all()


def test_when_rows_are_added_few_others_change() -> None:
    draw = np.random.default_rng(3)
    hashes = draw.integers(0, 2**63, 2_100).astype(np.uint64)
    source = np.array([0] * 1_000 + [1] * 1_000 + [1] * 100)
    ones = np.ones(2_100, dtype=np.int64)
    before = uses(planned([1_000, 1_000], weights=[1.0, 2.0]), source[:2_000], ones[:2_000], hashes[:2_000])
    after = uses(planned([1_000, 1_100], weights=[1.0, 2.0]), source, ones, hashes)
    assert (before != after[:2_000]).mean() < 0.1


def test_the_corpus_has_the_shares_in_train_alone(tmp_path: Path) -> None:
    rows = distinct(400)
    large, small = write(tmp_path / "large.jsonl", rows[:340]), write(tmp_path / "small.jsonl", rows[340:])
    plain = make(tmp_path / "plain", [large, small])
    mixed = make(tmp_path / "mixed", [large, small], mix={"weights": [1.0, 1.0]})
    for part in PARTS[1:]:
        assert rows_of(mixed.out, part) == rows_of(plain.out, part)
    found = rows_of(mixed.out, "train")
    counts = Counter(row["source"] for row in found)
    assert abs(counts["large.jsonl"] - counts["small.jsonl"]) <= 1
    assert max(Counter(row["content"] for row in found).values()) == 4
    real = {row["id"] for row in found if row["parent"] is None}
    assert {row["parent"] for row in found if row["parent"] is not None} <= real
    assert len({row["id"] for row in found}) == len(found)
    card = card_of(mixed.out)
    large_row, small_row = card["mix"]["sources"]
    assert (large_row["name"], small_row["name"]) == ("large.jsonl", "small.jsonl")
    assert (large_row["reached"], small_row["reached"], small_row["times"]) == (0.5, 0.5, 4.0)
    (step,) = [step for step in card["funnel"] if step["step"] == "mix"]
    assert step["dropped"] == {"mixed_out": len(rows_of(plain.out, "train")) - len(real)}
    assert sum(row["reason"] == "mixed_out" for row in rows_of(mixed.out, "rejected")) == step["dropped"]["mixed_out"]
    by_text = make(tmp_path / "text", [large, small], mix={"weights": [3.0, 1.0], "unit": "characters"})
    lengths: Counter[str] = Counter()
    for row in rows_of(by_text.out, "train"):
        lengths[row["source"]] += len(row["text"])
    assert lengths["large.jsonl"] / lengths.total() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ({}, "either weights .* or a temperature"),
        ({"weights": [1.0], "temperature": 2.0}, "either weights .* or a temperature"),
        ({"weights": [0.0, 0.0]}, "not all may be 0"),
        ({"weights": [-1.0, 1.0]}, "none may be below 0"),
        ({"weights": [1.0]}, "1 of 2 sources"),
        ({"temperature": 0.5}, "greater than or equal to 1"),
        ({"weights": [1.0, 0.0], "keep_all": True}, "leaves a source out"),
    ],
)
def test_nonsense_is_refused_with_the_recipe(mix: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataConfig.model_validate({"sources": [{"path": "a"}, {"path": "b"}], "mix": mix})


def test_a_mix_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        planned([0, 10], weights=[1.0, 0.0])
