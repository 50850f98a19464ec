"""What the sections of objectives say of their cost agrees with the objectives; pieces are refused with the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from danlu.examples import tiny_recipe
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.config import (
    START,
    CausalObjective,
    ClassesObjective,
    ContrastiveObjective,
    Cost,
    DistillCausalObjective,
    DistillClassesObjective,
    MaskedObjective,
    PreferenceObjective,
    check_pieces,
    cost_of,
)
from danlu.learning.objectives.table import make_objective
from danlu.learning.text import load_tokenizer
from danlu.recipe import Recipe
from tests.unit.learning.test_distill import write_teacher

AIMS: dict[str, list[Any]] = {
    "causal": [CausalObjective(), PreferenceObjective(), DistillCausalObjective(teacher="teacher")],
    "classifier": [
        ClassesObjective(),
        DistillClassesObjective(teacher="teacher"),
        MaskedObjective(),
        ContrastiveObjective(),
    ],
}


@pytest.mark.parametrize("head", AIMS)
def test_costs_are_those_of_the_objectives(head: str, tmp_path: Path) -> None:
    folder = write_teacher(tmp_path, head, ["bad", "good"])
    for aim in AIMS[head]:
        facts = Facts(tokenizer=load_tokenizer(folder), labels=["bad", "good"], folders={"teacher": folder})
        objective, cost = make_objective(aim, facts), cost_of(aim)
        assert objective.separable == cost.separable, aim.kind
        assert (objective.prepare is not None) == (cost.before is not None), aim.kind
        for field in {cost.before, cost.beside} - {None, START}:
            assert field in type(aim).model_fields


def test_pieces_are_refused_where_samples_are_compared() -> None:
    check_pieces(ContrastiveObjective(), micro_batch=None, grow=False)
    check_pieces(PreferenceObjective(), micro_batch=2, grow=True)
    with pytest.raises(ValueError, match=r"train\.micro_batch is given, but .*contrastive compares each sample"):
        check_pieces(ContrastiveObjective(), micro_batch=2, grow=False)
    with pytest.raises(ValueError, match=r"train\.batching\.grow is given"):
        check_pieces(ContrastiveObjective(), micro_batch=None, grow=True)


def test_a_recipe_is_refused_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(tmp_path)
    recipe["train"] |= {"micro_batch": 2}
    assert Recipe.model_validate(recipe).train.micro_batch == 2
    # No objective of a recipe compares samples yet; one that does says so in its section.
    monkeypatch.setattr(ClassesObjective, "cost", Cost(separable=False), raising=False)
    with pytest.raises(ValidationError, match="cannot be taken in pieces"):
        Recipe.model_validate(recipe)
