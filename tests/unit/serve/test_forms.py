"""What the OpenAPI page says must be what the server and the recipe take."""

from __future__ import annotations

from danlu.core.tasks import TASKS
from danlu.learning.classic.config import EmbeddingsFeatures
from danlu.serve.forms import ModelCard


def test_a_models_card_knows_every_task() -> None:
    told = ModelCard.model_json_schema()["properties"]["task"]["description"]
    assert [task for task in TASKS if task not in told] == []


def test_a_frozen_encoder_may_be_what_an_earlier_run_trained() -> None:
    assert EmbeddingsFeatures.model_validate({"base": "run://reviews"}).base.endswith("run://reviews")
    assert "run://NAME" in EmbeddingsFeatures.model_json_schema()["properties"]["base"]["description"]
