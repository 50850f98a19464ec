"""What MLflow asks of a model that is asked more than a text: a table, by the names of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.core.asked import Takes
from danlu.core.errors import UserError
from danlu.engines.table import ENGINES
from danlu.tracking.loader import _load_pyfunc
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
