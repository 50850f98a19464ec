"""A recipe that names its base shortly, run by the real command against a hub on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.examples import tiny_recipe
from tests.e2e.conftest import danlu
from tests.unit.sources.hub_server import environment, serving
from tests.unit.sources.test_hub_models import tiny_base


@pytest.mark.slow  # that it is fetched and found by its name is in the unit tests too
def test_a_base_is_fetched_trained_and_told_with_its_licence(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    sections["model"] = {"base": "minilm", "max_length": 48}
    sections["train"]["max_samples"] = 64
    (tmp_path / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    with serving({"models/sentence-transformers/all-MiniLM-L6-v2": tiny_base(tmp_path / "tiny")}) as (endpoint, _):
        ran = danlu("run", "recipe.yaml", "--until", "train", cwd=tmp_path, env=environment(endpoint, tmp_path / "hub"))
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "Fetching minilm (hf://sentence-transformers/all-MiniLM-L6-v2)" in ran.stdout + ran.stderr
    (trained,) = (tmp_path / ".danlu" / "artifacts" / "train").iterdir()
    facts = json.loads((trained / "danlu.json").read_text(encoding="utf-8"))
    assert (facts["base"], facts["licence"]) == ("base://minilm", "Apache-2.0")
    (planned,) = (tmp_path / ".danlu" / "artifacts" / "plan").iterdir()
    plan = json.loads((planned / "plan.json").read_text(encoding="utf-8"))
    assert any("under the licence Apache-2.0" in note for note in plan["notes"])
