"""Adversarial training, L1 and dropout against their formulas written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from danlu.core.errors import UserError
from danlu.learning.batching import Batch
from danlu.learning.fast import quick_dropout
from danlu.learning.objectives.base import Objective, Outcome
from danlu.learning.optimizers.config import SGDOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.adversary import Adversary, watched
from danlu.learning.regularizers.config import FGMConfig, PGDConfig, RegularizeConfig
from danlu.learning.regularizers.weights import Regularizer, add_l1, set_dropout
from danlu.learning.step import make_accelerator, train_step
from tests.unit.learning.test_step import batches_of, start


def step(model: Any, objective: Objective, batches: list[Batch], regularizer: Regularizer, clip: float = 1e9) -> Any:
    """One step of plain descent with rate 1: the weights move by the gradient."""
    optimizer = make_optimizer(model, SGDOptimizer(momentum=0.0))
    return train_step(
        make_accelerator("float32"), model, optimizer, objective, batches, rate=1.0, clip=clip, regularizer=regularizer
    )


def weights(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def moved(model: Any, objective: Objective, batches: list[Batch], regularizer: Regularizer) -> torch.Tensor:
    before = weights(model)
    step(model, objective, batches, regularizer)
    return before - weights(model)


def gradient_at(model: Any, objective: Objective, batch: Batch, disturbance: torch.Tensor | None) -> tuple[Any, Any]:
    """Gradients of the loss by the weights and by the embeddings, written with torch alone."""
    table = model.get_input_embeddings()
    embeddings = F.embedding(torch.from_numpy(batch.ids), table.weight, padding_idx=table.padding_idx)
    shifted = embeddings if disturbance is None else embeddings + disturbance
    shifted.retain_grad()
    logits = model(inputs_embeds=shifted, attention_mask=torch.from_numpy(batch.mask)).logits
    model.zero_grad()
    F.cross_entropy(logits, torch.from_numpy(batch.columns["labels"])).backward()
    by_weights = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return by_weights, shifted.grad


def length(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).norm(dim=1)[:, None, None]


def test_fgm_is_the_gradient_of_the_loss_at_the_worst_neighbour() -> None:
    model, objective, examples = start("classify")
    batch = examples.batch(np.arange(6), 0)
    plain, by_embeddings = gradient_at(model, objective, batch, None)
    worst, _ = gradient_at(model, objective, batch, 0.3 * by_embeddings / length(by_embeddings))
    regularizer = Regularizer.of(RegularizeConfig(adversarial=FGMConfig(epsilon=0.3)))
    torch.testing.assert_close(moved(model, objective, [batch], regularizer), (plain + worst) / 2, rtol=1e-4, atol=1e-6)


def test_pgd_goes_several_steps_and_stays_in_its_ball() -> None:
    model, objective, examples = start("classify")
    batch = examples.batch(np.arange(6), 0)
    plain, by_embeddings = gradient_at(model, objective, batch, None)
    found = torch.zeros_like(by_embeddings)
    for place in range(3):
        if place:
            _, by_embeddings = gradient_at(model, objective, batch, found)
        found = found + 0.2 * by_embeddings / length(by_embeddings)
        found = found * torch.clamp(0.35 / length(found), max=1.0)
    assert length(found).max() == pytest.approx(0.35, rel=1e-5)
    worst, _ = gradient_at(model, objective, batch, found)
    config = RegularizeConfig(adversarial=PGDConfig(epsilon=0.35, steps=3, step_size=0.2))
    torch.testing.assert_close(
        moved(model, objective, [batch], Regularizer.of(config)), (plain + worst) / 2, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_an_adversary_raises_the_loss_more_than_chance_and_holds_in_pieces(task: Any) -> None:
    model, objective, examples = start(task)
    batch = examples.batch(np.arange(6), 0)
    adversary = Adversary(epsilon=1.0, steps=1, step_size=1.0)

    def loss(disturbance: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        with watched(model, disturbance) as embeddings:
            value = objective.outcome(model, batch).loss
        return value, embeddings[0]

    value, embeddings = loss()
    value.backward()
    found = adversary.disturbance(model, lambda: loss()[0], embeddings.grad)
    chance = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    assert loss(found)[0] > value
    assert loss(found)[0] > loss(chance / length(chance))[0]
    regularizer = Regularizer(adversary=adversary)
    whole, whole_objective, _ = start(task)
    parts, parts_objective, _ = start(task)
    one = moved(whole, whole_objective, batches_of(examples, [[0, 1, 2, 3, 4, 5]]), regularizer)
    three = moved(parts, parts_objective, batches_of(examples, [[0, 1], [2, 3], [4, 5]]), regularizer)
    # Each row has a disturbance of its own, so pieces change nothing.
    torch.testing.assert_close(three, one, rtol=1e-3, atol=1e-5)


def test_the_time_of_an_adversary_is_measured_and_frozen_embeddings_may_be_disturbed() -> None:
    model, objective, examples = start("classify")
    model.get_input_embeddings().requires_grad_(False)
    regularizer = Regularizer(adversary=Adversary(epsilon=0.5, steps=2, step_size=0.4))
    result = step(model, objective, batches_of(examples, [[0, 1, 2, 3]]), regularizer)
    assert result.adversarial_seconds > 0
    assert result.finite
    plain = step(model, objective, batches_of(examples, [[0, 1, 2, 3]]), Regularizer())
    assert plain.adversarial_seconds == 0


def test_an_objective_that_calls_the_model_twice_is_refused() -> None:
    model, objective, examples = start("classify")

    def twice(inner: Any, batch: Batch) -> Outcome:
        objective.outcome(inner, batch)
        return objective.outcome(inner, batch)

    changed = Objective(**{**vars(objective), "outcome": twice})
    with pytest.raises(UserError, match=r"calls the model once.*2 times"):
        step(
            model,
            changed,
            batches_of(examples, [[0]]),
            Regularizer(adversary=Adversary(epsilon=1, steps=1, step_size=1)),
        )


def test_l1_adds_the_sign_of_weights_but_not_of_biases_and_makes_weights_small() -> None:
    model = torch.nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, -0.1]]))
    (model(torch.ones(1, 3)).sum() * 0.0).backward()
    add_l1(model, 0.25)
    assert model.weight.grad.tolist() == [[0.25, -0.25, 0.0], [0.25, 0.0, -0.25]]
    assert model.bias.grad.tolist() == [0.0, 0.0]
    sizes = []
    for strength in (0.0, 1e-3):
        trained, objective, examples = start("classify")
        for _ in range(5):
            step(trained, objective, batches_of(examples, [[0, 1, 2, 3, 4, 5]]), Regularizer(l1=strength))
        sizes.append(sum(p.detach().abs().sum().item() for p in trained.parameters() if p.ndim > 1))
    assert sizes[1] < sizes[0]


def test_l1_is_the_same_in_pieces_and_left_out_of_the_noise() -> None:
    batches = [[0, 1, 2, 3, 4, 5]], [[0, 1, 2], [3, 4, 5]]
    models = [start("classify") for _ in batches]
    results = [
        step(model, objective, batches_of(examples, groups), Regularizer(l1=1e-3))
        for (model, objective, examples), groups in zip(models, batches, strict=True)
    ]
    torch.testing.assert_close(weights(models[0][0]), weights(models[1][0]), rtol=1e-4, atol=1e-6)
    plain, objective, examples = start("classify")
    without = step(plain, objective, batches_of(examples, batches[0]), Regularizer())
    assert results[1].squared == pytest.approx(without.norm**2, rel=1e-4)
    assert results[1].norm != pytest.approx(without.norm, rel=1e-4)


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_dropout_is_what_was_asked_for(task: Any) -> None:
    model, objective, examples = start(task, dropout=True)
    batch = examples.batch(np.arange(6), 0)

    def losses() -> set[float]:
        return {objective.outcome(model, batch).loss.item() for _ in range(3)}

    assert set_dropout(model, 0.4) >= 1
    quick_dropout(model)
    assert len(losses()) == 3
    set_dropout(model, 0.0)
    assert len(losses()) == 1
    with pytest.raises(UserError, match=r"dropout is 0\.1.*Linear has no dropout"):
        set_dropout(torch.nn.Linear(2, 2), 0.1)
