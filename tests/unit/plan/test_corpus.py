"""How many training rows are expected: as many as the data room, run on the same rows, leaves and makes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danlu.core.errors import DataError
from danlu.data.balance.config import BalanceConfig
from danlu.data.balance.rows import oversample, undersample
from danlu.data.config import DataConfig
from danlu.data.earlier import SIDES
from danlu.data.mix.config import MixConfig
from danlu.data.mix.shares import plan_mix, uses
from danlu.plan.corpus import Corpus, expected, mixed, oversampled, read_sides, undersampled
from danlu.plan.reading import Look, look
from tests.unit.data.test_stage import PARTS, card_of, distinct, make, rows_of, write

MIXES: list[dict[str, Any]] = [
    {"weights": [1.0, 3.0, 0.0]},
    {"weights": [1.0, 1.0, 1.0], "most_repeats": 2},
    {"weights": [5.0, 1.0, 1.0], "keep_all": True},
    {"temperature": 3.33},
    {"temperature": 1.0},
]


@pytest.mark.parametrize("asked", MIXES)
@pytest.mark.parametrize("sizes", [[600, 300, 41], [7, 1_000, 0]])
def test_sources_are_used_as_often_as_the_data_room_uses_them(asked: dict[str, Any], sizes: list[int]) -> None:
    config = MixConfig.model_validate(asked)
    counts = np.array(sizes)
    there = plan_mix(config, counts)
    np.testing.assert_allclose(mixed(config, counts.astype(float)), there.times)
    source = np.repeat(np.arange(3), counts)
    rows = uses(there, source, np.ones(len(source), dtype=np.int64), np.arange(len(source), dtype=np.uint64)).sum()
    assert (mixed(config, counts.astype(float)) * counts).sum() == pytest.approx(rows, abs=3)


def test_a_mix_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        mixed(MixConfig(weights=[0.0, 1.0]), np.array([10.0, 0.0]))


@pytest.mark.parametrize("target", ["largest", "mean", "median", "square_root"])
@pytest.mark.parametrize("sizes", [[100, 30, 3], [17, 17], [1, 250]])
def test_classes_come_to_the_sizes_that_the_data_room_gives_them(target: Any, sizes: list[int]) -> None:
    labels = [str(place) for place, size in enumerate(sizes) for _ in range(size)]
    config = BalanceConfig(target=target)

    def counted(chosen: Any) -> list[int]:
        counts = Counter(labels[row] for row in chosen.tolist())
        return [counts[str(place)] for place in range(len(sizes))]

    assert oversampled(config, np.array(sizes, dtype=float)).tolist() == counted(oversample(labels, target, 1))
    assert undersampled(config, np.array(sizes, dtype=float)).tolist() == counted(undersample(labels, target, 1))


def seen(paths: list[Path], *, extends: Path | None = None, **data: Any) -> tuple[Look, Corpus]:
    more = {} if extends is None else {"extends": "corpus://before"}
    config = DataConfig.model_validate({"sources": [{"path": str(path)} for path in paths], **more, **data})
    found = look(
        config, paths, columns=("text", "label"), sides=None if extends is None else read_sides(extends / SIDES)
    )
    return found, expected(config, found, classify=True)


def of_parts(out: Path) -> dict[str, int]:
    return {part: len(rows_of(out, part)) for part in PARTS}


def test_a_mix_has_as_many_training_rows_as_planned(tmp_path: Path) -> None:
    rows = distinct(450)
    paths = [write(tmp_path / "a.jsonl", rows[:300]), write(tmp_path / "b.jsonl", rows[300:])]
    _, plain = seen(paths)
    _, corpus = seen(paths, mix={"weights": [1, 3]})
    made = of_parts(make(tmp_path / "made", paths, mix={"weights": [1, 3]}).out)
    assert plain.train == 360
    assert corpus.train == pytest.approx(made["train"], rel=0.08)
    assert made["train"] > 1.6 * plain.train
    assert (corpus.validation, corpus.test) == (45, 45)
    assert corpus.used.sum(axis=1).tolist() == pytest.approx([160, 480], rel=0.1)


def test_balanced_and_augmented_rows_are_counted(tmp_path: Path) -> None:
    rows = distinct(400)
    rows = [row for number, row in enumerate(rows) if row["label"] == "good" or number % 8 == 1]
    paths = [write(tmp_path / "a.jsonl", rows)]
    asked: dict[str, Any] = {
        "balance": {"method": "oversample"},
        "augment": {"operations": [{"kind": "word_swap", "share": 0.5}], "copies": 2, "labels": ["bad"]},
    }
    _, corpus = seen(paths, **asked)
    made = card_of(make(tmp_path / "up", paths, **asked).out)
    assert corpus.train == pytest.approx(made["splits"]["train"]["rows"] + made["added"]["rows"], rel=0.06)
    assert any("at most" in note for note in corpus.notes)
    _, corpus = seen(paths, balance={"method": "undersample"})
    assert corpus.used.sum(axis=0).tolist() == pytest.approx([40.0, 40.0], abs=1)


def test_rows_of_an_earlier_corpus_keep_their_sides(tmp_path: Path) -> None:
    rows = distinct(300)
    old, whole = write(tmp_path / "old.jsonl", rows[:200]), write(tmp_path / "all.jsonl", rows)
    split = {"split": {"validation": 0.3, "test": 0.3}}
    before = make(tmp_path / "1", [old], **split).out
    found, corpus = seen([whole], extends=before)
    assert dict(zip(PARTS, found.known, strict=True)) == of_parts(before)
    there = of_parts(before)
    assert corpus.train == round(there["train"] + 0.8 * 100), "the recipe's shares are for the 100 new rows alone"
    assert corpus.test == round(there["test"] + 0.1 * 100)
    assert any("200 are known" in note for note in corpus.notes)


def test_a_file_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sides.parquet").write_text("no")
    with pytest.raises(DataError, match=r"not the sides\.parquet of a corpus"):
        read_sides(tmp_path / "sides.parquet")


def test_turns_that_stand_a_row_each_are_one_conversation(tmp_path: Path) -> None:
    turns = [
        {"talk": f"t{talk}", "who": who, "text": f"{who} says {talk} {turn}"}
        for talk in range(7)
        for turn in range(2)
        for who in ("customer", "agent")
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8")
    asked: dict[str, Any] = {"speaker": "who", "conversation": "talk", "label": None}
    config = DataConfig.model_validate({"sources": [{"path": str(path)}], **asked})
    found = look(config, [path], columns=("text", "turns"))
    assert (found.rows, found.distinct) == (7, 7)
    assert [turn["role"] for turn in found.sample[0].turns or []] == ["user", "assistant"] * 2
    assert found.sample[0].text == "customer says 0 0\nagent says 0 0\ncustomer says 0 1\nagent says 0 1"
