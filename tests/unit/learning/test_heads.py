"""Several labels and numbers: the losses against their formulas, and models that learn 32 texts by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from danlu.learning import scratch
from danlu.learning.models import LOADERS, head_settings
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import DEFAULTS, LabelsObjective, ValueObjective, aim_of
from danlu.learning.objectives.labels import average_precision, indicators, positive_weights
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.weights import set_dropout
from danlu.learning.scale import Scale
from danlu.learning.step import make_accelerator, train_step

NAMES = ["early", "late", "red"]
TEXTS = [f"{'early' * (n % 2)} word{n} {'late' * (n // 2 % 2)} {'red' * (n // 4 % 2)}" for n in range(32)]
ROWS: dict[str, Any] = {
    "text": TEXTS,
    "labels": [[name for name in NAMES if name in text] for text in TEXTS],
    "value": [100.0 + 10.0 * (n % 2) + 3.0 * (n // 4 % 2) for n in range(32)],
}
SHAPE = scratch.Shape(layers=1, width=32, heads=2, positions=64)
TOKENIZER = scratch.train_tokenizer(TEXTS * 4, scratch.ENCODER, 320)


def objective_of(config: LabelsObjective | ValueObjective) -> Objective:
    target = {"labels": ROWS["labels"], "value": ROWS["value"]}[config.kind]
    return make_objective(config, Facts(tokenizer=TOKENIZER, labels=NAMES, targets=target))


class Fixed(torch.nn.Module):
    """Answers every batch with the same logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, **_: Any) -> Any:
        return type("Output", (), {"logits": self.logits})()


def test_labels_cost_binary_cross_entropy_each_by_itself() -> None:
    objective = objective_of(LabelsObjective())
    batch = objective.examples(ROWS, 64).batch(np.arange(4), 0)
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.5, -2.0], [3.0, -0.5, 0.1], [1.0, 1.0, -3.0]])
    found = objective.outcome(Fixed(logits), batch)
    probability = 1.0 / (1.0 + np.exp(-logits.numpy().astype(np.float64)))
    truth = np.array([[name in text for name in NAMES] for text in TEXTS[:4]])
    assert found.loss.item() == pytest.approx(-np.log(np.where(truth, probability, 1 - probability)).mean(), abs=1e-6)
    assert found.predicted.detach().numpy() == pytest.approx(probability, abs=1e-6)
    assert found.weight == objective.weight(batch) == 4


def test_balanced_labels_weigh_as_much_as_their_absence() -> None:
    truth = indicators([["red"], [], [], ["early"]], NAMES)
    assert positive_weights(truth).tolist() == [3.0, 1.0, 3.0]
    objective = objective_of(LabelsObjective(positive_weights="balanced"))
    rare = {"text": TEXTS[:2], "labels": [["early"], []]}
    batch = objective.examples(rare, 64).batch(np.arange(2), 0)
    # Half of the 32 rows have each label, so that nothing changes here.
    plain = objective_of(LabelsObjective()).outcome(Fixed(torch.zeros(2, 3)), batch).loss
    assert objective.outcome(Fixed(torch.zeros(2, 3)), batch).loss.item() == pytest.approx(plain.item())


def test_average_precision_is_scikit_learns_mean_over_labels_that_occur() -> None:
    random = np.random.default_rng(0)
    scores = np.round(random.random((50, 4)), 1)
    truth = random.random((50, 4)) < 0.3
    truth[:, 3] = False
    expected = metrics.average_precision_score(truth[:, :3], scores[:, :3])
    assert average_precision(truth, scores) == pytest.approx(expected)


@pytest.mark.parametrize(("loss", "delta"), [("squared", 1.0), ("huber", 0.5), ("huber", 2.0)])
def test_numbers_cost_squares_or_hubers_loss_in_standard_deviations(loss: Any, delta: float) -> None:
    objective = objective_of(ValueObjective(loss=loss, delta=delta))
    batch = objective.examples(ROWS, 64).batch(np.arange(5), 0)
    mean, std = np.mean(ROWS["value"]), np.std(ROWS["value"])
    answers = np.array([0.3, -4.0, 0.0, 2.5, -0.2])
    error = np.abs(answers - (np.array(ROWS["value"][:5]) - mean) / std)
    huber = np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)) / delta
    expected = (error**2 if loss == "squared" else huber).mean()
    found = objective.outcome(Fixed(torch.tensor(answers, dtype=torch.float32).reshape(-1, 1)), batch)
    assert found.loss.item() == pytest.approx(expected, rel=1e-5)
    # The score is in the user's unit.
    assert objective.score(0.0, batch.columns["labels"], answers.astype(np.float32)) == pytest.approx(
        std * error.mean(), rel=1e-5
    )


def test_a_scale_goes_back_to_the_unit_it_came_from() -> None:
    scale = Scale.of([10.0, 20.0, 30.0])
    assert scale.restored(scale.standardised([15.0, 30.0])) == pytest.approx([15.0, 30.0])
    assert Scale.of([7.0, 7.0]).standardised([7.0]).tolist() == [0.0]


@pytest.mark.parametrize("task", ["tag", "regress"])
def test_32_texts_are_learned_by_heart(task: Any) -> None:
    config = DEFAULTS[task]
    assert isinstance(config, LabelsObjective | ValueObjective)
    torch.manual_seed(1)
    objective = objective_of(config)
    model = scratch.MAKERS[KINDS[config.kind].head](SHAPE, TOKENIZER, NAMES)
    set_dropout(model, 0.0)
    optimizer = make_optimizer(model, AdamWOptimizer())
    accelerator = make_accelerator("float32")
    examples = objective.examples(ROWS, 64)
    batch = examples.batch(np.arange(32), 0)
    model.train()
    for _ in range(150):
        train_step(accelerator, model, optimizer, objective, [batch], rate=1e-3, clip=1.0)
    found = objective.outcome(model.eval(), batch)
    score = objective.score(0.0, batch.columns["labels"], found.predicted.detach().numpy())
    assert score > 0.99 if task == "tag" else score < 0.1 * np.std(ROWS["value"])


def test_eight_pieces_give_the_gradient_of_one_batch() -> None:
    for config in (LabelsObjective(), ValueObjective()):
        gradients = []
        for pieces in (1, 8):
            torch.manual_seed(3)
            model = scratch.MAKERS[KINDS[config.kind].head](SHAPE, TOKENIZER, NAMES).eval()
            objective = objective_of(config)
            examples = objective.examples(ROWS, 64)
            for part in np.array_split(np.arange(16), pieces):
                (objective.outcome(model, examples.batch(part, 0)).loss * len(part) / 16).backward()
            gradients.append(
                torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
            )
        assert torch.allclose(*gradients, atol=1e-6)


def test_heads_say_what_they_are_in_transformers_words() -> None:
    assert head_settings("tagger", NAMES)["problem_type"] == "multi_label_classification"
    assert head_settings("tagger", NAMES)["num_labels"] == 3
    assert head_settings("regressor", []) == {"problem_type": "regression", "num_labels": 1}
    assert head_settings("causal", []) == {}
    assert set(scratch.MAKERS) == set(scratch.VOCABULARIES) == set(LOADERS)


def test_an_objective_is_for_its_own_task() -> None:
    assert aim_of("tag", None) == LabelsObjective()
    with pytest.raises(ValueError, match="makes a model for task regress, but the recipe's task is tag"):
        aim_of("tag", ValueObjective())
