"""The rows far from all others are flagged, whatever the order of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from danlu.core.errors import DataError
from danlu.data.filters import outliers as module
from danlu.data.filters.config import OutlierFilter
from danlu.data.filters.outliers import TextVectors, distances, outliers, text_outliers


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
    vectors, told = TextVectors(texts, dimensions=8).of(texts)
    assert told.tolist() == [1.0] * 31
    assert vectors.shape == (31, 8)
    assert np.flatnonzero(outliers(vectors, share=1 / 31, neighbours=4)).tolist() == [30]
    assert TextVectors(["", ""]).of(["", ""])[0].shape == (2, 1)
    # Half of the n-grams of a text that are known: "ab" has 9, of which "cb" has 3 (" ", "b", "b ") and " " again.
    assert TextVectors(["ab", "ab"]).of(["cb"])[1] ** 2 == pytest.approx(4 / 9)


@pytest.mark.parametrize(("references", "characters"), [(20_000, 8_000_000), (40, 8_000_000), (20_000, 800)])
def test_texts_stream_by_and_are_compared_with_some(
    references: int, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REFERENCES", references)
    monkeypatch.setattr(module, "MOST_CHARACTERS", characters)
    texts = [f"酒店第{number}间房很干净，服务员的态度也好，早餐不错" for number in range(120)]
    texts[17], texts[90] = "import numpy as np; print(np.zeros(3))", "ζξφ ψωλ θηδ σρπ"
    asked: list[int] = []

    def stream(size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
        for start in range(0, len(texts), size):
            asked.append(start)
            yield np.arange(start, min(start + size, len(texts))), texts[start : start + size]

    lengths, draws = np.array(list(map(len, texts))), np.random.default_rng(3).integers(0, 2**63, 120).astype(np.uint64)
    config = OutlierFilter(share=2 / 120, neighbours=3, dimensions=20)
    for size in (7, 120):
        flags = text_outliers(lambda size=size: stream(size), lengths, draws, config, 1)  # type: ignore[misc]
        assert np.flatnonzero(flags).tolist() == [17, 90]
    assert len(asked) == 2 * (18 + 1), "twice through the texts"
    nothing = text_outliers(lambda: iter(()), lengths[:0], draws[:0], config, 1)
    assert not len(nothing)
