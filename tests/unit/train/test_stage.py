"""What the stage writes, learns, refuses and tells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from danlu.core.errors import BudgetReached, DataError, ModelError, UserError
from danlu.core.machine import this_machine
from danlu.examples import tiny_rows
from danlu.learning.batching import unpack_rows
from danlu.learning.models import load_checkpoint
from danlu.learning.text import encode, load_tokenizer, pad, pad_id
from tests.unit.train.conftest import MODEL, Attempt, write_corpus


def facts(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())


def test_a_checkpoint_is_loaded_by_transformers_as_it_is(attempt: Attempt) -> None:
    out = attempt("run", "classify").out
    model = AutoModelForSequenceClassification.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert model.config.id2label == {0: "bad", 1: "good"}
    texts = ["the lamp is great and arrived in may no 3", "a broken pan"]
    theirs = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    ours_tokenizer = load_tokenizer(out)
    ids, mask = pad(encode(ours_tokenizer, texts, 48), pad_id(ours_tokenizer))
    ours = load_checkpoint(out)(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
    torch.testing.assert_close(ours, theirs)
    about = json.loads((out / "danlu.json").read_text())
    assert about["task"] == "classify"
    assert about["labels"] == ["bad", "good"]
    assert about["max_length"] == 48
    assert about["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (out / "logs" / "speed.json").exists()
    assert list((out / "logs" / "tensorboard").iterdir())


def test_a_generator_is_loaded_by_transformers_and_writes(attempt: Attempt) -> None:
    out = attempt("run", "generate", epochs=8.0).out
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    prompt = tokenizer("the lamp", return_tensors="pt")
    assert prompt["input_ids"][0, 0] == tokenizer.bos_token_id
    written = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(written[0], skip_special_tokens=True).startswith("the lamp")
    history = facts(out)["history"]
    assert history[-1]["validation_score"] < history[0]["validation_score"] < 400


def test_the_root_holds_the_best_weights_and_last_the_last(attempt: Attempt) -> None:
    out = attempt("run", "classify", epochs=4.0, early_stopping=0, learning_rate=0.02).out
    history, best = facts(out)["history"], facts(out)["best"]
    assert best["value"] == max(row["validation_score"] for row in history)
    assert best["metric"] == "macro_f1"
    same = (out / "model.safetensors").read_bytes() == (out / "last" / "model.safetensors").read_bytes()
    assert same == (best["step"] == history[-1]["step"])


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_32_examples_are_learned_by_heart(attempt: Attempt, tmp_path: Path, task: str) -> None:
    corpus = write_corpus(tmp_path / "corpus", task, rows=32, held_out=32)
    rate = {"classify": 0.003, "generate": 0.01}[task]
    settings = {"epochs": 40.0, "learning_rate": rate, "early_stopping": 0, "validations_per_epoch": 1}
    model = {"scratch": {"layers": 1, "width": 64, "heads": 2, "vocabulary": 600}, "max_length": 48}
    out = attempt("run", task, corpus=corpus, model=model, **settings).out
    final = facts(out)["history"][-1]["train_loss"]
    assert final < {"classify": 0.05, "generate": 0.6}[task]


def test_fewer_samples_than_a_pass_and_which_rows_were_seen(attempt: Attempt) -> None:
    out = attempt("run", "classify", max_samples=40).out
    told = facts(out)
    assert told["samples"] == 40
    assert told["steps"] == 5
    seen = unpack_rows(told["rows"])
    assert len(seen) == 96
    assert seen.sum() == told["rows"]["seen"] == 40
    assert facts(attempt("all", "classify").out)["rows"] == {"total": 96, "seen": 96, "bitmap": None}


def test_auto_length_is_resolved(attempt: Attempt) -> None:
    out = attempt("run", "classify", model=MODEL | {"max_length": "auto"}, max_samples=8).out
    about = json.loads((out / "danlu.json").read_text())
    assert about["max_length"] % 8 == 0
    assert 8 < about["max_length"] < 48


def test_class_weights_change_what_is_learned(attempt: Attempt, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", "classify")
    rows = tiny_rows(400)
    skewed = [row for row in rows if row["label"] == "good"][:90] + [row for row in rows if row["label"] == "bad"][:6]
    parquet.write_table(pa.Table.from_pylist(skewed), corpus / "train" / "part-0.parquet")
    chance = {}
    for weights in ("none", "balanced"):
        settings = {"class_weights": weights, "early_stopping": 0}
        out = attempt(weights, "classify", corpus=corpus, **settings).out
        shutil.copyfile(out / "last" / "model.safetensors", out / "model.safetensors")
        tokenizer, model = load_tokenizer(out), load_checkpoint(out)
        ids, mask = pad(encode(tokenizer, [row["text"] for row in rows if row["label"] == "bad"], 48), 0)
        with torch.inference_mode():
            logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
        chance[weights] = float((logits.softmax(-1)[:, 0]).mean())
    assert chance["balanced"] > chance["none"] + 0.1


def test_a_base_model_is_trained_on(attempt: Attempt) -> None:
    first = attempt("first", "classify").out
    base = {"base": "first/out", "max_length": 32}
    out = attempt("second", "classify", model=base, resources={"model.base": first}, max_samples=16).out
    about = json.loads((out / "danlu.json").read_text())
    assert about["base"] == "out"
    assert about["max_length"] == 32
    assert (out / "model.safetensors").read_bytes() != (first / "model.safetensors").read_bytes()
    too_long = {"base": "first/out", "max_length": 1000}
    with pytest.raises(ModelError, match="at most 512"):
        attempt("third", "classify", model=too_long, resources={"model.base": first})


def test_a_loss_that_is_no_number_is_told_and_loses_nothing(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    import danlu.train.loop as loop

    steps = 0
    plain = loop.train_step

    def spoiled(accelerator: object, model: torch.nn.Module, *rest: object, **settings: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 4:  # before the first validation: there is no model to end with
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))
        return plain(accelerator, model, *rest, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", spoiled)
    with pytest.raises(UserError, match=r"not a number at step 4 of 24.*learning_rate"):
        attempt("run", "classify", checkpoint_minutes=1e-9, guard={"max_skips": 0})
    monkeypatch.setattr(loop, "train_step", plain)
    whole = attempt("whole", "classify")
    again = attempt("run", "classify", checkpoint_minutes=1e-9)
    assert (again.out / "model.safetensors").read_bytes() == (whole.out / "model.safetensors").read_bytes()


def test_the_cap_on_hours_saves_and_stops(attempt: Attempt, tmp_path: Path) -> None:
    with pytest.raises(BudgetReached, match=r"budget\.hours"):
        attempt("run", "classify", deadline=1.0)
    assert (tmp_path / "run" / "state" / "latest.json").exists()


def test_progress_tells_loss_and_speed(attempt: Attempt) -> None:
    events = attempt("run", "classify").emit.events  # type: ignore[attr-defined]
    bars = [event for event in events if event["type"] == "progress" and event["what"] == "train"]
    assert bars[0]["total"] == 192
    assert bars[-1]["done"] == 192
    assert any({"loss", "samples_per_second"} <= event["info"].keys() for event in bars)


def test_an_unknown_label_and_an_empty_part_are_told(attempt: Attempt, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", "classify")
    (corpus / "card.json").write_text(json.dumps({"task": "classify", "labels": ["good", "other"]}))
    with pytest.raises(DataError, match="'bad'"):
        attempt("run", "classify", corpus=corpus)
    (corpus / "train" / "part-0.parquet").unlink()
    with pytest.raises(DataError, match="no rows in its train part"):
        attempt("run", "classify", corpus=corpus)


@pytest.mark.skipif(not this_machine().has_bf16, reason="products in bfloat16 do not run in hardware here")
def test_bfloat16_learns_too_and_weights_stay_float32(attempt: Attempt) -> None:
    out = attempt("run", "classify", precision="auto", epochs=3.0).out
    assert facts(out)["precision"] == "bfloat16"
    losses = [row["train_loss"] for row in facts(out)["history"]]
    assert losses[-1] < losses[0]
    assert {tensor.dtype for tensor in load_checkpoint(out).state_dict().values()} == {torch.float32}
    assert np.isfinite(losses).all()
