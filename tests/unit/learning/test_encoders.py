"""Objectives of encoders: hidden words, and texts that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState

from danlu.core.errors import DataError, Interrupted, ModelError
from danlu.learning import scratch
from danlu.learning.models import start_from_base
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.config import ContrastiveObjective, MaskedObjective, ObjectiveConfig
from danlu.learning.objectives.contrastive import mrr_at_10, same_texts
from danlu.learning.objectives.masked import _Tokens, foreseen, targets_of, word_numbers
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.step import make_accelerator, train_step
from danlu.train.config import TrainConfig
from danlu.train.loop import Training, make_order, seed_noise, train
from danlu.train.state import Progress, TrainingState, weights_of
from tests.support import make_context

CHINESE = "这家酒店的房间很不错，下次还来。"
TEXTS = [
    f"the {thing} is {colour} and stands in room {number}"
    for number, (thing, colour) in enumerate(
        (thing, colour) for thing in ("lamp", "pan", "chair", "desk") for colour in ("red", "blue", "green", "old") * 2
    )
]
PAIRS = [f"room {number} holds what you look for" for number, _ in enumerate(TEXTS)]
ROWS: dict[str, Any] = {"text": TEXTS, "pair": PAIRS}
TOKENIZER = scratch.train_tokenizer([*TEXTS, *TEXTS, *PAIRS], scratch.ENCODER, 400)
CONFIGS: dict[str, ObjectiveConfig] = {"masked": MaskedObjective(), "contrastive": ContrastiveObjective()}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model_of(kind: str, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    shape = scratch.Shape(layers=2, width=64, heads=2, positions=64)
    return scratch.MAKERS[KINDS[kind].head](shape, TOKENIZER, [])


def run(kind: str, folder: Path, *, stop_after: int | None = None, **settings: Any) -> tuple[Any, Progress]:
    """The loop itself on 32 rows, which are the validation too."""
    ctx = make_context(folder, stage="train")
    ctx.limits.asked = None
    if stop_after is not None:
        asked = iter(range(10_000))
        plain = ctx.stop_reason
        ctx.stop_reason = lambda: "interrupted" if next(asked) >= stop_after else plain()  # type: ignore[method-assign]
    objective = make_objective(CONFIGS[kind], Facts(tokenizer=TOKENIZER))
    examples = objective.examples(ROWS, 48)
    config = TrainConfig(batch_size=16, early_stopping=0, validations_per_epoch=1, **settings)
    model = model_of(kind)
    training = Training(
        settings=config,
        objective=objective,
        accelerator=make_accelerator("float32"),
        model=model,
        optimizer=make_optimizer(model, AdamWOptimizer()),
        examples=examples,
        validation=examples,
        pad_id=TOKENIZER.token_to_id("[PAD]"),
        order=make_order(examples, config),
    )
    try:
        progress = train(ctx, training, TrainingState(ctx.state))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    return model, progress


@pytest.mark.parametrize(("kind", "epochs", "rate"), [("masked", 25.0, 0.005), ("contrastive", 10.0, 0.002)])
def test_32_examples_are_learned_by_heart(tmp_path: Path, kind: str, epochs: float, rate: float) -> None:
    _, progress = run(kind, tmp_path, epochs=epochs, learning_rate=rate)
    first, last = progress.history[0], progress.history[-1]
    assert last["validation_loss"] < 0.3 * first["validation_loss"]
    if kind == "contrastive":
        assert last["validation_score"] > 0.9 > first["validation_score"]


@pytest.mark.parametrize("kind", ["masked", "contrastive"])
def test_a_resumed_run_ends_bit_equal(tmp_path: Path, kind: str) -> None:
    whole, course = run(kind, tmp_path / "whole", epochs=4.0, learning_rate=0.002)
    for stop_after in (1, 3):
        with pytest.raises(Interrupted):
            run(kind, tmp_path / "again", stop_after=stop_after, epochs=4.0, learning_rate=0.002)
    resumed, again = run(kind, tmp_path / "again", epochs=4.0, learning_rate=0.002)
    assert again.history == course.history
    theirs = weights_of(whole)
    assert all(torch.equal(value, theirs[name]) for name, value in weights_of(resumed).items())


@pytest.mark.parametrize("kind", ["masked", "encoder"])
def test_a_base_is_loaded_with_this_head(tmp_path: Path, kind: str) -> None:
    model = model_of({"masked": "masked", "encoder": "contrastive"}[kind])
    model.save_pretrained(tmp_path)
    scratch.save_tokenizer(TOKENIZER, scratch.ENCODER, tmp_path, 64)
    loaded = start_from_base(tmp_path, kind, [])
    saved = model.state_dict()
    assert type(loaded).__name__ == type(model).__name__
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items() if name in saved)


def test_15_percent_of_the_words_are_foreseen_and_80_10_10_of_them_hidden_replaced_left() -> None:
    objective = make_objective(MaskedObjective(), Facts(tokenizer=TOKENIZER))
    batch = objective.examples({"text": TEXTS * 60}, 48).batch(np.arange(32 * 60), 0)
    seen: list[torch.Tensor] = []

    class Spy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            seen.append(input_ids)
            logits = torch.zeros(*input_ids.shape, TOKENIZER.get_vocab_size())
            return type("Answer", (), {"logits": logits})

    torch.manual_seed(1)
    outcome = objective.outcome(Spy(), batch)
    ids = torch.from_numpy(batch.ids)
    mask = TOKENIZER.token_to_id("[MASK]")
    words = (batch.mask.sum(axis=1) - 2).astype(int)
    targets = np.maximum(1, np.rint(0.15 * words)).sum()
    assert outcome.weight == objective.weight(batch) == targets
    changed = seen[0] != ids
    hidden = (seen[0] == mask) & changed
    assert float(hidden.sum()) / targets == pytest.approx(0.8, abs=0.02)
    # One token in the vocabulary's number is replaced by itself.
    assert float((changed & ~hidden).sum()) / targets == pytest.approx(0.1, abs=0.02)
    special = torch.isin(ids, torch.tensor([TOKENIZER.token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")]))
    assert not (changed & special).any()
    assert outcome.loss.item() == pytest.approx(np.log(TOKENIZER.get_vocab_size()), rel=1e-5)


def test_the_head_alone_is_spared_the_other_places() -> None:
    """BERT and RoBERTa by their heads, DistilBERT, whose head is built otherwise, whole."""
    sizes = {"vocab_size": 50, "max_position_embeddings": 20, "pad_token_id": 0}
    bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    distil = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    torch.manual_seed(3)
    ids = torch.randint(1, 50, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    chosen = (torch.rand(ids.shape) < 0.3) & (mask == 1)
    for model in (
        transformers.BertForMaskedLM(transformers.BertConfig(**sizes, **bert)),
        transformers.RobertaForMaskedLM(transformers.RobertaConfig(**sizes, **bert)),
        transformers.DistilBertForMaskedLM(transformers.DistilBertConfig(**sizes, **distil)),
    ):
        model.eval()
        seen: list[int] = []
        model.get_output_embeddings().register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append(given[0].shape[0])
        )
        whole = model(input_ids=ids, attention_mask=mask).logits
        logits = foreseen(model, ids, mask, chosen)
        torch.testing.assert_close(logits, whole[chosen])
        assert model(input_ids=ids, attention_mask=mask).logits.shape == whole.shape, "the model is left as it was"
        if not isinstance(model, transformers.DistilBertForMaskedLM):
            assert seen[1] == int(chosen.sum())


def test_the_noise_is_the_loops_in_training_and_fixed_in_validation() -> None:
    objective = make_objective(MaskedObjective(), Facts(tokenizer=TOKENIZER))
    batch = objective.examples(ROWS, 48).batch(np.arange(32), 0)
    model = model_of("masked")
    losses = {}
    for training in (True, False):
        model.train(training)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        with torch.no_grad():
            found = []
            for seed in (1, 2, 1):
                torch.manual_seed(seed)
                found.append(objective.outcome(model, batch).loss.item())
        losses[training] = found
    assert losses[True][0] == losses[True][2] != losses[True][1]
    assert losses[False][0] == losses[False][1] == losses[False][2]


def test_long_texts_go_on_and_every_token_is_in_one_example() -> None:
    objective = make_objective(MaskedObjective(), Facts(tokenizer=TOKENIZER))
    whole, pieces = objective.examples(ROWS, 60), objective.examples(ROWS, 8)
    assert (pieces.lengths <= 8).all()
    assert (pieces.lengths - 2).sum() == (whole.lengths - 2).sum()
    assert set(pieces.rows) == set(range(32))
    decoder = scratch.train_tokenizer(TEXTS, scratch.DECODER, 300)
    with pytest.raises(ModelError, match="no token to hide words with"):
        make_objective(MaskedObjective(), Facts(tokenizer=decoder))


def test_whole_words_of_chinese_are_hidden_together() -> None:
    # Bytes alone: a character is three tokens, a word of two characters six.
    bytes_only = scratch.train_tokenizer(["x"], scratch.ENCODER, 300)
    encoding = bytes_only.encode(CHINESE, add_special_tokens=False)
    numbers = word_numbers(CHINESE, encoding.offsets)
    spelt = [
        "".join(dict.fromkeys(CHINESE[b:e] for n, (b, e) in zip(numbers, encoding.offsets, strict=True) if n == w))
        for w in range(max(numbers) + 1)
    ]
    assert "".join(spelt) == CHINESE
    assert {"酒店", "房间", "下次"} <= set(spelt)
    objective = make_objective(MaskedObjective(whole_words=True, share=0.25), Facts(tokenizer=bytes_only))
    batch = objective.examples({"text": [CHINESE] * 50}, 60).batch(np.arange(50), 0)
    tokens = _Tokens(bytes_only)
    _, chosen = tokens.hide(batch, targets_of(batch, tokens, 0.25), torch.Generator().manual_seed(3))
    partly = 0
    for row in chosen.numpy():
        picked = np.array(numbers)[row[1 : 1 + len(numbers)]]
        sizes = np.bincount(numbers)
        cut = [word for word in set(picked.tolist()) if (picked == word).sum() < sizes[word]]
        assert len(cut) <= 1
        partly += len(cut)
    assert partly < 50
    assert len({tuple(row) for row in chosen.tolist()}) > 40


def test_the_contrastive_loss_is_the_papers_and_equal_answers_are_no_negatives() -> None:
    # Rows 3 and 4 have one answer, rows 0 and 1 one question.
    rows = {"text": [TEXTS[max(n, 1)] for n in range(5)], "pair": [PAIRS[min(n, 3)] for n in range(5)]}
    for both_ways in (False, True):
        objective = make_objective(
            ContrastiveObjective(temperature=0.1, both_ways=both_ways), Facts(tokenizer=TOKENIZER)
        )
        assert not objective.separable
        examples = objective.examples(rows, 48)
        model = model_of("contrastive").eval()
        outcome = objective.outcome(model, examples.batch(np.arange(5), 0))

        def vector(text: str, model: Any = model) -> np.ndarray:
            with torch.no_grad():
                hidden = model(input_ids=torch.tensor([TOKENIZER.encode(text).ids])).last_hidden_state[0]
            mean = hidden.mean(dim=0).double().numpy()
            return np.asarray(mean / np.linalg.norm(mean))

        questions, answers = (np.stack([vector(text) for text in rows[side]]) for side in ("text", "pair"))
        scores = np.exp(questions @ answers.T / 0.1)
        there, back = scores.copy(), scores.T.copy()
        for one in (there, back):
            one[3, 4] = one[4, 3] = one[0, 1] = one[1, 0] = 0.0
        losses = [-np.log(np.diag(one) / one.sum(axis=1)).mean() for one in ((there, back) if both_ways else (there,))]
        assert outcome.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)
        expected = np.stack([questions, answers], axis=1)
        assert np.abs(outcome.predicted.detach().numpy() - expected).max() < 1e-5
        assert objective.outcome(model.train(), examples.batch(np.arange(5), 0)).predicted.numel() == 0


def test_equal_texts_of_a_part_have_one_number_and_a_length_is_that_of_the_longer_text() -> None:
    rows = {"text": ["red", "blue", "red", "pan"], "pair": ["the lamp is red", "red", "the desk", "the lamp is red"]}
    objective = make_objective(ContrastiveObjective(pooling="first"), Facts(tokenizer=TOKENIZER))
    examples = objective.examples(rows, 20)
    assert examples.columns["labels"].tolist() == [[0, 1], [2, 0], [0, 3], [4, 1]]
    assert objective.lengths(rows) == examples.lengths.tolist()
    assert examples.rows.tolist() == [0, 1, 2, 3]
    batch = examples.batch(np.arange(4), 0)
    queries, texts = same_texts(batch)
    assert np.argwhere(queries).tolist() == [[0, 2], [2, 0]]
    assert np.argwhere(texts).tolist() == [[0, 3], [3, 0]]
    assert objective.outcome(model_of("contrastive"), batch).loss.item() > 0


def test_validation_looks_for_each_query_in_the_texts_of_the_whole_part() -> None:
    numbers = np.array([[0, 5], [1, 6], [2, 7], [0, 8]])
    right = np.eye(4, dtype=np.float32)
    vectors = np.stack([right, right], axis=1)
    vectors[3, 0] = vectors[0, 0]
    assert mrr_at_10(numbers, vectors) == 1.0
    # The second query finds the texts of the others first, the third finds its own second.
    vectors[1, 0] = [0.9, 0.1, 0.8, 0.7]
    vectors[2, 0] = [0.0, 0.0, 0.5, 0.6]
    assert mrr_at_10(numbers, vectors) == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)


def test_targets_are_known_beforehand_and_add_up_over_pieces() -> None:
    objective = make_objective(MaskedObjective(share=0.4), Facts(tokenizer=TOKENIZER))
    assert objective.separable
    examples = objective.examples({"text": TEXTS[:6]}, 48)
    model = model_of("masked").eval()
    totals = []
    for groups in ([[0, 1, 2, 3, 4, 5]], [[0, 1], [2, 3, 4, 5]], [[n] for n in range(6)]):
        batches = [examples.batch(np.array(group), 0) for group in groups]
        weights = [objective.weight(batch) for batch in batches]
        assert [objective.outcome(model, batch).weight for batch in batches] == weights
        totals.append(sum(weights))
    assert totals[0] == totals[1] == totals[2] > 6


def test_texts_without_a_word_count_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of BERT's tokenizer, where signs that it does not know are one special token each."""
    signs = ["[MASK]"] * 4
    objective = make_objective(CONFIGS["masked"], Facts(tokenizer=TOKENIZER))
    model, accelerator = model_of("masked"), make_accelerator("float32")
    optimizer = make_optimizer(model, AdamWOptimizer())
    mixed = objective.examples({"text": [*signs, *TEXTS[:4]]}, 48)
    blank, words = mixed.batch(np.arange(4), 0), mixed.batch(np.arange(4, 8), 0)
    assert (objective.weight(blank), objective.weight(words) > 0) == (0.0, True)
    results = {}
    for name, pieces in {"words": [words], "both": [blank, words]}.items():
        seed_noise(1, 1)
        result = train_step(accelerator, model, optimizer, objective, pieces, rate=0.0, clip=1.0)
        results[name] = (result.loss, result.norm, result.weight)
        assert result.finite
    assert results["both"] == results["words"]
    before = weights_of(model)
    nothing = train_step(accelerator, model, optimizer, objective, [blank], rate=0.1, clip=1.0)
    assert (nothing.finite, nothing.weight, nothing.loss) == (True, 0.0, 0.0)
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())
    monkeypatch.setitem(ROWS, "text", [*signs * 4, *TEXTS[:16]])
    _, progress = run("masked", tmp_path, epochs=2.0)
    assert [row["kind"] for row in progress.events] == []
    assert all(np.isfinite(row["validation_loss"]) for row in progress.history)


def test_a_training_without_any_word_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS, "text", ["[MASK]"] * 32)
    with pytest.raises(DataError, match="training examples since the last validation has anything to be foreseen"):
        run("masked", tmp_path, epochs=2.0)
