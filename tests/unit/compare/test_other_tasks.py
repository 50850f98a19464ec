"""Language models and embedding models side by side."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from danlu import api
from danlu.compare import table as compare_table
from danlu.compare.config import CompareConfig
from danlu.core.artifact import Artifact, write_json
from danlu.core.errors import UserError
from danlu.core.machine import this_machine
from danlu.core.store import Workspace
from danlu.engines.table import load
from danlu.evaluate import speed
from danlu.metrics.scores import generation
from danlu.release.registry import Registry
from tests.unit.compare import world
from tests.unit.compare.world import kinds, told
from tests.unit.engines import tiny
from tests.unit.serve.toy import seal

FAST = CompareConfig.model_validate({"requests": 20, "resamples": 100})


def release_form(workspace: Workspace, name: str, form: Path, corpus: Artifact) -> Path:
    """A release with a copy of the form."""
    folder = workspace.root / "artifacts" / "release" / name
    shutil.copytree(form, folder / "form")
    write_json(folder / "release.json", {"name": name, "verdict": "ship", "gates": []})
    world.made_from(seal(folder), corpus)
    registry = Registry(workspace, name)
    registry.promote(registry.register(Artifact(folder, seal(folder).record)).number)
    world.made_from(seal(folder), corpus)
    return folder / "form"


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A run `texts`, and two language models: one as it was made, one with noise on its weights."""
    made = Workspace(tmp_path / "danlu").open()
    rows = [{"text": text} for text in dict.fromkeys(tiny.texts(200, seed=8)) if len(text) > 12][:40]
    corpus = world.write_corpus(made, {"test": rows}, task="generate")
    world.write_run(made, "texts", corpus, "generate")
    monkeypatch.setattr(speed, "_NEW_TOKENS", 2)
    # Threads of torch that wait for a busy core take many times as long as one thread.
    monkeypatch.setattr(compare_table, "this_machine", lambda: dataclasses.replace(this_machine(), cores=1))
    form = tiny.write_checkpoint(tmp_path / "plain", "generate")
    about = {"form": "torch", "engine": "torch", "task": "generate", "labels": None, "max_length": 64, "end_ids": [2]}
    write_json(form / "form.json", about | {"batch_invariant": True, "precision": "float32", "bytes": 1_000})
    release_form(made, "plain", form, corpus)
    noisy = tmp_path / "noisy"
    shutil.copytree(form, noisy)
    weights = load_file(noisy / "model.safetensors")
    draw = np.random.default_rng(1)
    changed = {key: (value + draw.normal(0, 0.3, value.shape)).astype(value.dtype) for key, value in weights.items()}
    save_file(changed, noisy / "model.safetensors", metadata={"format": "pt"})
    release_form(made, "noisy", noisy, corpus)
    return made


def test_language_models_by_bits_per_character_and_no_endpoint(texts: Workspace) -> None:
    table = api.compare(
        ["plain", "noisy", "endpoint:http://127.0.0.1:9/v1#m"], on="texts", workspace=texts.root, config=FAST
    )
    world.as_text(table)
    plain, noisy, endpoint = table["entrants"]
    assert {"perplexity", "bits_per_character"} <= set(plain["scores"])
    part = api.judged_run("texts", workspace=texts.root)["stages"][0]["folder"]
    found = world.read_test(texts.root / part)
    engine = load(texts.root / "artifacts" / "release" / "plain" / "form", 1)
    scored = engine.score(found)
    expected = generation(
        [one.log_likelihood for one in scored], [one.tokens for one in scored], [one.characters for one in scored], 100
    )
    assert plain["scores"]["perplexity"]["value"] == pytest.approx(expected["perplexity"]["value"], rel=1e-4)
    difference = noisy["comparison"]["difference"]["value"]
    assert difference == pytest.approx(
        noisy["scores"]["bits_per_character"]["value"] - plain["scores"]["bits_per_character"]["value"]
    )
    assert noisy["comparison"]["metric"] == "bits_per_character"
    assert plain["latency"]["tokens_per_second"] > 0
    assert endpoint["scores"] is None and endpoint["latency"] is None and endpoint["comparison"] is None
    assert kinds(table, endpoint["name"]) == {"seen_unknown", "not_for_task"}
    assert table["lower_is_better"]
    with pytest.raises(UserError, match="Endpoints alone cannot be compared for generate"):
        api.compare(
            ["endpoint:http://127.0.0.1:9/v1#m", "endpoint:http://127.0.0.1:9/v1#n"], on="texts", workspace=texts.root
        )


def test_a_file_is_for_classify_only(texts: Workspace, tmp_path: Path) -> None:
    path = world.write_csv(tmp_path / "theirs.csv", "text,predicted", "a,b")
    with pytest.raises(UserError, match="holds labels, and the run is for generate, which has none"):
        api.compare(["plain", str(path)], on="texts", workspace=texts.root, config=FAST)


def test_embedding_models_by_what_they_find(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "danlu").open()
    words = [f"word{number}" for number in range(30)]
    rows = [{"text": f"{word} asked", "pair": f"{word} told"} for word in words]
    corpus = world.write_corpus(workspace, {"test": rows}, task="embed")
    world.write_run(workspace, "search", corpus, "embed")
    draw = random.Random(1)
    axes = {word: [draw.gauss(0, 1) for _ in range(16)] for word in words}
    nothing = [0.0] * 16
    right = {"vectors": axes | {"asked": nothing, "told": nothing}}
    # The second model does not know half of the words.
    half = {
        "vectors": {word: axis if number % 2 else axes[words[0]] for number, (word, axis) in enumerate(axes.items())}
    }
    half["vectors"] |= {"asked": nothing, "told": nothing}
    world.publish(workspace, "search", right, 1, corpus, task="embed")
    world.publish(workspace, "search", half, 2, corpus, task="embed")
    table = api.compare(["search@1", "search@2"], on="search", workspace=workspace.root, config=FAST)
    world.as_text(table)
    assert told(table, "search@1")["scores"]["mrr_at_10"]["value"] == 1.0
    second = told(table, "search@2")
    assert 0.4 < second["scores"]["recall_at_1"]["value"] < 0.7
    assert second["comparison"]["difference"]["value"] == pytest.approx(second["scores"]["mrr_at_10"]["value"] - 1.0)
    assert second["comparison"]["significant"] and "clearly worse: search@2" in table["sentence"]["en"]
