"""Columns beside a text: how they are coded, what the head makes of them, and that the encoder stays transformers'."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from danlu.core.asked import Asked, Cell
from danlu.core.columns import MISSING, UNKNOWN, Codes, read_codes
from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.learning import scratch
from danlu.learning.adapters.config import FreezeMethod
from danlu.learning.adapters.part import freeze
from danlu.learning.asking import COLUMNS, cells_of, coded, load_codes, questions
from danlu.learning.fast import NarrowVocabulary, fast_attention
from danlu.learning.fusion import HEAD_WEIGHTS, FusionModel, with_columns
from danlu.learning.models import head_settings, load_checkpoint
from danlu.learning.objectives.base import Facts, forward
from danlu.learning.objectives.config import DEFAULTS
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.weights import set_dropout
from danlu.learning.step import make_accelerator, train_step

#: The texts say nothing: a number tells one half of the label, a category the other.
ROWS: dict[str, Any] = {
    "text": [f"is the parcel here, order {n // 4}" for n in range(32)],
    "numbers": [[("amount", 100.0 + 50.0 * (n % 2))] for n in range(32)],
    "categories": [[("channel", ("app", "web")[n // 2 % 2])] for n in range(32)],
}
ROWS["label"] = ["yes" if n % 2 != n // 2 % 2 else "no" for n in range(32)]
ROWS["labels"] = [[label] if label == "yes" else [] for label in ROWS["label"]]
ROWS["value"] = [4.0 if label == "yes" else 2.0 for label in ROWS["label"]]
TOKENIZER = scratch.train_tokenizer(ROWS["text"], scratch.ENCODER, 300)
SHAPE = scratch.Shape(layers=1, width=32, heads=2, positions=64)
CODES = Codes.of(cells_of(ROWS), ["amount"], ["channel"])


def fused(labels: list[str], codes: Codes = CODES) -> FusionModel:
    torch.manual_seed(0)
    return with_columns(scratch.make_encoder(SHAPE, TOKENIZER, labels), codes, head_settings("classifier", labels))


def test_numbers_are_standardised_by_the_training_rows_and_a_missing_one_is_their_mean() -> None:
    rows: list[dict[str, Cell]] = [{"a": 1.0}, {"a": 3.0}, {"a": None}, {}]
    codes = Codes.of(rows, ["a", "b"], [])
    assert (codes.numeric[0].mean, codes.numeric[0].std) == (2.0, 1.0)
    assert codes.numbers({"a": 4.0}) == [2.0, 0.0, 0.0, 1.0]
    assert codes.numbers({}) == [0.0, 1.0, 0.0, 1.0]
    assert codes.numbers({"a": math.nan}) == codes.numbers({"a": None}) == [0.0, 1.0, 0.0, 1.0]
    assert Codes.of([{"a": 7.1}] * 3, ["a"], []).numbers({"a": 8.1}) == [pytest.approx(1.0), 0.0]


def test_a_category_of_one_row_is_no_value_of_the_model_and_unknown_is_not_missing() -> None:
    column = Codes.of([{"c": "b"}, {"c": "a"}, {"c": "b"}, {"c": "a"}, {"c": "only me"}], [], ["c"]).categorical[0]
    assert column.values == ("a", "b")
    assert [column.place(cell) for cell in ("a", "b", "only me", "z", None)] == [2, 3, UNKNOWN, UNKNOWN, MISSING]
    assert column.size == 4


def test_codes_do_not_depend_on_the_order_of_rows_and_come_back_from_json() -> None:
    rows: list[dict[str, Cell]] = [{"a": 0.1 * n, "c": "xy"[n % 2]} for n in range(50)]
    codes = Codes.of(rows, ["a"], ["c"])
    assert codes == Codes.of(rows[::-1], ["a"], ["c"]) == read_codes(codes.as_json())


def test_rows_of_a_corpus_are_asked_with_their_cells() -> None:
    rows: dict[str, Any] = {"text": ["t", "u"], "numbers": [[("a", 1.0)], None], "categories": [[("c", "x")], []]}
    assert questions(rows) == [Asked(text="t", columns={"a": 1.0, "c": "x"}), Asked(text="u", columns={})]
    found = coded(Codes.of([{"a": 1.0}], ["a"], []), cells_of(rows))
    assert found["numbers"].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert "categories" not in found


def test_the_head_is_what_its_formula_says(tmp_path: Path) -> None:
    model = fused(["no", "yes"]).eval()
    objective = make_objective(
        DEFAULTS["classify"], Facts(tokenizer=TOKENIZER, labels=["no", "yes"], codes=CODES, two_segments=True)
    )
    batch = objective.examples(ROWS, 64).batch(np.arange(5), 0)
    with torch.no_grad():
        found = forward(model, batch).logits
        hidden = model.encoder(
            input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask)
        ).last_hidden_state
    weights = {name: value.numpy() for name, value in model.head.state_dict().items()}
    mask = batch.mask[:, :, None]
    text = (hidden.numpy() * mask).sum(axis=1) / mask.sum(axis=1)
    vector = weights["places.0.weight"][batch.columns["categories"][:, 0]]
    whole = np.concatenate([text, batch.columns["numbers"], vector], axis=1)
    mixed = torch.nn.functional.gelu(torch.from_numpy(whole @ weights["hidden.weight"].T + weights["hidden.bias"]))
    expected = mixed.numpy() @ weights["answer.weight"].T + weights["answer.bias"]
    assert np.abs(found.numpy() - expected).max() < 1e-5
    assert not weights["places.0.weight"][UNKNOWN].any()


def test_a_checkpoint_comes_back_and_its_encoder_is_transformers_own(tmp_path: Path) -> None:
    model = fused(["no", "yes"]).eval()
    model.save_pretrained(tmp_path)
    back = load_checkpoint(tmp_path)
    assert isinstance(back, FusionModel)
    assert back.config.id2label == {0: "no", 1: "yes"}
    for (name, ours), theirs in zip(model.state_dict().items(), back.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    alone = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.equal(alone(ids).last_hidden_state, model.encoder(ids).last_hidden_state)
    assert load_codes(tmp_path) == CODES
    assert sorted(load_file(tmp_path / HEAD_WEIGHTS)) == sorted(model.head.state_dict())
    (tmp_path / COLUMNS).write_text('{"numeric": [], "categorical": []}', encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit the columns"):
        load_checkpoint(tmp_path)
    (tmp_path / COLUMNS).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_what_training_does_to_a_model_reaches_the_encoder() -> None:
    model = fused(["no", "yes"])
    frozen = freeze(model, FreezeMethod(layers="all"))
    assert not any(weight.requires_grad for weight in model.encoder.parameters())
    assert all(weight.requires_grad for weight in model.head.parameters())
    assert frozen.trainable == sum(weight.numel() for weight in model.head.parameters())
    open_model = fused(["no", "yes"])
    narrow = NarrowVocabulary(open_model, lambda: np.arange(20), 0)
    assert narrow.worth
    assert open_model.encoder.get_input_embeddings().num_embeddings == 20
    with narrow.widened():
        assert open_model.encoder.get_input_embeddings().num_embeddings == SHAPE_VOCABULARY
    with fast_attention(open_model):
        assert open_model.encoder.config._attn_implementation != "sdpa"
    assert open_model.encoder.config._attn_implementation == "sdpa"


SHAPE_VOCABULARY = TOKENIZER.get_vocab_size()


@pytest.mark.parametrize("task", ["classify", "tag", "regress"])
def test_a_model_learns_32_rows_by_heart_where_only_the_columns_tell(task: TaskName) -> None:
    aim = DEFAULTS[task]
    target = {"classify": "label", "tag": "labels", "regress": "value"}[task]
    labels = {"classify": ["no", "yes"], "tag": ["yes"], "regress": []}[task]
    facts = Facts(tokenizer=TOKENIZER, labels=labels, targets=ROWS[target], codes=CODES, two_segments=True)
    objective = make_objective(aim, facts)
    torch.manual_seed(0)
    encoder = scratch.make_encoder(SHAPE, TOKENIZER, labels)
    model = with_columns(encoder, CODES, head_settings(KINDS[aim.kind].head, labels))
    set_dropout(model, 0.0)
    optimizer = make_optimizer(model, AdamWOptimizer())
    batch = objective.examples(ROWS, 64).batch(np.arange(32), 0)
    accelerator = make_accelerator("float32")
    for _ in range(200):
        result = train_step(accelerator, model.train(), optimizer, objective, [batch], rate=5e-3, clip=1.0)
        if result.loss < 0.005:
            break
    with torch.no_grad():
        found = objective.outcome(model.eval(), batch)
    score = objective.score(found.loss.item(), batch.columns["labels"], found.predicted.numpy())
    assert (score == 1.0) if objective.higher_is_better else (score < 0.2)
