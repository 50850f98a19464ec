"""Numbers pinned as equivalences: batching, losses, weights, the quicker pieces."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch import nn

from danlu.core.errors import UserError
from danlu.core.machine import this_machine
from danlu.core.tasks import TaskName
from danlu.learning import scratch
from danlu.learning.batching import Batch, Examples
from danlu.learning.fast import NarrowVocabulary, drop, fast_attention, quick_dropout
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.classes import balanced_weights, macro_f1
from danlu.learning.objectives.config import DEFAULTS
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.step import choose_precision, make_accelerator, train_step

TEXTS = ["a good and long text about a lamp", "bad lamp", "no", "it is what it is, a text", "good", "a very bad one"]
LABELS = np.array([1, 0, 0, 1, 1, 0])
NAMES = ["bad", "good"]
ROWS = {"text": TEXTS, "label": [NAMES[label] for label in LABELS]}
SHAPE = scratch.Shape(layers=2, width=32, heads=2, positions=64)


def tokenizer_of(task: TaskName) -> Tokenizer:
    return scratch.train_tokenizer(TEXTS * 4, scratch.VOCABULARIES[KINDS[DEFAULTS[task].kind].head], 320)


def objective_of(task: TaskName, class_weights: torch.Tensor | None = None) -> Objective:
    facts = Facts(tokenizer=tokenizer_of(task), labels=NAMES, class_weights=class_weights)
    return make_objective(DEFAULTS[task], facts)


def start(task: TaskName, *, dropout: bool = False) -> tuple[Any, Objective, Examples]:
    torch.manual_seed(5)
    model = scratch.MAKERS[KINDS[DEFAULTS[task].kind].head](SHAPE, tokenizer_of(task), NAMES)
    if not dropout:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
    objective = objective_of(task)
    return model.train(), objective, objective.examples(ROWS, 64)


def gradient(objective: Objective, model: Any, batches: list[Batch]) -> torch.Tensor:
    """Gradient of the mean loss over all `batches` together, as one vector."""
    model.zero_grad()
    outcomes = [objective.outcome(model, batch) for batch in batches]
    total = sum(outcome.weight for outcome in outcomes)
    assert total == sum(objective.weight(batch) for batch in batches)
    sum((outcome.loss * outcome.weight / total for outcome in outcomes), torch.zeros(())).backward()
    return gradients_of(model)


def gradients_of(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def batches_of(examples: Examples, groups: list[list[int]]) -> list[Batch]:
    return [examples.batch(np.array(rows), 0) for rows in groups]


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_bucketed_and_unbucketed_gradients_agree(task: TaskName) -> None:
    model, objective, examples = start(task)
    together = gradient(objective, model, batches_of(examples, [[0, 1, 2, 3, 4, 5]]))
    by_length = gradient(objective, model, batches_of(examples, [[2, 4], [1, 5], [0, 3]]))
    alone = gradient(objective, model, batches_of(examples, [[0], [1], [2], [3], [4], [5]]))
    torch.testing.assert_close(by_length, together, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-6)


def test_classify_loss_is_the_one_of_transformers() -> None:
    model, objective, examples = start("classify")
    batch = examples.batch(np.arange(6), 0)
    ours = objective.outcome(model, batch)
    theirs = model(
        input_ids=torch.from_numpy(batch.ids),
        attention_mask=torch.from_numpy(batch.mask),
        labels=torch.from_numpy(LABELS),
    ).loss
    torch.testing.assert_close(ours.loss, theirs)


def test_generate_loss_is_the_one_of_transformers() -> None:
    model, objective, examples = start("generate")
    batch = examples.batch(np.arange(6), 0)
    ours = objective.outcome(model, batch)
    labels = torch.from_numpy(np.where(batch.mask == 1, batch.ids, -100))
    theirs = model(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask), labels=labels
    ).loss
    torch.testing.assert_close(ours.loss, theirs)
    assert ours.weight == (examples.lengths - 1).sum()


def test_long_documents_go_on_and_every_token_is_a_target_once() -> None:
    objective = objective_of("generate")
    whole, pieces = objective.examples(ROWS, 1000), objective.examples(ROWS, 5)
    assert (pieces.lengths <= 5).all()
    assert (pieces.lengths - 1).sum() == (whole.lengths - 1).sum()
    assert set(pieces.rows) == set(range(len(TEXTS)))
    end = tokenizer_of("generate").token_to_id("</s>")
    assert (whole.tokens[whole.starts[1:] - 1] == end).all()


def test_class_weights_are_scikit_learns_and_add_up_over_batches() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(labels, 3).numpy(), expected, rtol=1e-6)
    model, _objective, examples = start("classify")
    weights = balanced_weights(LABELS[:5], 2)
    weighted = objective_of("classify", weights)
    parts = [examples.batch(np.array(rows), 0) for rows in ([0, 1, 2, 3, 4], [0, 1], [2, 3, 4])]
    whole, first, second = (weighted.outcome(model, part) for part in parts)
    torch.testing.assert_close(whole.loss, (2 * first.loss + 3 * second.loss) / 5)
    with torch.inference_mode():
        logits = model(input_ids=torch.from_numpy(parts[0].ids), attention_mask=torch.from_numpy(parts[0].mask)).logits
        labels = torch.from_numpy(LABELS[:5])
        by_hand = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(whole.loss.detach(), by_hand)


def test_macro_f1_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(3)
    truth, predicted = draw.integers(0, 4, 200), draw.integers(0, 4, 200)
    assert macro_f1(truth, predicted, 4) == pytest.approx(f1_score(truth, predicted, average="macro"))
    # A class that does not occur is left out, as in the test scores, even when it is predicted.
    assert macro_f1(np.array([0, 1]), np.array([0, 0]), 3) == pytest.approx((2 / 3) / 2)
    assert macro_f1(np.array([0, 1]), np.array([0, 2]), 3) == pytest.approx(1 / 2)


def test_a_step_that_is_not_finite_leaves_the_weights_alone() -> None:
    model, objective, examples = start("classify")
    with torch.no_grad():
        model.classifier.bias.fill_(math.inf)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    optimizer = make_optimizer(model, AdamWOptimizer(weight_decay=0.1))
    accelerator = make_accelerator("float32")
    batches = batches_of(examples, [[0, 1, 2, 3, 4, 5]])
    result = train_step(accelerator, model, optimizer, objective, batches, rate=1.0, clip=1.0)
    assert not result.finite
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_short_attention_gives_the_gradient_of_the_general_kernel(task: TaskName) -> None:
    model, objective, examples = start(task)
    batches = batches_of(examples, [[0, 1, 2], [3, 4, 5], [4]])
    general = gradient(objective, model, batches)
    with fast_attention(model):
        assert model.config._attn_implementation == "danlu_short"
        short = gradient(objective, model, batches)
    assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(short, general, rtol=1e-4, atol=1e-6)


def test_quick_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x = torch.ones(200, 501, requires_grad=True)
    torch.manual_seed(0)
    y = drop(x, 0.1)
    y.sum().backward()
    y = y.detach()
    assert float((y == 0).float().mean()) == pytest.approx(0.1, abs=0.005)
    assert float(y.mean()) == pytest.approx(1.0, abs=0.005)
    torch.testing.assert_close(x.grad, y)
    torch.manual_seed(0)
    assert torch.equal(drop(x, 0.1), y)
    rows = (y == 0).float().mean(dim=0)
    assert float(rows.max()) < 0.25


def test_quick_dropout_is_off_in_eval_mode() -> None:
    model, objective, examples = start("classify", dropout=True)
    quick_dropout(model)
    batch = examples.batch(np.arange(6), 0)
    noisy = [objective.outcome(model, batch).loss.item() for _ in range(2)]
    model.eval()
    quiet = [objective.outcome(model, batch).loss.item() for _ in range(2)]
    assert noisy[0] != noisy[1]
    assert quiet[0] == quiet[1]


def test_a_narrow_vocabulary_learns_the_same_weights() -> None:
    accelerator = make_accelerator("float32")
    wide, objective, examples = start("classify")
    narrow, _, _ = start("classify")
    used = examples.used(np.array([True] * 5 + [False]))
    vocabulary = NarrowVocabulary(narrow, lambda: used, 0)
    assert vocabulary.worth
    assert vocabulary.parameters() == sum(parameter.numel() for parameter in wide.parameters())
    for model, rows in ((wide, examples), (narrow, examples.renumbered(vocabulary.numbers))):
        optimizer = make_optimizer(model, AdamWOptimizer(weight_decay=0.0))
        for _ in range(3):
            batches = batches_of(rows, [[0, 1, 2, 3, 4]])
            train_step(accelerator, model, optimizer, objective, batches, rate=1e-3, clip=1.0)
    with vocabulary.widened():
        saved = narrow.state_dict()
        assert saved.keys() == wide.state_dict().keys()
        for name, value in wide.state_dict().items():
            torch.testing.assert_close(saved[name], value, rtol=1e-5, atol=1e-7)
    assert narrow.get_input_embeddings().num_embeddings < wide.get_input_embeddings().num_embeddings


def test_tied_embeddings_are_not_narrowed() -> None:
    model, _, examples = start("generate")
    assert not NarrowVocabulary(model, lambda: examples.used(np.ones(len(examples), dtype=bool)), 0).worth


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_one_batch_of_six_steps_like_six_of_one(task: TaskName) -> None:
    """Accumulation is exact: each piece counts by its targets."""
    steps = []
    for groups in ([[0, 1, 2, 3, 4, 5]], [[0, 1], [2, 3, 4, 5]], [[0], [1], [2], [3], [4], [5]]):
        model, objective, examples = start(task)
        optimizer = make_optimizer(model, AdamWOptimizer(weight_decay=0.01))
        result = train_step(
            make_accelerator("float32"), model, optimizer, objective, batches_of(examples, groups), rate=1e-3, clip=1.0
        )
        steps.append((result, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])))
    (whole, weights), *others = steps
    for result, theirs in others:
        assert result.loss == pytest.approx(whole.loss, abs=1e-5)
        assert result.norm == pytest.approx(whole.norm, rel=1e-4)
        assert (result.weight, result.samples) == (whole.weight, whole.samples)
        # Adam's first step is the sign of a gradient: where that is almost nothing, rounding decides.
        assert float((theirs - weights).abs().gt(1e-5).float().mean()) < 0.01


@pytest.mark.parametrize("short", [False, True], ids=["general", "short"])
def test_packed_documents_have_the_loss_and_gradient_of_padded_ones(short: bool) -> None:
    model, objective, examples = start("generate")
    with fast_attention(model) if short else contextlib.nullcontext():
        _packed_and_padded_agree(model, objective, examples)


def _packed_and_padded_agree(model: Any, objective: Objective, examples: Examples) -> None:
    chosen = np.array([4, 0, 2, 5, 1])
    padded, packed = examples.batch(chosen, 0), examples.packed(chosen)
    assert packed.ids.shape == (1, int(examples.lengths[chosen].sum()))
    assert objective.weight(packed) == objective.weight(padded)
    torch.testing.assert_close(objective.outcome(model, packed).loss, objective.outcome(model, padded).loss)
    torch.testing.assert_close(
        gradient(objective, model, [packed]), gradient(objective, model, [padded]), rtol=1e-4, atol=1e-6
    )


def scaled(scale: float) -> Accelerator:
    """An accelerator whose loss is scaled, as with float16 on a GPU; here the scale itself is what overflows."""
    accelerator = make_accelerator("float32")
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return accelerator


def test_a_scaled_loss_learns_the_same_and_an_overflow_lowers_the_scale_and_leaves_the_weights() -> None:
    groups = [[0, 1, 2], [3, 4, 5]]
    learned = []
    for accelerator in (make_accelerator("float32"), scaled(1024.0)):
        model, objective, examples = start("classify")
        optimizer = make_optimizer(model, AdamWOptimizer())
        result = train_step(accelerator, model, optimizer, objective, batches_of(examples, groups), rate=1e-3, clip=0.1)
        learned.append((result, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])))
    (plain, weights), (other, others) = learned
    assert other.norm == pytest.approx(plain.norm, rel=1e-5)
    assert other.piece is not None
    assert plain.piece is not None
    assert other.piece.squared == pytest.approx(plain.piece.squared, rel=1e-5)
    torch.testing.assert_close(others, weights, rtol=1e-4, atol=1e-6)
    # The loss of some 6 times the scale is more than float32 holds.
    model, objective, examples = start("generate")
    optimizer = make_optimizer(model, AdamWOptimizer())
    accelerator = scaled(3e38)
    before = model.get_input_embeddings().weight.detach().clone()
    result = train_step(accelerator, model, optimizer, objective, batches_of(examples, groups), rate=1e-3, clip=1.0)
    assert result.overflow
    assert result.finite
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert accelerator.scaler.get_scale() == pytest.approx(1.5e38, rel=1e-3)


def test_a_gradient_that_no_scale_helps_is_no_number() -> None:
    model, objective, examples = start("classify")
    with torch.no_grad():
        model.classifier.bias.fill_(math.inf)
    optimizer = make_optimizer(model, AdamWOptimizer())
    result = train_step(scaled(1.0), model, optimizer, objective, batches_of(examples, [[0, 1]]), rate=1e-3, clip=1.0)
    assert not result.overflow
    assert not result.finite


def test_float16_is_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"float16.*no GPU.*bfloat16"):
        choose_precision("float16", this_machine())
    assert choose_precision("auto", this_machine()) in {"float32", "bfloat16"}
