"""The stage with a model over words or over a frozen encoder: what it writes, and that it goes on after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from danlu.core.context import Context
from danlu.core.errors import DataError, Interrupted, ModelError
from danlu.engines.base import Form
from danlu.engines.classic_engine import ClassicEngine
from danlu.engines.torch_engine import TorchEngine
from danlu.examples import tiny_rated, tiny_rows, tiny_tagged
from danlu.learning import scratch
from danlu.learning.batching import unpack_rows
from danlu.learning.classic.base import Rows
from danlu.learning.classic.text_model import TextModel
from danlu.learning.scale import Scale
from danlu.train import frozen
from tests.unit.train.conftest import Attempt

TEXTS = [row["text"] for row in tiny_rows(20, seed=9)]


MADE: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "classify": lambda count: [dict(row) for row in tiny_rows(count)],
    "tag": lambda count: [{"text": row["text"], "labels": row["label"]} for row in tiny_tagged(count)],
    "regress": lambda count: [{"text": row["text"], "value": row["label"]} for row in tiny_rated(count)],
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights: the mean over its tokens still tells which words a text has."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = scratch.train_tokenizer((row["text"] for row in tiny_rows(200)), scratch.VOCABULARIES["encoder"], 400)
    torch.manual_seed(1)
    model = scratch.MAKERS["encoder"](scratch.Shape(layers=1, width=48, heads=2, positions=64), tokenizer, [])
    model.save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES["encoder"], folder, 64)
    return folder


def corpus(folder: Path, task: str, rows: int = 96, held_out: int = 24, *, bad: int | None = None) -> Path:
    """A Corpus folder; `bad`: how many of the training rows of classify are labelled so."""
    made = MADE[task](rows + held_out)
    train, validation = made[:rows], made[rows:]
    if bad is not None:
        rare = [row for row in train if row["label"] == "bad"][:bad]
        train = [row for row in train if row["label"] != "bad" or row in rare]
    for part, chosen in (("train", train), ("validation", validation)):
        (folder / part).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(chosen), folder / part / "part-0.parquet")
    labels = {"classify": ["bad", "good"], "tag": ["early", "praise", "seat"], "regress": None}[task]
    (folder / "card.json").write_text(json.dumps({"task": task, "labels": labels}))
    return folder


def section(kind: str = "logistic", **more: Any) -> dict[str, Any]:
    return {"classic": {"kind": kind, "features": {"kind": "embeddings", "base": "encoder"}, **more}}


def over(encoder: Path) -> dict[str, Path]:
    return {frozen.RESOURCE: encoder}


def opened(ctx: Context, task: str) -> ClassicEngine:
    about = json.loads((ctx.out / "danlu.json").read_text())
    form = Form(
        name="classic",
        engine="classic",
        task=about["task"],
        labels=tuple(about["labels"]) if about["labels"] else None,
        max_length=about["max_length"],
        batch_invariant=True,
        precision="float32",
        bytes=1,
        scale=Scale(**about["scale"]) if task == "regress" else None,
    )
    return ClassicEngine(ctx.out, form, 1)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("classify", "logistic"),
        ("classify", "gradient_boosting"),
        ("tag", "logistic"),
        ("tag", "random_forest"),
        ("regress", "ridge"),
        ("regress", "gradient_boosting"),
    ],
)
def test_over_a_frozen_encoder(task: str, kind: str, attempt: Attempt, encoder: Path, tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus", task)
    ctx = attempt("run", task, model=section(kind), resources=over(encoder), corpus=data)
    about = json.loads((ctx.out / "danlu.json").read_text())
    assert about["architecture"].startswith("Frozen embeddings + ")
    assert about["base"] == "encoder"
    assert about["parameters"] - about["trainable_parameters"] > 10_000  # the encoder's
    assert 8 <= about["max_length"] <= 64
    engine = opened(ctx, task)
    together = engine.predict(TEXTS)
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(engine.predict([text])[0], together[place], atol=1e-5)
    best = json.loads((ctx.out / "training.json").read_text())["best"]
    assert best["metric"] == {"classify": "macro_f1", "tag": "average_precision", "regress": "mae"}[task]
    if task == "regress":
        truth = np.array(parquet.read_table(data / "validation").column("value").to_pylist())
        assert best["value"] < np.abs(truth - truth.mean()).mean()
    else:
        assert best["value"] > 0.55


@pytest.mark.parametrize(("task", "kind"), [("tag", "gradient_boosting"), ("regress", "ridge")])
def test_over_words(task: str, kind: str, attempt: Attempt, tmp_path: Path) -> None:
    ctx = attempt("run", task, model={"classic": {"kind": kind}}, corpus=corpus(tmp_path / "corpus", task))
    about = json.loads((ctx.out / "danlu.json").read_text())
    assert (about["base"], about["max_length"]) == (None, None)
    assert about["architecture"].startswith("TF-IDF + ")
    assert not (ctx.out / "encoder").exists()


def test_the_first_token_is_another_vector(attempt: Attempt, encoder: Path, tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus", "classify")
    found = []
    for pooling in ("mean", "first"):
        model = section(features={"kind": "embeddings", "base": "encoder", "pooling": pooling})
        ctx = attempt(pooling, "classify", model=model, resources=over(encoder), corpus=data)
        found.append(opened(ctx, "classify").predict(TEXTS))
    assert not np.allclose(found[0], found[1])


def test_a_killed_run_goes_on_behind_the_last_portion(
    attempt: Attempt, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "_TEXTS_AT_ONCE", 16)
    data, texts = corpus(tmp_path / "corpus", "classify"), 0
    plain = TorchEngine.embed
    limit = 40

    def embed(self: TorchEngine, portion: list[str]) -> np.ndarray:
        nonlocal texts
        if texts + len(portion) > limit:
            raise Interrupted("killed")
        texts += len(portion)
        return plain(self, portion)

    monkeypatch.setattr(TorchEngine, "embed", embed)
    with pytest.raises(Interrupted):
        attempt("cut", "classify", model=section(), resources=over(encoder), corpus=data)
    assert texts == 32
    limit = 10_000
    cut = attempt("cut", "classify", model=section(), resources=over(encoder), corpus=data).out
    assert texts == 96 + 24
    whole = attempt("whole", "classify", model=section(), resources=over(encoder), corpus=data).out
    assert texts == 2 * (96 + 24)
    files = [
        path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file() and path.parent.name != "logs"
    ]
    assert Path("linear.safetensors") in files
    for path in files:
        assert (cut / path).read_bytes() == (whole / path).read_bytes(), path


def test_new_rows_are_made_of_training_rows_and_go_nowhere_else(
    attempt: Attempt, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = corpus(tmp_path / "corpus", "classify", bad=10)
    rows = parquet.read_table(data / "train").column("label").to_pylist()
    seen: dict[str, Rows] = {}
    plain = TextModel.fit.__func__  # type: ignore[attr-defined]

    def fit(kind: type[TextModel], /, train: Rows, validation: Rows, **more: Any) -> TextModel:
        seen.update(train=train, validation=validation)
        made: TextModel = plain(kind, train, validation, **more)
        return made

    monkeypatch.setattr(TextModel, "fit", classmethod(fit))
    model = section(smote={"neighbours": 3})
    ctx = attempt("run", "classify", model=model, resources=over(encoder), corpus=data)
    good = rows.count("good")
    assert np.bincount(seen["train"].targets).tolist() == [good, good]
    held_out = parquet.read_table(data / "validation").column("label").to_pylist()
    assert [["bad", "good"][place] for place in seen["validation"].targets] == held_out
    # None of the new rows lies on a row of the validation part.
    made = np.asarray(seen["train"].features)[len(rows) :]
    apart = np.linalg.norm(made[:, None] - np.asarray(seen["validation"].features)[None], axis=2)
    assert apart.min() > 1e-4
    told = json.loads((ctx.out / "training.json").read_text())
    assert told["smote"] == {
        "neighbours": 3,
        "target": "largest",
        "classes": {"bad": {"rows": 10, "new": good - 10}},
    }
    # What the baseline is compared on is what the corpus holds: new rows are none of its rows.
    assert unpack_rows(told["rows"]).sum() == told["samples"] == len(rows)
    assert json.loads((ctx.out / "danlu.json").read_text())["made_rows"] == told["smote"]["classes"]
    assert any("bad 10 + " in text for text in ctx.emit.texts("say"))  # type: ignore[attr-defined]


def test_too_few_rows_for_their_neighbours(attempt: Attempt, encoder: Path, tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus", "classify", bad=4)
    with pytest.raises(DataError, match=r"needs 6 training rows; too few have: 'bad' \(4\)"):
        attempt("run", "classify", model=section(smote={}), resources=over(encoder), corpus=data)


def test_a_length_that_the_encoder_cannot_take(attempt: Attempt, encoder: Path, tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus", "classify")
    with pytest.raises(ModelError, match="takes at most 64 tokens"):
        attempt("run", "classify", model=section() | {"max_length": 4_000}, resources=over(encoder), corpus=data)
