"""Folds of a corpus: whose rows are where, what is refused, and what the spread is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from pydantic import ValidationError

from danlu.core.artifact import Artifact
from danlu.core.config import view
from danlu.core.errors import DataError
from danlu.examples import tiny_recipe
from danlu.folds.config import FoldsStage
from danlu.folds.corpus import count_folds, write_fold
from danlu.folds.stage import _road, spread_of
from danlu.recipe import Recipe
from danlu.stages import stages_of
from tests.support import as_artifact

SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("pair", pa.string()), ("fold", pa.int8()), ("operation", pa.string())]
)

#: What one row of fold 0 says.
SAID = "the parcel came on Monday and the lid was broken in two"


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


_CARD = {"labels": ["a", "b"], "heads": [{"name": "mood"}], "naive": 1, "duplicates": {"threshold": 0.8}}


def corpus(folder: Path, *, folds: int | None = 3, validation: int = 6, said_in: str = "text") -> Artifact:
    """Rows whose ids say part and fold; the test part is in no fold."""
    for part, rows in (("train", 12), ("validation", validation), ("test", 4)):
        of = [None if part == "test" or folds is None else row % folds for row in range(rows)]
        names = [f"{row:02}-{part}-{fold}" for row, fold in enumerate(of)]
        written = [{"id": name, "text": f"row {name}", "fold": fold} for name, fold in zip(names, of, strict=True)]
        if part == "train":
            written[0] |= {said_in: SAID}
        (folder / part).mkdir(parents=True)
        write_rows(folder / part / "part-0.parquet", written[:5])  # a part may be several files
        write_rows(folder / part / "part-5.parquet", written[5:])
    (folder / "card.json").write_text(json.dumps(_CARD))
    return as_artifact(folder, "data")


def ids(folder: Path) -> dict[str, list[str]]:
    return {part: parquet.read_table(folder / part)["id"].to_pylist() for part in ("train", "validation", "test")}


def test_each_row_is_held_out_once_and_then_nowhere_else(tmp_path: Path) -> None:
    whole = corpus(tmp_path / "corpus")
    assert count_folds(whole) == 3
    held_out = []
    for fold in range(3):
        rows = write_fold(whole, fold, tmp_path / str(fold))
        found = ids(tmp_path / str(fold))
        assert rows == {"train": 8, "validation": 4, "test": 6} == {part: len(each) for part, each in found.items()}
        assert all(name.endswith(f"-{fold}") for name in found["test"])
        for part in ("train", "validation"):
            assert all(f"-{part}-" in name and not name.endswith(f"-{fold}") for name in found[part])
            assert found[part] == sorted(found[part]), "in the order in which the corpus has them"
        assert found["test"] == sorted(found["test"])
        held_out += found["test"]
    everything = ids(whole.folder)
    assert sorted(held_out) == sorted(everything["train"] + everything["validation"])
    assert not set(held_out) & set(everything["test"]), "the corpus's own test rows stay untouched"
    card = json.loads((tmp_path / "0" / "card.json").read_text(encoding="utf-8"))
    assert card["labels"] == ["a", "b"] and "naive" not in card
    assert card["heads"] == [{"name": "mood"}], "of several targets the later stages ask"


def add(whole: Artifact, *rows: tuple[str, int, str, str]) -> None:
    """Rows that the data stage added for training: id, fold, what they say, and how they were made."""
    found = [dict(zip(("id", "fold", "text", "operation"), row, strict=True)) for row in rows]
    write_rows(whole.folder / "train" / "part-added-00000.parquet", found)


def test_rows_that_were_added_for_training_are_no_evidence(tmp_path: Path) -> None:
    whole = corpus(tmp_path / "corpus")
    add(whole, ("99-train-0", 0, "a row", "repeat"), ("99-train-1", 1, "another row", "eda"))
    write_fold(whole, 0, tmp_path / "0")
    found = ids(tmp_path / "0")
    assert "99-train-0" not in found["train"] + found["validation"] + found["test"]
    assert "99-train-1" in found["train"]


@pytest.mark.parametrize("said_in", ["text", "pair"])
def test_what_was_added_elsewhere_does_not_say_what_is_held_out(tmp_path: Path, said_in: str) -> None:
    whole = corpus(tmp_path / "corpus", said_in=said_in)
    texts = [SAID, SAID.upper(), f"{SAID}.", "another parcel came in June, whole and dry", "row 03-train-0"]
    add(whole, *((f"9{place}-train-1", 1, text, "eda") for place, text in enumerate(texts)))

    def added(fold: int) -> list[str]:
        write_fold(whole, fold, tmp_path / str(fold))
        return [name for name in ids(tmp_path / str(fold))["train"] if name.startswith("9")]

    assert added(0) == ["93-train-1"], "equal, in capitals, with a full stop, and equal to another row go"
    assert len(added(2)) == 5, "where fold 0 is learned from, they stay"


def test_a_corpus_that_cannot_be_dealt_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Set data\.split\.folds, such as 5"):
        count_folds(corpus(tmp_path / "none", folds=None))
    with pytest.raises(DataError, match="Fold 1 leaves no rows for validation"):
        write_fold(corpus(tmp_path / "few", validation=1), 0, tmp_path / "fold")


def test_the_spread_is_of_scores_that_every_fold_has() -> None:
    spread = spread_of([{"f1": 0.8, "auc": None}, {"f1": 0.9, "auc": 0.7}, {"f1": 0.7, "auc": 0.6}])
    assert spread == {"f1": {"mean": pytest.approx(0.8), "deviation": pytest.approx(0.1), "low": 0.7, "high": 0.9}}


@pytest.mark.parametrize(
    ("split", "folds", "said"),
    [
        ({}, {}, r"folds needs data\.split\.folds, such as 5"),
        ({"folds": 3}, {"runs": 4}, r"folds\.runs is 4, but data\.split\.folds is 3"),
        ({"folds": 3}, {"runs": 1}, "greater than or equal to 2"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    tmp_path: Path, split: dict[str, Any], folds: dict[str, Any], said: str
) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = split
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(sections | {"folds": folds})


def test_released_folds_come_before_training_and_take_its_place(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = {"folds": 3}
    stages = stages_of(Recipe.model_validate(sections | {"folds": {"release": "ensemble"}}))
    names = [stage.name for stage in stages]
    assert names.index("data") < names.index("folds") < names.index("train") < names.index("compress")
    train = next(stage for stage in stages if stage.name == "train")
    assert (train.reads, train.may_read) == (("data",), ("folds",)), "a training that folds start reads no folds"
    with pytest.raises(ValidationError, match="averages the answers of classify, tag, regress; the task is generate"):
        check = tiny_recipe(tmp_path / "texts", task="generate")
        check["data"]["split"] = {"folds": 3}
        Recipe.model_validate(check | {"folds": {"release": "ensemble"}})


def test_the_stage_is_there_only_where_the_recipe_asks(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = {"folds": 3}
    assert "folds" not in [stage.name for stage in stages_of(Recipe.model_validate(sections))]
    names = [stage.name for stage in stages_of(Recipe.model_validate(sections | {"folds": {}}))]
    assert names.index("evaluate") < names.index("folds") < names.index("release")


def test_a_fold_is_calibrated_as_the_model_is_and_heeds_no_other_setting_of_compress(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = {"folds": 3}

    def seen(**compress: Any) -> FoldsStage:
        recipe = Recipe.model_validate(sections | {"folds": {}, "compress": sections["compress"] | compress})
        return view(FoldsStage, recipe)

    assert _road(seen(calibrate=True))["compress"].compress.calibrate  # type: ignore[attr-defined]
    assert not _road(seen())["compress"].compress.calibrate  # type: ignore[attr-defined]
    assert seen(parity_rows=7) == seen()
