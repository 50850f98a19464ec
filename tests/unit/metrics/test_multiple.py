from __future__ import annotations

import numpy as np
import pytest

from danlu.metrics.multiple import holm


def test_holm_by_hand() -> None:
    # 0.01 * 4; 0.02 * 3; 0.03 * 2, which may not be below the one before; 0.2 * 1.
    assert holm(np.array([0.03, 0.01, 0.2, 0.02])) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm(np.array([0.7, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([0.04])).tolist() == [0.04]
    assert holm(np.array([])).tolist() == []
    assert holm(np.zeros((3, 0))).shape == (3, 0)


def test_of_many_true_null_hypotheses_any_is_rejected_at_the_level_at_most() -> None:
    random = np.random.default_rng(1)
    alarms = holm(random.random((4_000, 8))).min(axis=1) < 0.05
    plain = [random.random(8).min() < 0.05 for _ in range(4_000)]
    assert np.mean(alarms) < 0.05 + 3 * (0.05 * 0.95 / 4_000) ** 0.5
    assert np.mean(plain) > 0.25
