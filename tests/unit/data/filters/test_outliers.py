"""The rows far from all others are flagged, whatever the order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from danlu.core.errors import DataError
from danlu.data.filters import outliers as module
from danlu.data.filters.outliers import distances, outliers, vectors_of


def _cloud(rows: int = 200) -> np.ndarray:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(rows, 16)).astype(np.float32) * 0.05
    vectors[:, 0] += 1.0
    vectors[:3] = -vectors[:3] + generator.normal(size=(3, 16)) * 2
    return vectors


def test_the_planted_rows_are_flagged() -> None:
    flags = outliers(_cloud(), share=3 / 200)
    assert np.flatnonzero(flags).tolist() == [0, 1, 2]


def test_order_does_not_matter() -> None:
    vectors = _cloud()
    order = np.random.default_rng(1).permutation(len(vectors))
    assert (outliers(vectors[order], 0.05) == outliers(vectors, 0.05)[order]).all()


def test_many_rows_are_compared_with_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REFERENCES", 50)
    vectors = _cloud()
    flags = outliers(vectors, share=3 / 200)
    assert np.flatnonzero(flags).tolist() == [0, 1, 2]
    order = np.random.default_rng(1).permutation(len(vectors))
    assert (outliers(vectors[order], 0.05) == outliers(vectors, 0.05)[order]).all()


def test_distance_is_the_mean_of_the_nearest() -> None:
    angles = np.deg2rad([0, 60, 90])
    found = distances(np.stack([np.cos(angles), np.sin(angles)], axis=1), neighbours=2)
    # 1 - cos of 60 and 90; of 60 and 30; of 90 and 30 degrees.
    expected = [(0.5 + 1.0) / 2, (0.5 + 0.133975) / 2, (1.0 + 0.133975) / 2]
    assert found == pytest.approx(expected, abs=1e-5)


def test_equal_rows_are_never_flagged() -> None:
    assert not outliers(np.ones((20, 4)), share=0.5).any()
    assert not outliers(np.ones((1, 4)), share=0.5).any()


def test_vectors_that_are_not_finite_are_told() -> None:
    vectors = _cloud()
    vectors[7, 3] = np.nan
    with pytest.raises(DataError, match="1 of 200 vectors"):
        outliers(vectors)
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        outliers(np.ones(3))


def test_texts_have_vectors_without_a_model() -> None:
    texts = [
        f"酒店房间很干净，服务员态度{word}好，早餐也不错" for word in ("很", "非常", "挺", "还算", "特别", "不太")
    ] * 5
    texts.append("import numpy as np; print(np.zeros(3))")
    vectors = vectors_of(texts, dimensions=8)
    assert vectors.shape == (31, 8)
    assert np.flatnonzero(outliers(vectors, share=1 / 31, neighbours=4)).tolist() == [30]
    assert vectors_of([]).shape == (0, 1)
    assert vectors_of(["", ""]).shape == (2, 1)
