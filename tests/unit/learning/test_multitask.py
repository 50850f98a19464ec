"""Several targets over one encoder: each loss that of its own task, rows that lack targets, exact sums over batches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from danlu.core.errors import DataError, UserError
from danlu.core.heads import Head, columns, outputs_of
from danlu.learning import scratch
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import LabelsObjective, MultitaskObjective, ValueObjective, aim_of
from danlu.learning.objectives.multitask import weights_of_heads
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.weights import set_dropout
from danlu.learning.step import make_accelerator, train_step

TEXTS = [f"{'early' * (n % 2)} word{n} {'late' * (n // 2 % 2)} {'red' * (n // 4 % 2)}" for n in range(32)]
HEADS = (
    Head(name="mood", task="classify", labels=("bad", "good")),
    Head(name="says", task="tag", labels=("early", "late", "red")),
    Head(name="stars", task="regress"),
)
WHOLE = [
    {
        "mood": "good" if "red" in text else "bad",
        "says": [name for name in ("early", "late", "red") if name in text],
        "stars": 100.0 + 10.0 * (n % 2) + 3.0 * (n // 4 % 2),
    }
    for n, text in enumerate(TEXTS)
]
SHAPE = scratch.Shape(layers=1, width=32, heads=2, positions=64)
TOKENIZER = scratch.train_tokenizer(TEXTS * 4, scratch.ENCODER, 320)


def lacking(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without some of their targets: of the first eight rows one alone has a number."""
    left = {0: {"mood"}, 1: {"says"}, 2: {"mood", "stars"}, 3: {"mood", "says"}}
    return [
        {name: value for name, value in row.items() if name in left.get(n % 5, set(row))} for n, row in enumerate(rows)
    ]


SOME = lacking(WHOLE)


