from __future__ import annotations

import numpy as np
import pytest

from danlu.data.labels.suspects import FOLDS, LEAST_CLUSTERS, folds, suspects
from danlu.examples import tiny_rows
from tests.unit.data.labels.example import other

pytest.importorskip("cleanlab")


def noisy(count: int = 400, wrong_every: int = 20) -> tuple[list[str], list[str], set[int]]:
    rows = tiny_rows(count)
    wrong = set(range(0, count, wrong_every))
    labels = [other(row["label"]) if number in wrong else row["label"] for number, row in enumerate(rows)]
    return [row["text"] for row in rows], labels, wrong


def test_flipped_labels_are_found() -> None:
    texts, labels, wrong = noisy()
    found = suspects(texts, labels, texts).suspects
    top = [suspect.row for suspect in found[: len(wrong)]]
    assert len(wrong & set(top)) >= 0.8 * len(wrong)
    assert [suspect.quality for suspect in found] == sorted(suspect.quality for suspect in found)
    for suspect in found:
        assert suspect.given == labels[suspect.row]
        assert suspect.suggested != suspect.given
        assert 0.0 <= suspect.quality <= 1.0


def test_the_order_of_rows_does_not_matter() -> None:
    texts, labels, _ = noisy(200)
    order = np.random.default_rng(1).permutation(len(texts)).tolist()
    here = suspects(texts, labels, texts).suspects
    there = suspects([texts[i] for i in order], [labels[i] for i in order], [texts[i] for i in order]).suspects
    assert [(s.row, s.suggested, s.quality) for s in here] == [(order[s.row], s.suggested, s.quality) for s in there]


def test_copies_of_a_wrong_label_do_not_confirm_it() -> None:
    # Every wrong row comes three times, nearly alike: apart, two of them would teach the model the third's label.
    texts, labels, wrong = noisy()
    copies = [(f"{texts[row]}{mark}", labels[row], texts[row]) for row in sorted(wrong) for mark in ("!", "!!", "?")]
    every = [*zip(texts, labels, texts, strict=True), *copies]
    by_cluster = suspects([t for t, _, _ in every], [la for _, la, _ in every], [c for _, _, c in every])
    alone = suspects([t for t, _, _ in every], [la for _, la, _ in every], [t for t, _, _ in every])
    found = {suspect.row for suspect in by_cluster.suspects} & wrong
    assert len(found) > len({suspect.row for suspect in alone.suspects} & wrong)
    assert len(found) >= 0.7 * len(wrong)


def test_rare_labels_are_not_judged_and_counted() -> None:
    texts, labels, _ = noisy(200)
    rare = [f"something else entirely {number}" for number in range(LEAST_CLUSTERS - 1)]
    judged = suspects([*texts, *rare], [*labels, *["odd"] * len(rare)], [*texts, *rare])
    assert judged.not_judged == {"odd": len(rare)}
    assert all(suspect.row < len(texts) for suspect in judged.suspects)
    assert all(suspect.suggested != "odd" for suspect in judged.suspects)


def test_one_label_leaves_nothing_to_judge() -> None:
    judged = suspects(["a", "b"], ["x", "x"], ["a", "b"])
    assert judged.suspects == []
    assert judged.not_judged == {"x": 2}


def test_rows_that_disagree_in_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts, 1 labels, 2 clusters"):
        suspects(["a", "b"], ["x"], ["a", "b"])


def test_folds_keep_clusters_whole_and_spread_labels() -> None:
    draw = np.random.default_rng(0)
    clusters = [f"c{number}" for number in draw.integers(120, size=500)]
    label_of = {
        cluster: "rare" if number % 12 == 0 else "common" for number, cluster in enumerate(sorted(set(clusters)))
    }
    labels = [label_of[cluster] for cluster in clusters]
    fold = folds(labels, clusters)
    for cluster in set(clusters):
        assert len({fold[row] for row, name in enumerate(clusters) if name == cluster}) == 1
    for label in ("rare", "common"):
        counts = [
            len({c for c, la, f in zip(clusters, labels, fold, strict=True) if la == label and f == k})
            for k in range(FOLDS)
        ]
        assert max(counts) - min(counts) <= 1
    assert folds(labels, clusters, seed=2).tolist() != fold.tolist()
