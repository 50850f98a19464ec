"""What MLflow asks of a model that is asked more than a text: a table, by the names of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.core.artifact import write_json
from danlu.core.asked import Takes
from danlu.core.errors import UserError
from danlu.engines.base import Form
from danlu.engines.table import ENGINES
from danlu.learning import scratch
from danlu.tracking.loader import _load_pyfunc
from tests.unit.engines import tiny
from tests.unit.serve import toy

pandas = pytest.importorskip("pandas")
WORDS = {"weights": {"great": 2.0, "awful": -2.0}}


@pytest.fixture(autouse=True)
def _word_engine() -> Iterator[None]:
    toy.install()
    yield
    del ENGINES["words"]


def test_a_table_is_asked_by_the_names_of_its_columns(tmp_path: Path) -> None:
    toy.write_form(tmp_path / "form", WORDS, takes=Takes(pair=True, numeric=("amount",), categorical=("channel",)))
    model = _load_pyfunc(str(tmp_path / "form"))
    rows = pandas.DataFrame(
        {"pair": ["great", "great"], "text": ["a", "a"], "amount": [-5.0, None], "channel": ["app", None]}
    )
    assert [answer["label"] for answer in model.predict(rows)] == ["bad", "good"]
    with pytest.raises(UserError, match="has the column 'channel' too"):
        model.predict(rows.drop(columns=["channel"]))
    with pytest.raises(UserError, match="give a table that has the column 'pair' too"):
        model.predict(["a"])


def test_a_text_alone_needs_no_table(tmp_path: Path) -> None:
    toy.write_form(tmp_path / "form", WORDS)
    model = _load_pyfunc(str(tmp_path / "form"))
    assert [answer["label"] for answer in model.predict(["great", "awful"])] == ["good", "bad"]
    assert model.predict(pandas.DataFrame({"n": [1], "text": ["great"]}))[0]["label"] == "good"


@pytest.mark.parametrize("nothing", [None, float("nan"), pandas.NA, pandas.NaT])
def test_what_pandas_holds_for_nothing_is_missing(tmp_path: Path, nothing: Any) -> None:
    toy.write_form(tmp_path / "form", WORDS, takes=Takes(pair=True, categorical=("channel",)))
    model = _load_pyfunc(str(tmp_path / "form"))
    rows = {"text": ["a", "b"], "pair": ["great", "awful"], "channel": ["app", "app"]}

    def ask(**columns: list[Any]) -> list[str]:
        return [answer["label"] for answer in model.predict(pandas.DataFrame({**rows, **columns}, dtype=object))]

    assert ask(channel=["app", nothing]) == ["good", "bad"]
    with pytest.raises(UserError, match="Text 2: This model answers two texts together, and the second one"):
        ask(pair=["great", nothing])
    with pytest.raises(UserError, match="Row 2 of 2 has no text"):
        ask(text=["a", nothing])


def test_vectors_and_hidden_words_are_answered_too(tmp_path: Path) -> None:
    toy.write_form(tmp_path / "vectors", {"vectors": {"great": [3.0, 4.0]}}, task="embed")
    assert _load_pyfunc(str(tmp_path / "vectors")).predict(["great"]) == [pytest.approx([0.6, 0.8])]
    folder = tmp_path / "words"
    tokenizer = scratch.train_tokenizer(tiny.texts(50), scratch.ENCODER, 300)
    shape = scratch.Shape(layers=1, width=32, heads=2, positions=64)
    scratch.make_masked(shape, tokenizer, ()).save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.ENCODER, folder, 16)
    form = Form(
        name="torch", engine="torch", task="fill", labels=None, max_length=16, batch_invariant=True,
        precision="float32", bytes=0,
    )  # fmt: skip
    write_json(folder / "form.json", form.as_json())
    gap, none = _load_pyfunc(str(folder)).predict(pandas.DataFrame({"text": ["the [MASK]", "the"]}))
    assert gap["filled"].startswith("the") and "[MASK]" not in gap["filled"]
    assert len(gap["masks"]) == 1
    assert none == {"filled": "the", "masks": []}