def rows_of(targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {"text": TEXTS, "targets": [json.dumps(row) for row in targets]}


def objective_of(rows: list[dict[str, Any]], **settings: Any) -> Objective:
    facts = Facts(tokenizer=TOKENIZER, heads=HEADS, targets=rows_of(rows)["targets"])
    return make_objective(MultitaskObjective(**settings), facts)


class Fixed(torch.nn.Module):
    """Answers every batch with the same logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, **_: Any) -> Any:
        return type("Output", (), {"logits": self.logits})()


def model_of(seed: int = 1) -> Any:
    torch.manual_seed(seed)
    model = scratch.MAKERS[KINDS["multitask"].head](SHAPE, TOKENIZER, outputs_of(HEADS))
    set_dropout(model, 0.0)
    return model


def test_a_batch_costs_what_its_rows_bring_to_the_means_over_all_rows() -> None:
    weights = {"mood": 2.0, "stars": 0.5}
    objective = objective_of(SOME, weights=weights)
    logits = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    batch = objective.examples(rows_of(SOME), 64).batch(np.arange(32), 0)
    found = objective.outcome(Fixed(logits), batch)
    mood, says, stars = (logits[:, part].double().numpy() for part in columns(HEADS))
    losses: dict[str, list[float]] = {"mood": [], "says": [], "stars": []}
    numbers = np.array([row["stars"] for row in SOME if "stars" in row])
    for n, row in enumerate(SOME):
        if "mood" in row:
            right = HEADS[0].labels.index(row["mood"])
            losses["mood"].append(np.log(np.exp(mood[n]).sum()) - mood[n, right])
        if "says" in row:
            truth = np.array([name in row["says"] for name in HEADS[1].labels])
            probability = 1.0 / (1.0 + np.exp(-says[n]))
            losses["says"].append(-np.log(np.where(truth, probability, 1.0 - probability)).mean())
        if "stars" in row:
            losses["stars"].append((stars[n, 0] - (row["stars"] - numbers.mean()) / numbers.std()) ** 2)
    expected = sum(weights.get(name, 1.0) * np.mean(of) for name, of in losses.items())
    assert found.loss.item() == pytest.approx(expected, rel=1e-5)
    assert found.weight == objective.weight(batch) == 32
    assert found.predicted.shape == (32, 1 + 3 + 1)


@pytest.mark.parametrize("cut", [1, 8, 5])
def test_batches_add_up_however_they_are_cut_although_rows_lack_targets(cut: int) -> None:
    gradients = []
    for size in (32, cut):
        model = model_of(3).eval()
        objective = objective_of(SOME)
        examples = objective.examples(rows_of(SOME), 64)
        for begin in range(0, 32, size):
            part = np.arange(begin, min(begin + size, 32))
            (objective.outcome(model, examples.batch(part, 0)).loss * len(part) / 32).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_step_of_eight_pieces_is_a_step_of_one_batch() -> None:
    steps = []
    for pieces in (1, 8):
        model = model_of(3)
        objective = objective_of(SOME)
        examples = objective.examples(rows_of(SOME), 64)
        optimizer = make_optimizer(model, AdamWOptimizer())
        batches = [examples.batch(part, 0) for part in np.array_split(np.arange(8), pieces)]
        result = train_step(
            make_accelerator("float32"), model.train(), optimizer, objective, batches, rate=1e-3, clip=1.0
        )
        steps.append(
            (result.loss, result.norm, torch.cat([weight.detach().flatten() for weight in model.parameters()]))
        )
    (loss, norm, weights), (other_loss, other_norm, other_weights) = steps
    assert other_loss == pytest.approx(loss, rel=1e-5)
    assert other_norm == pytest.approx(norm, rel=1e-4)
    # Adam divides by the gradient's size: of weights without any it makes a coin's toss of rounding.
    assert (other_weights - weights).abs().median() < 1e-7


def test_32_texts_are_learned_by_heart_on_all_targets() -> None:
    objective, model = objective_of(SOME), model_of()
    optimizer, accelerator = make_optimizer(model, AdamWOptimizer()), make_accelerator("float32")
    examples = objective.examples(rows_of(SOME), 64)
    batch = examples.batch(np.arange(32), 0)
    model.train()
    for _ in range(300):
        train_step(accelerator, model, optimizer, objective, [batch], rate=2e-3, clip=1.0)
    predicted = objective.outcome(model.eval(), batch).predicted.detach().numpy()
    # Every target counts a third, and none can be above 1.
    assert objective.score(0.0, batch.columns["labels"], predicted) > 0.96


def test_quality_is_the_mean_of_those_of_the_targets_and_leaves_out_one_that_no_row_has() -> None:
    objective = objective_of(WHOLE)
    numbers = np.array([row["stars"] for row in WHOLE])
    truth = objective.examples(rows_of(WHOLE), 64).batch(np.arange(32), 0).columns["labels"]
    predicted = truth.copy()
    assert objective.score(0.0, truth, predicted) == pytest.approx(1.0)
    predicted[:, -1] += 0.3  # standard deviations
    assert objective.score(0.0, truth, predicted) == pytest.approx(1.0 - 0.3 / 3)
    predicted[:, 0] = 0
    right = (np.array([row["mood"] for row in WHOLE]) == "bad").mean()
    macro = 2 * right / (1 + right) / 2
    assert objective.score(0.0, truth, predicted) == pytest.approx((macro + 1.0 + 0.7) / 3)
    truth[:, -1] = np.nan
    assert objective.score(0.0, truth, predicted) == pytest.approx((macro + 1.0) / 2)
    assert numbers.std() > 0


def test_classes_can_weigh_the_same_and_other_outputs_are_left_alone() -> None:
    rows = [{"mood": "bad"}, {"mood": "bad"}, {"mood": "bad"}, {"mood": "good", "stars": 1.0}]
    weights = weights_of_heads(HEADS, [json.dumps(row) for row in rows])
    assert weights.tolist() == pytest.approx([4 / 6, 2.0, 1.0, 1.0, 1.0, 1.0])


def test_what_cannot_be_learned_is_said() -> None:
    with pytest.raises(DataError, match="No training row has the target 'stars'"):
        objective_of([{"mood": "bad"}, {"says": []}, {"mood": "good"}])
    with pytest.raises(UserError, match=r"targets\.mood is value, which is for regress; the target is for classify"):
        objective_of(WHOLE, targets={"mood": ValueObjective()})
    with pytest.raises(ValueError, match="makes a model for task tag, but the recipe's task is multitask"):
        aim_of("multitask", LabelsObjective())


def test_a_target_can_learn_otherwise() -> None:
    plain, huber = objective_of(WHOLE), objective_of(WHOLE, targets={"stars": ValueObjective(loss="huber", delta=0.1)})
    logits = torch.zeros(32, 6)
    batch = plain.examples(rows_of(WHOLE), 64).batch(np.arange(32), 0)
    difference = plain.outcome(Fixed(logits), batch).loss - huber.outcome(Fixed(logits), batch).loss
    numbers = np.array([row["stars"] for row in WHOLE])
    error = np.abs(numbers - numbers.mean()) / numbers.std()
    expected = (error**2).mean() - np.where(error <= 0.1, error**2 / 0.2, error - 0.05).mean()
    assert difference.item() == pytest.approx(expected, rel=1e-4)
