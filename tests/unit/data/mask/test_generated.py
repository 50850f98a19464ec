"""A small run of `benchmarks/mask.py`: templates that were not looked at while the rules were tuned, a fixed seed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from danlu.data.mask.config import MaskConfig
from danlu.data.mask.masker import Masker
from danlu.data.mask.view import View

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
import mask_texts

MASKER = Masker(MaskConfig())
HELD_OUT = 1


def found(text: str) -> set[tuple[str, int, int]]:
    view = View((text,))
    return {
        (span.kind, piece.start, piece.end) for span in MASKER.find(view) for piece in view.pieces(span.start, span.end)
    }


@pytest.mark.parametrize("language", ["zh", "en"])
def test_values_with_a_checksum_or_a_form_are_found_exactly(language: str) -> None:
    right = missed = wrong = 0
    for text in mask_texts.rule_texts(language, 3_000, HELD_OUT, seed=11):
        values, hits = set(text.values), found(text.text)
        right += len(values & hits)
        missed += len(values - hits)
        wrong += len(hits - values)
    assert right > 2_900
    assert right / (right + missed) >= 0.999
    assert right / (right + wrong) >= 0.995


def test_order_numbers_and_times_are_not_hit() -> None:
    assert [text for text in mask_texts.order_texts(3_000, seed=12) if found(text)] == []


@pytest.mark.parametrize(("language", "floor"), [("zh", 0.95), ("en", 0.85)])
def test_addresses_are_found(language: str, floor: float) -> None:
    texts = list(mask_texts.address_texts(language, 400, HELD_OUT, seed=13))
    exact = sum(set(text.values) == {hit for hit in found(text.text) if hit[0] == "address"} for text in texts)
    assert exact / len(texts) >= floor
