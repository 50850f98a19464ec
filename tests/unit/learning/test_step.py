"""Numbers pinned as equivalences: batching, losses, weights, the quicker pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from danlu.learning import scratch
from danlu.learning.batching import Examples
from danlu.learning.fast import NarrowVocabulary, drop, fast_attention, quick_dropout
from danlu.learning.objectives import OBJECTIVES, balanced_weights, macro_f1
from danlu.learning.step import make_accelerator, make_optimizer, rate_at, train_step

TEXTS = ["a good and long text about a lamp", "bad lamp", "no", "it is what it is, a text", "good", "a very bad one"]
LABELS = np.array([1, 0, 0, 1, 1, 0])
SHAPE = scratch.Shape(layers=2, width=32, heads=2, positions=64)


def start(task: str, *, dropout: bool = False) -> tuple[Any, Examples]:
    tokenizer = scratch.train_tokenizer(TEXTS * 4, scratch.VOCABULARIES[task], 320)
    torch.manual_seed(5)
    model = scratch.MAKERS[task](SHAPE, tokenizer, ["bad", "good"])
    if not dropout:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
    return model.train(), OBJECTIVES[task].examples(tokenizer, TEXTS, LABELS, 64)


def gradient(task: str, model: Any, examples: Examples, batches: list[list[int]]) -> torch.Tensor:
    """Gradient of the mean loss over all `batches` together, as one vector."""
    model.zero_grad()
    outcomes = [OBJECTIVES[task].outcome(model, examples.batch(np.array(rows), 0), None) for rows in batches]
    total = sum(outcome.weight for outcome in outcomes)
    sum((outcome.loss * outcome.weight / total for outcome in outcomes), torch.zeros(())).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_bucketed_and_unbucketed_gradients_agree(task: str) -> None:
    model, examples = start(task)
    together = gradient(task, model, examples, [[0, 1, 2, 3, 4, 5]])
    by_length = gradient(task, model, examples, [[2, 4], [1, 5], [0, 3]])
    alone = gradient(task, model, examples, [[0], [1], [2], [3], [4], [5]])
    torch.testing.assert_close(by_length, together, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-6)


def test_classify_loss_is_the_one_of_transformers() -> None:
    model, examples = start("classify")
    batch = examples.batch(np.arange(6), 0)
    ours = OBJECTIVES["classify"].outcome(model, batch, None)
    theirs = model(
        input_ids=torch.from_numpy(batch.ids),
        attention_mask=torch.from_numpy(batch.mask),
        labels=torch.from_numpy(LABELS),
    ).loss
    torch.testing.assert_close(ours.loss, theirs)


def test_generate_loss_is_the_one_of_transformers() -> None:
    model, examples = start("generate")
    batch = examples.batch(np.arange(6), 0)
    ours = OBJECTIVES["generate"].outcome(model, batch, None)
    labels = torch.from_numpy(np.where(batch.mask == 1, batch.ids, -100))
    theirs = model(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask), labels=labels
    ).loss
    torch.testing.assert_close(ours.loss, theirs)
    assert ours.weight == (examples.lengths - 1).sum()


def test_long_documents_go_on_and_every_token_is_a_target_once() -> None:
    tokenizer = scratch.train_tokenizer(TEXTS * 4, scratch.DECODER, 320)
    whole = OBJECTIVES["generate"].examples(tokenizer, TEXTS, None, 1000)
    pieces = OBJECTIVES["generate"].examples(tokenizer, TEXTS, None, 5)
    assert (pieces.lengths <= 5).all()
    assert (pieces.lengths - 1).sum() == (whole.lengths - 1).sum()
    assert set(pieces.rows) == set(range(len(TEXTS)))
    end = tokenizer.token_to_id("</s>")
    assert (whole.tokens[whole.starts[1:] - 1] == end).all()


def test_class_weights_are_scikit_learns_and_add_up_over_batches() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(labels, 3).numpy(), expected, rtol=1e-6)
    model, examples = start("classify")
    weights = balanced_weights(LABELS[:5], 2)
    parts = [examples.batch(np.array(rows), 0) for rows in ([0, 1, 2, 3, 4], [0, 1], [2, 3, 4])]
    whole, first, second = (OBJECTIVES["classify"].outcome(model, part, weights) for part in parts)
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
    assert macro_f1(0.0, truth, predicted, 4) == pytest.approx(f1_score(truth, predicted, average="macro"))
    # A class that does not occur is left out, as in the test scores, even when it is predicted.
    assert macro_f1(0.0, np.array([0, 1]), np.array([0, 0]), 3) == pytest.approx((2 / 3) / 2)
    assert macro_f1(0.0, np.array([0, 1]), np.array([0, 2]), 3) == pytest.approx(1 / 2)


def test_rate_rises_and_falls() -> None:
    rates = [rate_at(step, steps=100, warmup=0.1, peak=2.0) for step in range(100)]
    assert max(rates) == pytest.approx(2.0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[0] < 0.5
    assert 0 < rates[-1] < 0.01
    assert rate_at(0, steps=1, warmup=0.0, peak=2.0) == 2.0


def test_a_step_that_is_not_finite_leaves_the_weights_alone() -> None:
    model, examples = start("classify")
    with torch.no_grad():
        model.classifier.bias.fill_(math.inf)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    optimizer = make_optimizer(model, weight_decay=0.1)
    accelerator = make_accelerator("float32")
    batch = examples.batch(np.arange(6), 0)
    result = train_step(accelerator, model, optimizer, OBJECTIVES["classify"], batch, rate=1.0, clip=1.0)
    assert not result.finite
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_short_attention_gives_the_gradient_of_the_general_kernel(task: str) -> None:
    model, examples = start(task)
    general = gradient(task, model, examples, [[0, 1, 2], [3, 4, 5], [4]])
    with fast_attention(model):
        assert model.config._attn_implementation == "danlu_short"
        short = gradient(task, model, examples, [[0, 1, 2], [3, 4, 5], [4]])
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
    model, examples = start("classify", dropout=True)
    quick_dropout(model)
    batch = examples.batch(np.arange(6), 0)
    outcome = OBJECTIVES["classify"].outcome
    noisy = [outcome(model, batch, None).loss.item() for _ in range(2)]
    model.eval()
    quiet = [outcome(model, batch, None).loss.item() for _ in range(2)]
    assert noisy[0] != noisy[1]
    assert quiet[0] == quiet[1]


def test_a_narrow_vocabulary_learns_the_same_weights() -> None:
    accelerator = make_accelerator("float32")
    wide, examples = start("classify")
    narrow, _ = start("classify")
    used = examples.used(np.array([True] * 5 + [False]))
    vocabulary = NarrowVocabulary(narrow, used, 0)
    assert vocabulary.worth
    assert vocabulary.parameters() == sum(parameter.numel() for parameter in wide.parameters())
    for model, rows in ((wide, examples), (narrow, examples.renumbered(vocabulary.numbers))):
        optimizer = make_optimizer(model, weight_decay=0.0)
        for _ in range(3):
            train_step(
                accelerator, model, optimizer, OBJECTIVES["classify"], rows.batch(np.arange(5), 0), rate=1e-3, clip=1.0
            )
    with vocabulary.widened():
        saved = narrow.state_dict()
        assert saved.keys() == wide.state_dict().keys()
        for name, value in wide.state_dict().items():
            torch.testing.assert_close(saved[name], value, rtol=1e-5, atol=1e-7)
    assert narrow.get_input_embeddings().num_embeddings < wide.get_input_embeddings().num_embeddings


def test_tied_embeddings_are_not_narrowed() -> None:
    model, examples = start("generate")
    assert not NarrowVocabulary(model, examples.used(np.ones(len(examples), dtype=bool)), 0).worth
