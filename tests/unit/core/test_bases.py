"""Pretrained models by a short name: what the table says, what a recipe makes of it, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.core.bases import BASES, base_of, near_names
from danlu.core.config import resources
from danlu.core.errors import UserError
from danlu.core.resource import check, resolve
from danlu.core.tasks import TASKS
from danlu.release.card import base_model
from danlu.train.config import ModelConfig


def test_every_row_says_what_a_user_has_to_know() -> None:
    for name, base in BASES.items():
        assert name == name.lower() and "/" not in name
        assert base.hugging_face.count("/") == 1 and base.source.startswith("https://")
        assert base.licence and base.terms.startswith("https://")
        assert base.parameters > 1e7 and base.context >= 512
        assert base.languages and set(base.tasks) <= set(TASKS)
    assert len({base.hugging_face for base in BASES.values()}) == len(BASES)
    assert {name for name, base in BASES.items() if base.restricted} == {"gemma-3-270m"}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("qwen3-0.6b", "qwen3-0.6b"),
        ("hf://qwen3-0.6b", "qwen3-0.6b"),
        ("modelscope://qwen3-0.6b", "qwen3-0.6b"),
        ("hf://Qwen/Qwen3-0.6B@main", "qwen3-0.6b"),
        ("modelscope://dienstag/chinese-macbert-base", "macbert-base"),
        ("hf://dienstag/chinese-macbert-base", None),
        ("./qwen3-0.6b", None),
        ("package://minilm/model", None),
        ("Qwen3-0.6B", None),
    ],
)
def test_a_base_is_known_by_its_name_and_by_its_addresses(written: str, name: str | None) -> None:
    assert base_of(written) is (None if name is None else BASES[name])
    model = ModelConfig(base=written)
    assert model.licence == (None if name is None else BASES[name].licence)
    again = ModelConfig.model_validate_json(model.model_dump_json())
    assert again == model, "a recipe that was resolved and written down means the same"


def test_a_licence_that_is_given_stays() -> None:
    assert ModelConfig(base="qwen3-0.6b", licence="LicenseRef-ours").licence == "LicenseRef-ours"


def test_a_bare_name_is_marked_when_the_recipe_is_read() -> None:
    assert resources(ModelConfig(base="minilm")) == {"base": "base://minilm"}
    assert resources(ModelConfig(base="./minilm")) == {"base": "./minilm"}


def test_a_name_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    check("base://minilm", tmp_path)
    (tmp_path / "minilm").mkdir()
    for look in (check, resolve):
        with pytest.raises(UserError, match=r"Write './minilm' for that one, or 'hf://sentence-transformers/"):
            look("base://minilm", tmp_path)
    assert resolve("./minilm", tmp_path) == (tmp_path / "minilm").resolve()


@pytest.mark.parametrize(
    ("mistyped", "meant"), [("qwen3-0.6", "qwen3-0.6b"), ("Qwen3-8B", "qwen3-8b"), ("bge-small", "bge-small-zh")]
)
def test_a_mistyped_name_is_told_with_the_near_ones(tmp_path: Path, mistyped: str, meant: str) -> None:
    assert near_names(mistyped)[0] == meant
    base = ModelConfig(base=mistyped).base
    assert base is not None
    with pytest.raises(UserError, match=rf"There is no file or folder.*A model by name is '{meant}'"):
        check(base, tmp_path)


def test_no_base_is_suggested_for_what_is_nothing_like_one(tmp_path: Path) -> None:
    for resource in ("reviews.csv", "./data/rows.jsonl", "model"):
        with pytest.raises(UserError) as caught:
            check(resource, tmp_path)
        assert "by name" not in str(caught.value)
    with pytest.raises(UserError, match="There is no base 'nonsense'"):
        check("base://nonsense", tmp_path)


def test_a_model_card_names_the_hub_s_own_name() -> None:
    assert base_model("base://qwen3-0.6b") == "Qwen/Qwen3-0.6B"
    assert base_model("modelscope://macbert-base") == "dienstag/chinese-macbert-base"
    assert base_model("hf://owner/name@v1") == "owner/name"
    assert base_model("minilm") == "minilm", "a folder is no base of the table"
