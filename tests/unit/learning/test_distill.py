"""The loss is the paper's, computed anew here in numpy; teachers that do not fit are refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from danlu.core.asked import Takes
from danlu.core.errors import ModelError
from danlu.learning import chunked, scratch
from danlu.learning.asking import questions
from danlu.learning.batching import Batch, Examples
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.classes import balanced_weights
from danlu.learning.objectives.config import DistillCausalObjective, DistillClassesObjective
from danlu.learning.objectives.distill import teacher_logits
from danlu.learning.objectives.table import make_objective
from danlu.learning.text import load_tokenizer

TEXTS = ["a good and long text about a lamp", "bad lamp", "no", "it is what it is, a text", "good", "a very bad one"]
LABELS = ["good", "bad", "so so", "good", "good", "bad"]
NAMES = ["bad", "good", "so so"]
ROWS = {"text": TEXTS, "label": LABELS}
SHAPE = scratch.Shape(layers=2, width=32, heads=2, positions=64)


def write_teacher(folder: Path, head: str, names: list[str], seed: int = 1, vocabulary: int = 300) -> Path:
    """A model folder of random weights."""
    tokenizer = scratch.train_tokenizer(TEXTS * 4, scratch.VOCABULARIES[head], vocabulary)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES[head], folder, 64)
    model_of(head, folder, names, seed).save_pretrained(folder)
    return folder


def model_of(head: str, folder: Path, names: list[str], seed: int) -> Any:
    """A model whose answers are not all alike, for the tokenizer in `folder`."""
    torch.manual_seed(seed)
    model = scratch.MAKERS[head](SHAPE, load_tokenizer(folder), names).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "classifier" in name or "embed_tokens" in name:
                parameter.mul_(20.0)
    return model


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def by_the_paper(
    student: np.ndarray, teacher: np.ndarray, truth: np.ndarray, temperature: float, weight: float
) -> np.ndarray:
    """(1 - w) CE + w T^2 KL for each row of logits."""
    hard = -log_softmax(student)[np.arange(len(truth)), truth]
    p, log_q = np.exp(log_softmax(teacher / temperature)), log_softmax(student / temperature)
    soft = (p * (np.log(p) - log_q)).sum(axis=-1)
    return (1 - weight) * hard + weight * temperature**2 * soft


def logits_of(model: Any, batch: Batch) -> np.ndarray:
    with torch.no_grad():
        answer = model(input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask))
    return np.asarray(answer.logits.double().numpy())


def start(head: str, folder: Path, **settings: Any) -> tuple[Objective, Examples]:
    kinds: dict[str, Any] = {"classifier": DistillClassesObjective, "causal": DistillCausalObjective}
    facts = Facts(tokenizer=load_tokenizer(folder), labels=NAMES, folders={"teacher": folder})
    objective = make_objective(kinds[head](teacher=str(folder), **settings), facts)
    examples = objective.examples(ROWS, 64)
    if objective.prepare is not None:
        student = model_of(head, folder, NAMES, 2)
        with torch.no_grad():
            examples = examples.with_columns(**objective.prepare(student, ROWS, examples, lambda batches, _: batches))
    return objective, examples


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (3.0, 0.4)])
def test_the_loss_of_classes_is_the_papers(tmp_path: Path, temperature: float, weight: float) -> None:
    folder = write_teacher(tmp_path, "classifier", ["so so", "bad", "good"])
    objective, examples = start("classifier", folder, temperature=temperature, teacher_weight=weight)
    batch = examples.batch(np.arange(6), 0)
    teacher, student = (
        model_of("classifier", folder, ["so so", "bad", "good"], 1),
        model_of("classifier", folder, NAMES, 2),
    )
    # The teacher counts its classes in another order.
    theirs = logits_of(teacher, batch)[:, [1, 2, 0]]
    np.testing.assert_allclose(batch.columns["teacher"], theirs, atol=1e-4)
    truth = np.array([NAMES.index(label) for label in LABELS])
    losses = by_the_paper(logits_of(student, batch), theirs, truth, temperature, weight)
    outcome = objective.outcome(student, batch)
    assert outcome.loss.item() == pytest.approx(losses.mean(), rel=1e-4)
    assert outcome.weight == 6


def test_rare_classes_weigh_more_in_the_labels_share(tmp_path: Path) -> None:
    folder = write_teacher(tmp_path, "classifier", NAMES)
    truth = np.array([NAMES.index(label) for label in LABELS])
    weights = balanced_weights(truth, 3)
    facts = Facts(tokenizer=load_tokenizer(folder), labels=NAMES, folders={"teacher": folder}, class_weights=weights)
    objective = make_objective(DistillClassesObjective(teacher="t", teacher_weight=0.25, temperature=1.0), facts)
    _, examples = start("classifier", folder)
    batch, student = examples.batch(np.arange(6), 0), model_of("classifier", folder, NAMES, 2)
    ours, theirs = logits_of(student, batch), batch.columns["teacher"].astype(np.float64)
    hard, soft = (by_the_paper(ours, theirs, truth, 1.0, share) for share in (0.0, 1.0))
    expected = (0.75 * hard * weights.numpy()[truth] + 0.25 * soft).mean()
    assert objective.outcome(student, batch).loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (3.0, 0.4)])
def test_the_loss_of_tokens_is_the_papers(tmp_path: Path, temperature: float, weight: float) -> None:
    folder = write_teacher(tmp_path, "causal", [])
    objective, examples = start("causal", folder, temperature=temperature, teacher_weight=weight)
    batch = examples.batch(np.arange(6), 0)
    teacher, student = model_of("causal", folder, [], 1), model_of("causal", folder, [], 2)
    wanted = batch.targets != -100
    ours, theirs = logits_of(student, batch)[wanted], logits_of(teacher, batch)[wanted]
    losses = by_the_paper(ours, theirs, batch.targets[wanted], temperature, weight)
    outcome = objective.outcome(student.train(), batch)
    assert outcome.loss.item() == pytest.approx(losses.mean(), rel=1e-4)
    assert outcome.weight == objective.weight(batch) == wanted.sum()
    # Validation asks how well the texts are foreseen, as for every language model.
    alone = by_the_paper(ours, theirs, batch.targets[wanted], 1.0, 0.0)
    assert objective.outcome(student.eval(), batch).loss.item() == pytest.approx(alone.mean(), rel=1e-4)


def test_tokens_in_chunks_teach_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_teacher(tmp_path, "causal", [])
    objective, examples = start("causal", folder, temperature=3.0, teacher_weight=0.4)
    batch, student = examples.batch(np.arange(6), 0), model_of("causal", folder, [], 2).train()
    found = []
    for many in (1 << 60, 0):
        monkeypatch.setattr(chunked, "MANY_LOGITS", many)
        monkeypatch.setattr(chunked, "CHUNK_LOGITS", 5 * 300)
        assert chunked.applies(student, batch) == (many == 0)
        loss = objective.outcome(student, batch).loss
        student.zero_grad()
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in student.parameters() if p.grad is not None]))
    (plain, expected), (ours, gradients) = found
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["classifier", "causal"])
def test_pieces_and_buckets_have_the_gradient_of_the_whole(tmp_path: Path, head: str) -> None:
    folder = write_teacher(tmp_path, head, NAMES)
    objective, examples = start(head, folder)
    student = model_of(head, folder, NAMES, 2).train()
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0

    def gradient(groups: list[list[int]]) -> torch.Tensor:
        student.zero_grad()
        batches = [examples.batch(np.array(group), 0) for group in groups]
        total = sum(objective.weight(batch) for batch in batches)
        for batch in batches:
            (objective.outcome(student, batch).loss * objective.weight(batch) / total).backward()
        return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    whole = gradient([[0, 1, 2, 3, 4, 5]])
    for groups in ([[2, 4], [1, 5], [0, 3]], [[0], [1], [2], [3], [4], [5]]):
        torch.testing.assert_close(gradient(groups), whole, rtol=1e-4, atol=1e-5)


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    other = write_teacher(tmp_path / "other", "classifier", ["bad", "fine"])
    with pytest.raises(ModelError, match=r"'other' has the classes bad, fine; the corpus has bad, good, so so"):
        start("classifier", other)
    writer = write_teacher(tmp_path / "writer", "causal", [])
    with pytest.raises(ModelError, match="expected one that ends in ForSequenceClassification"):
        start("classifier", writer)
    smaller = load_tokenizer(write_teacher(tmp_path / "smaller", "causal", [], vocabulary=290))
    config = DistillCausalObjective(teacher=str(writer))
    with pytest.raises(ModelError, match=r"another tokenizer.*300 and 290 tokens.*model\.scratch"):
        make_objective(config, Facts(tokenizer=smaller, folders={"teacher": writer}))


@pytest.mark.parametrize(
    ("takes", "pair", "said"),
    [
        (Takes(), None, None),
        (Takes(pair=True), ["why"] * len(TEXTS), None),
        (Takes(), ["why"] * len(TEXTS), "asked a text; it would be asked two texts together"),
        (Takes(pair=True), None, r"asked a text and a second text \(pair\); it would be asked one text each"),
        (Takes(numeric=("stars",)), None, "asked a text and the column stars; it would be asked one text each"),
    ],
)
def test_a_teacher_is_asked_what_it_was_trained_for(
    tmp_path: Path, takes: Takes, pair: list[str] | None, said: str | None
) -> None:
    folder = write_teacher(tmp_path, "classifier", NAMES)
    (folder / "danlu.json").write_text(json.dumps({"takes": takes.as_json()}))
    asked = questions(ROWS if pair is None else ROWS | {"pair": pair})
    with contextlib.nullcontext() if said is None else pytest.raises(ModelError, match=said):
        answers = teacher_logits(folder, asked, NAMES, torch.device("cpu"), lambda batches, _: batches)
        assert answers.shape == (len(TEXTS), len(NAMES))
