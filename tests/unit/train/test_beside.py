"""Training on pairs and on columns beside a text: what a checkpoint holds, resumed to the bit, what goes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from transformers import AutoModel, AutoTokenizer

from danlu.core.errors import Interrupted
from danlu.examples import tiny_rows
from danlu.learning.asking import COLUMNS
from danlu.learning.fusion import HEAD_WEIGHTS, FusionModel
from danlu.learning.models import load_checkpoint
from tests.unit.train.conftest import Attempt
from tests.unit.train.test_resume import CONTENT

MAPS = {"numbers": pa.map_(pa.string(), pa.float64()), "categories": pa.map_(pa.string(), pa.string())}
BOTH = (HEAD_WEIGHTS, f"last/{HEAD_WEIGHTS}", COLUMNS)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_corpora(tmp_path_factory.mktemp("beside"))


def write_corpora(root: Path) -> dict[str, Path]:
    """`pairs`, and `columns`, which has pairs too: 96 training and 24 validation rows."""
    found = {}
    for kind in ("pairs", "columns"):
        rows: list[dict[str, Any]] = [
            {"text": f"order {n}", "pair": row["text"], "label": row["label"]} for n, row in enumerate(tiny_rows(120))
        ]
        schema = pa.schema([(name, pa.string()) for name in rows[0]])
        card: dict[str, Any] = {"labels": ["bad", "good"]}
        if kind == "columns":
            for n, row in enumerate(rows):
                row["numbers"] = [("amount", float(n))] if n % 5 else []
                row["categories"] = [("channel", ("app", "web")[n % 2])]
            schema = pa.schema([*schema, *MAPS.items()])
            card["columns"] = {"numeric": ["amount", "never"], "categorical": ["channel"]}
        for part, chosen in (("train", rows[:96]), ("validation", rows[96:])):
            (root / kind / part).mkdir(parents=True)
            parquet.write_table(pa.Table.from_pylist(chosen, schema=schema), root / kind / part / "part-0.parquet")
        (root / kind / "card.json").write_text(json.dumps(card), encoding="utf-8")
        found[kind] = root / kind
    return found


def content(folder: Path) -> dict[str, bytes]:
    names = [name for name in (*CONTENT, *BOTH) if (folder / name).is_file()]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("kind", ["pairs", "columns"])
def test_stopped_and_resumed_is_bit_equal(attempt: Attempt, corpora: dict[str, Path], kind: str) -> None:
    whole = attempt("whole", "classify", corpus=corpora[kind])
    assert (set(BOTH) <= set(content(whole.out))) == (kind == "columns")
    for name, stops in (("a", (5, 8)), ("b", (17,))):
        for stop_after in stops:
            with pytest.raises(Interrupted):
                attempt(name, "classify", stop_after=stop_after, corpus=corpora[kind])
        resumed = attempt(name, "classify", corpus=corpora[kind])
        assert content(resumed.out) == content(whole.out), (name, kind)


def test_a_checkpoint_says_what_is_asked_and_its_encoder_is_transformers_own(
    attempt: Attempt, corpora: dict[str, Path]
) -> None:
    made = attempt("made", "classify", corpus=corpora["columns"])
    about = json.loads((made.out / "danlu.json").read_text(encoding="utf-8"))
    assert about["takes"] == {"pair": True, "numeric": ["amount", "never"], "categorical": ["channel"]}
    assert about["architecture"] == "FusionModel"
    codes = json.loads((made.out / COLUMNS).read_text(encoding="utf-8"))
    assert [column["name"] for column in codes["numeric"]] == ["amount", "never"]
    assert codes["categorical"] == [{"name": "channel", "values": ["app", "web"]}]
    known = [n for n in range(96) if n % 5]
    assert codes["numeric"][0]["mean"] == pytest.approx(sum(known) / len(known))  # of the training rows alone
    assert isinstance(load_checkpoint(made.out), FusionModel)
    assert AutoModel.from_pretrained(made.out).config.id2label == {0: "bad", 1: "good"}
    read = AutoTokenizer.from_pretrained(made.out)("order 7", "a lovely desk")
    assert set(read["token_type_ids"]) == {0, 1}


def test_the_parts_of_training_go_with_columns(attempt: Attempt, corpora: dict[str, Path]) -> None:
    """A base, freezing, dropout, recomputed activations, an adversary, and an average over micro-batches."""
    base = attempt("base", "classify", corpus=corpora["pairs"], epochs=0.2).out
    made = attempt(
        "made",
        "classify",
        corpus=corpora["columns"],
        model={"base": "folder", "licence": "CC0-1.0", "max_length": 48},
        resources={"model.base": base},
        epochs=0.5,
        micro_batch=4,
        checkpointing=True,
        method={"kind": "freeze", "layers": "all"},
        regularize={"dropout": 0.2, "adversarial": {"kind": "fgm"}, "l1": 1e-6},
    )
    facts = json.loads((made.out / "danlu.json").read_text(encoding="utf-8"))
    assert facts["trainable_parameters"] < facts["parameters"]
