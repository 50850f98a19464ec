"""Validation picks a checkpoint by macro F1 and the test reports it: both must mean the same by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.learning.objectives import classes
from danlu.metrics.scores import classification, count_features, macro_f1

_CLASSES = 5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, _CLASSES - 1), st.integers(0, _CLASSES - 1)), min_size=1, max_size=40))
def test_learning_and_metrics_agree_also_where_classes_are_absent(rows: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(rows, dtype=np.int64).T
    ours = classes.macro_f1(truth, predicted, _CLASSES)
    counts = np.asarray(count_features(predicted, truth, _CLASSES).sum(axis=0), dtype=np.float64)
    assert ours == pytest.approx(float(macro_f1(counts).ravel()[0]), abs=1e-12)
    labels = [f"label {k}" for k in range(_CLASSES)]
    found = classification(np.eye(_CLASSES)[predicted], truth, labels, resamples=0)
    assert ours == pytest.approx(found["scores"]["macro_f1"]["value"], abs=1e-12)
