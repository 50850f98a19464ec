"""Several targets through the train stage: what is written, pieces of a batch, and a run that was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from safetensors.numpy import load_file

from danlu.core.errors import DataError, Interrupted
from danlu.examples import tiny_targets
from danlu.sources.targets import heads_in, told_targets
from tests.unit.train.conftest import Attempt
from tests.unit.train.test_resume import content


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multitask")
    rows = [
        {"text": row["text"], "targets": told_targets({name: row[name] for name in row if name != "text"})}
        for row in tiny_targets(120)
    ]
    for part, chosen in (("train", rows[:96]), ("validation", rows[96:])):
        (folder / part).mkdir()
        parquet.write_table(pa.Table.from_pylist(chosen), folder / part / "part-0.parquet")
    heads = heads_in([row["targets"] for row in rows])
    labels = [name for head in heads if head.labels for name in head.outputs]
    card = {"task": "multitask", "labels": labels, "heads": [head.as_json() for head in heads]}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_a_stopped_run_ends_bit_equal(attempt: Attempt, corpus: Path) -> None:
    settings = {"class_weights": "balanced", "objective": {"kind": "multitask", "weights": {"stars": 0.5}}}
    whole = attempt("whole", "multitask", corpus=corpus, **settings)
    for stop_after in (5, 9):
        with pytest.raises(Interrupted):
            attempt("resumed", "multitask", corpus=corpus, stop_after=stop_after, **settings)
    resumed = attempt("resumed", "multitask", corpus=corpus, **settings)
    assert content(resumed.out) == content(whole.out)
    about = json.loads((whole.out / "danlu.json").read_text())
    assert about["labels"] == ["mood=bad", "mood=good", "says=early", "says=praise", "says=seat", "stars"]
    scales = {head["name"]: head["scale"] for head in about["heads"]}
    numbers = [row["stars"] for row in tiny_targets(120)[:96] if "stars" in row]
    assert scales == {
        "mood": None,
        "says": None,
        "stars": {"mean": pytest.approx(np.mean(numbers)), "std": pytest.approx(np.std(numbers))},
    }
    assert json.loads((whole.out / "training.json").read_text())["best"]["metric"] == "quality"


def test_a_batch_in_pieces_trains_the_same_weights_although_rows_lack_targets(attempt: Attempt, corpus: Path) -> None:
    # Without dropout, which draws other noise for other pieces; plain descent, which makes no sign of a rounding.
    settings = {
        "optimizer": {"kind": "sgd"},
        "learning_rate": 0.05,
        "max_samples": 48,
        "regularize": {"dropout": 0.0},
    }
    whole = attempt("whole", "multitask", corpus=corpus, **settings)
    pieces = attempt("pieces", "multitask", corpus=corpus, micro_batch=1, **settings)
    ours, theirs = (load_file(ctx.out / "model.safetensors") for ctx in (whole, pieces))
    for name, weights in ours.items():
        assert np.allclose(weights, theirs[name], atol=1e-5), name


def test_a_label_that_the_card_does_not_list_is_refused(attempt: Attempt, corpus: Path, tmp_path: Path) -> None:
    card = json.loads((corpus / "card.json").read_text())
    card["heads"][0]["labels"] = ["good"]
    other = tmp_path / "corpus"
    for part in ("train", "validation"):
        (other / part).mkdir(parents=True)
        (other / part / "part-0.parquet").write_bytes((corpus / part / "part-0.parquet").read_bytes())
    (other / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="'mood=bad', which the corpus's card does not list"):
        attempt("run", "multitask", corpus=other)
