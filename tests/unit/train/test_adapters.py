"""How much of the model is trained: what changes, what stays, what is written, what is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from danlu.core.errors import Interrupted, ModelError
from danlu.examples import tiny_rows
from danlu.learning.models import load_checkpoint
from danlu.learning.text import encode, load_tokenizer, pad, pad_id
from tests.unit.train.conftest import Attempt, write_corpus

LOADERS = {"classify": AutoModelForSequenceClassification, "generate": AutoModelForCausalLM}
LORA: dict[str, Any] = {"kind": "lora", "rank": 8, "alpha": 16}
METHODS: dict[str, dict[str, Any]] = {
    "lora": LORA,
    "lora-dropout": LORA | {"dropout": 0.1},
    "dora": LORA | {"kind": "dora"},
    "freeze": {"kind": "freeze", "layers": 1},
}
CONTENT = ("model.safetensors", "training.json", "danlu.json", "config.json")


@pytest.fixture
def base(attempt: Attempt) -> Any:
    """`base(task)` is the folder of a tiny model of two layers that was trained for a moment."""

    def make(task: str) -> Path:
        model = {"scratch": {"layers": 2, "width": 32, "heads": 2, "vocabulary": 400}, "max_length": 48}
        return attempt(f"base-{task}", task, model=model, max_samples=64).out

    return make


def start(attempt: Attempt, name: str, task: str, base: Path, method: dict[str, Any], **settings: Any) -> Path:
    model = {"base": "hf://someone/tiny", "max_length": 48}
    return attempt(name, task, model=model, resources={"model.base": base}, method=method, **settings).out


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize("task", ["classify", "generate"])
@pytest.mark.parametrize("method", ["lora", "dora", "freeze"])
def test_32_examples_are_learned_by_heart(attempt: Attempt, base: Any, tmp_path: Path, task: str, method: str) -> None:
    corpus = write_corpus(tmp_path / "corpus", task, rows=32, held_out=32)
    settings = {"epochs": 30.0, "learning_rate": 0.02, "early_stopping": 0, "validations_per_epoch": 1}
    chosen = METHODS[method] | ({"rank": 32, "alpha": 32} if method != "freeze" else {})
    history = told(start(attempt, "run", task, base(task), chosen, corpus=corpus, **settings))["history"]
    assert history[-1]["train_loss"] < {"classify": 0.05, "generate": 0.6 * history[0]["train_loss"]}[task]


@pytest.mark.parametrize("task", ["classify", "generate"])
@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_is_bit_equal(attempt: Attempt, base: Any, tmp_path: Path, task: str, method: str) -> None:
    folder = base(task)
    whole = start(attempt, "whole", task, folder, METHODS[method])
    for stop_after in (0, 5, 8, 6):
        with pytest.raises(Interrupted):
            start(attempt, "resumed", task, folder, METHODS[method], stop_after=stop_after)
    (kept,) = (tmp_path / "resumed" / "state").glob("step-*/model.safetensors")
    trainable = told(whole)["parameters"]["trainable"]
    resumed = start(attempt, "resumed", task, folder, METHODS[method])
    assert trainable < told(whole)["parameters"]["total"]
    for name in (*CONTENT, *(str(path.relative_to(whole)) for path in sorted(whole.glob("adapter/*")))):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name
    del kept


@pytest.mark.parametrize("method", METHODS)
def test_the_state_holds_what_is_trained_alone(attempt: Attempt, base: Any, tmp_path: Path, method: str) -> None:
    folder = base("classify")
    with pytest.raises(Interrupted):
        start(attempt, "run", "classify", folder, METHODS[method], stop_after=9)
    state = tmp_path / "run" / "state"
    (weights,) = (load_file(path) for path in state.glob("step-*/model.safetensors"))
    (moments,) = (load_file(path) for path in state.glob("step-*/optimizer.safetensors"))
    best = [load_file(path) for path in state.glob("best-*.safetensors")]
    facts = told(start(attempt, "run", "classify", folder, METHODS[method]))
    sizes = {name: tensor.numel() for name, tensor in weights.items()}
    assert sum(sizes.values()) == facts["parameters"]["trainable"]
    assert best
    assert {name: tensor.numel() for name, tensor in best[0].items()} == sizes
    assert {name.rpartition("|")[0] for name in moments} == set(sizes), (
        "the optimizer sees what is trained, and all of it"
    )


def test_frozen_weights_stay_bit_for_bit(attempt: Attempt, base: Any) -> None:
    folder = base("classify")
    before = load_file(folder / "model.safetensors")
    after = load_file(start(attempt, "run", "classify", folder, METHODS["freeze"]) / "model.safetensors")
    same = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(("bert.embeddings.", "bert.encoder.layer.0."))}
    assert same == frozen
    all_frozen = start(attempt, "all", "classify", folder, {"kind": "freeze"})
    assert {name.split(".")[0 if "classifier" in name else 1] for name in before} == {
        "embeddings", "encoder", "pooler", "classifier"
    }  # fmt: skip
    changed = load_file(all_frozen / "model.safetensors")
    assert {name for name in before if not torch.equal(before[name], changed[name])} == {
        name for name in before if "pooler" in name or "classifier" in name
    }


@pytest.mark.parametrize("task", ["classify", "generate"])
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_merged_is_unmerged_and_peft_loads_the_adapter(attempt: Attempt, base: Any, task: str, method: str) -> None:
    folder = base(task)
    out = start(attempt, "run", task, folder, METHODS[method], learning_rate=0.02)
    merge = told(out)["merge"]
    assert merge["examples"] == 24
    assert merge["largest_difference"] <= merge["tolerance"] < 1e-3 * merge["largest_output"]
    plain = LOADERS[task].from_pretrained(folder).eval()
    tokenizer = load_tokenizer(out)
    ids, mask = pad(encode(tokenizer, [row["text"] for row in tiny_rows(8)], 48), pad_id(tokenizer))
    inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    with torch.inference_mode():
        of_base = plain(**inputs).logits
        merged = load_checkpoint(out)(**inputs).logits
        unmerged = PeftModel.from_pretrained(plain, out / "adapter").eval()(**inputs).logits
    torch.testing.assert_close(merged, unmerged, rtol=1e-4, atol=1e-4)
    assert (merged - of_base).abs().max() > 0.05, "the adapter did learn something"
    settings = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "hf://someone/tiny"
    assert json.loads((out / "danlu.json").read_text())["method"] == method
    assert set(load_file(out / "model.safetensors")) == set(load_file(folder / "model.safetensors"))


def test_a_wrong_merge_is_refused(attempt: Attempt, base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.learning.adapters.low_rank import LowRank

    plain = LowRank.merge

    def doubled(self: LowRank) -> None:
        for module in self._wrapper.modules():
            if hasattr(module, "scaling"):
                module.scaling = {name: 1.01 * value for name, value in module.scaling.items()}
        plain(self)

    monkeypatch.setattr(LowRank, "merge", doubled)
    with pytest.raises(ModelError, match="merged model differs"):
        start(attempt, "run", "classify", base("classify"), LORA, learning_rate=0.02)


def test_targets_by_name_and_what_is_refused(attempt: Attempt, base: Any) -> None:
    folder = base("classify")
    out = start(attempt, "some", "classify", folder, LORA | {"targets": ["query", "value"]}, max_samples=8)
    names = load_file(out / "adapter" / "adapter_model.safetensors")
    assert {name.rsplit(".", 3)[1] for name in names if "lora_" in name} == {"query", "value"}
    # Two matrices of rank 8 for each of two layers of width 32 in each of two blocks; pooler and classifier.
    assert told(out)["parameters"]["trainable"] == 2 * 2 * 2 * 8 * 32 + 32 * 33 + 2 * 33
    for method, words in (
        (LORA | {"targets": ["q_proj"]}, "no linear layer .* dense, key, query, value"),
        ({"kind": "freeze", "layers": 3}, "the model has 2 layers"),
        ({"kind": "qlora"}, r"CUDA GPU.*\{kind: lora\}"),
    ):
        with pytest.raises(ModelError, match=words):
            start(attempt, "refused", "classify", folder, method)
    with pytest.raises(ModelError, match="output layer is its embedding"):
        start(attempt, "tied", "generate", base("generate"), {"kind": "freeze"})
    with pytest.raises(ModelError, match=r"model\.scratch starts from weights"):
        attempt("scratch", "classify", method=LORA)
