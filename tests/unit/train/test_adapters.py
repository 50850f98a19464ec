"""How much of the model is trained: what changes, what stays, what is written, what is resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from accelerate.state import AcceleratorState
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from danlu.core.errors import Interrupted, MissingDependency, ModelError
from danlu.examples import tiny_rows
from danlu.learning.models import load_checkpoint
from danlu.learning.text import encode, load_tokenizer, pad, pad_id
from danlu.train.config import TrainStage
from danlu.train.stage import run
from tests.support import as_artifact, make_context
from tests.unit.train.conftest import SETTINGS, Attempt, write_corpus

#: peft 0.21 asks transformers for this by its name of before, also where the test loads an adapter itself.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

LOADERS = {"classify": AutoModelForSequenceClassification, "generate": AutoModelForCausalLM}
LORA: dict[str, Any] = {"kind": "lora", "rank": 8, "alpha": 16}
METHODS: dict[str, dict[str, Any]] = {
    "lora": LORA,
    "lora-dropout": LORA | {"dropout": 0.1},
    "dora": LORA | {"kind": "dora"},
    "freeze": {"kind": "freeze", "layers": 1},
}
CONTENT = ("model.safetensors", "training.json", "danlu.json", "config.json")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, corpora: dict[str, Path]) -> dict[str, Path]:
    """For each task the folder of a tiny model of two layers that has learned a little."""
    folders = {}
    for task in LOADERS:
        folder = tmp_path_factory.mktemp(f"base-{task}")
        inputs = {"data": as_artifact(corpora[task], "data")}
        model = {"scratch": {"layers": 2, "width": 64, "heads": 2, "vocabulary": 400}, "max_length": 48}
        settings = SETTINGS | {"epochs": 12.0 if task == "classify" else 4.0}
        config = TrainStage.model_validate({"task": task, "model": model, "train": settings})
        ctx = make_context(folder, stage="train", inputs=inputs)
        run(ctx, config)
        folders[task] = ctx.out
    AcceleratorState._reset_state(reset_partial_state=True)
    return folders


def write_turned_corpus(folder: Path) -> Path:
    """32 training rows whose labels are the opposite of what the base has learned."""
    write_corpus(folder, "classify", rows=32, held_out=32)
    file = folder / "train" / "part-0.parquet"
    turned = {"good": "bad", "bad": "good"}
    rows = [row | {"label": turned[row["label"]]} for row in parquet.read_table(file).to_pylist()]
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return folder


def start(attempt: Attempt, name: str, task: str, base: Path, method: dict[str, Any], **settings: Any) -> Path:
    model = {"base": "hf://someone/tiny", "max_length": 48}
    return attempt(name, task, model=model, resources={"model.base": base}, method=method, **settings).out


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize(
    "method", ["lora", pytest.param("dora", marks=pytest.mark.slow), pytest.param("freeze", marks=pytest.mark.slow)]
)
def test_32_examples_are_learned_by_heart(
    attempt: Attempt, bases: dict[str, Path], tmp_path: Path, method: str
) -> None:
    corpus = write_turned_corpus(tmp_path / "corpus")
    settings = {
        "epochs": 40.0,
        "learning_rate": 0.002,
        "batch_size": 4,
        "early_stopping": 0,
        "validations_per_epoch": 1,
    }
    chosen = METHODS[method] | ({} if method == "freeze" else {"rank": 64, "alpha": 64})
    base = without_dropout(bases["classify"], tmp_path / "base")
    history = told(start(attempt, "run", "classify", base, chosen, corpus=corpus, **settings))["history"]
    assert history[0]["train_loss"] > 0.6
    assert history[-1]["train_loss"] < 0.05


@pytest.mark.parametrize(("task", "method"), [*(("classify", method) for method in METHODS), ("generate", "lora")])
def test_stopped_and_resumed_is_bit_equal(attempt: Attempt, bases: dict[str, Path], task: str, method: str) -> None:
    folder = bases[task]
    whole = start(attempt, "whole", task, folder, METHODS[method])
    for stop_after in (5, 9):
        with pytest.raises(Interrupted):
            start(attempt, "resumed", task, folder, METHODS[method], stop_after=stop_after)
    resumed = start(attempt, "resumed", task, folder, METHODS[method])
    for name in (*CONTENT, *(str(path.relative_to(whole)) for path in sorted(whole.glob("adapter/*")))):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("method", ["dora", "freeze"])
def test_the_state_holds_what_is_trained_alone(
    attempt: Attempt, bases: dict[str, Path], tmp_path: Path, method: str
) -> None:
    folder = bases["classify"]
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


def test_frozen_weights_stay_bit_for_bit(attempt: Attempt, bases: dict[str, Path]) -> None:
    folder = bases["classify"]
    before = load_file(folder / "model.safetensors")
    after = load_file(start(attempt, "run", "classify", folder, METHODS["freeze"]) / "model.safetensors")
    same = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(("bert.embeddings.", "bert.encoder.layer.0."))}
    assert same == frozen
    all_frozen = start(attempt, "all", "classify", folder, {"kind": "freeze"})
    changed = load_file(all_frozen / "model.safetensors")
    assert {name for name in before if not torch.equal(before[name], changed[name])} == {
        name for name in before if "pooler" in name or "classifier" in name
    }


@pytest.mark.parametrize("task", ["classify", "generate"])
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_merged_is_unmerged_and_peft_loads_the_adapter(
    attempt: Attempt, bases: dict[str, Path], task: str, method: str
) -> None:
    folder = bases[task]
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


def test_a_wrong_merge_is_refused(attempt: Attempt, bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.learning.adapters.low_rank import LowRank

    plain = LowRank.merge

    def doubled(self: LowRank) -> None:
        for module in self._wrapper.modules():
            if isinstance(module, LoraLayer):
                module.scaling = {name: 1.01 * value for name, value in module.scaling.items()}
        plain(self)

    monkeypatch.setattr(LowRank, "merge", doubled)
    with pytest.raises(ModelError, match="merged model differs"):
        start(attempt, "run", "classify", bases["classify"], LORA, learning_rate=0.02)


def test_targets_by_name_and_what_is_refused(attempt: Attempt, bases: dict[str, Path]) -> None:
    folder = bases["classify"]
    out = start(attempt, "some", "classify", folder, LORA | {"targets": ["query", "value"]}, max_samples=8)
    names = load_file(out / "adapter" / "adapter_model.safetensors")
    assert {name.rsplit(".", 3)[1] for name in names if "lora_" in name} == {"query", "value"}
    # Two matrices of rank 8 for each of two layers of width 64 in each of two blocks; pooler and classifier.
    assert told(out)["parameters"]["trainable"] == 2 * 2 * 2 * 8 * 64 + 64 * 65 + 2 * 65
    for method, words in (
        (LORA | {"targets": ["q_proj"]}, "no linear layer .* dense, key, query, value"),
        ({"kind": "freeze", "layers": 3}, "the model has 2 layers"),
        ({"kind": "qlora"}, r"CUDA GPU.*\{kind: lora\}"),
    ):
        with pytest.raises(ModelError, match=words):
            start(attempt, "refused", "classify", folder, method)
    with pytest.raises(ModelError, match="output layer is its embedding"):
        start(attempt, "tied", "generate", bases["generate"], {"kind": "freeze"})
    with pytest.raises(ModelError, match=r"model\.scratch starts from weights"):
        attempt("scratch", "classify", method=LORA)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_checkpointing_changes_nothing_but_memory(attempt: Attempt, bases: dict[str, Path], method: str) -> None:
    chosen = METHODS.get(method, {"kind": method})
    plain = start(attempt, "plain", "classify", bases["classify"], chosen)
    again = start(attempt, "again", "classify", bases["classify"], chosen, checkpointing=True)
    assert (plain / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert told(plain)["history"] == told(again)["history"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU; none is here")
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiled_model_learns_the_same(
    attempt: Attempt, bases: dict[str, Path], tmp_path: Path, method: str
) -> None:
    """Without dropout, whose noise the compiler draws in its own way; the base has it in its config."""
    folder = without_dropout(bases["classify"], tmp_path / "base")
    chosen = METHODS.get(method, {"kind": method})
    settings = {"max_samples": 48, "batch_size": 16}
    plain, compiled = (
        told(start(attempt, str(compile), "classify", folder, chosen, compile=compile, **settings))["history"]
        for compile in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
        assert other["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-4)


def test_no_compiler_is_told(attempt: Attempt, bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danlu.learning.models.shutil.which", lambda _: None)
    with pytest.raises(MissingDependency, match=r"C\+\+ compiler.*train\.compile: false"):
        start(attempt, "run", "classify", bases["classify"], {"kind": "full"}, compile=True)


def without_dropout(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (copy / "config.json").write_text(json.dumps(config))
    return copy
