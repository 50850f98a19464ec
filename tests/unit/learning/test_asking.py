"""What is asked beside a text: two segments as the base model reads them, and models that need them to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from danlu.core.asked import Asked, Takes
from danlu.core.tasks import TaskName
from danlu.learning import scratch
from danlu.learning.asking import SECOND, encode_asked, knows_two_segments, questions, spellable, token_types
from danlu.learning.objectives.base import Facts, forward
from danlu.learning.objectives.config import DEFAULTS, ClassesObjective, DistillClassesObjective
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.optimizers.config import AdamWOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.weights import set_dropout
from danlu.learning.step import make_accelerator, train_step

#: The first texts say nothing: each stands with a pair of either label.
PAIRS: dict[str, Any] = {
    "text": [f"is the parcel here, order {n // 2}" for n in range(32)],
    "pair": [f"{'yes' if n % 2 else 'no'}, says shelf {n % 5}" for n in range(32)],
    "label": ["same" if n % 2 else "other" for n in range(32)],
}
PAIRS["labels"] = [[label] if label == "same" else [] for label in PAIRS["label"]]
PAIRS["value"] = [4.0 if label == "same" else 2.0 for label in PAIRS["label"]]
TOKENIZER = scratch.train_tokenizer([*PAIRS["text"], *PAIRS["pair"]], scratch.ENCODER, 320)
SHAPE = scratch.Shape(layers=1, width=32, heads=2, positions=64)


def dressed(tmp_path: Path) -> PreTrainedTokenizerFast:
    """The same tokenizer as transformers reads it."""
    scratch.save_tokenizer(TOKENIZER, scratch.ENCODER, tmp_path, 64)
    loaded: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    return loaded


def test_a_pair_is_dressed_cut_and_marked_as_transformers_does_it(tmp_path: Path) -> None:
    theirs = dressed(tmp_path)
    texts = ["the kettle is here and here and here again", "a lamp", "x"]
    pairs = ["my phone", "the chair is here and the phone is there", "y"]
    for length in (8, 11, 64):
        ours = encode_asked(TOKENIZER, texts, pairs, length)
        expected = theirs(texts, pairs, truncation="longest_first", max_length=length, return_token_type_ids=True)
        assert ours.rows == expected["input_ids"]
        for row, second, types in zip(ours.rows, ours.second, expected["token_type_ids"], strict=True):
            assert token_types(np.array([second]), np.ones((1, len(row)), dtype=np.int64))[0].tolist() == types


def test_a_text_alone_is_read_as_before(tmp_path: Path) -> None:
    theirs = dressed(tmp_path)
    ours = encode_asked(TOKENIZER, PAIRS["text"], None, 6)
    assert ours.rows == theirs(PAIRS["text"], truncation=True, max_length=6)["input_ids"]
    assert not len(ours.second)


def test_padding_is_of_the_first_segment() -> None:
    mask = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    assert token_types(np.array([2, 5]), mask).tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]


def test_a_tokenizer_without_a_form_for_two_has_them_a_line_apart() -> None:
    plain = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "\n": 3}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Split("", behavior="isolated")
    assert encode_asked(plain, ["a"], ["b"], None).rows == [[1, 3, 2]]


def test_rows_of_a_corpus_are_asked_as_they_are() -> None:
    assert questions({"text": ["a", "b"]}) == ["a", "b"]
    assert questions({"text": ["a"], "pair": []}) == ["a"]
    assert questions({"text": ["a"], "pair": ["b"]}) == [Asked(text="a", pair="b")]
    assert spellable([Asked(text="\ud83d", pair="b\udc00")]) == (["?"], ["b?"])
    assert spellable(["a"]) == (["a"], None)


def test_only_models_with_vectors_for_two_segments_are_told_them() -> None:
    assert knows_two_segments({"type_vocab_size": 2})
    assert not knows_two_segments({"type_vocab_size": 1})
    assert not knows_two_segments({"model_type": "modernbert"})
    told = make_objective(ClassesObjective(), Facts(tokenizer=TOKENIZER, labels=["other", "same"], two_segments=True))
    blind = make_objective(ClassesObjective(), Facts(tokenizer=TOKENIZER, labels=["other", "same"]))
    assert SECOND in told.examples(PAIRS, 64).columns
    assert SECOND not in blind.examples(PAIRS, 64).columns


def test_training_reads_a_pair_as_transformers_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = scratch.make_classifier(SHAPE, TOKENIZER, ["other", "same"]).eval()
    objective = make_objective(
        ClassesObjective(), Facts(tokenizer=TOKENIZER, labels=["other", "same"], two_segments=True)
    )
    batch = objective.examples(PAIRS, 64).batch(np.arange(8), 0)
    theirs = dressed(tmp_path)(PAIRS["text"][:8], PAIRS["pair"][:8], return_tensors="pt", padding=True)
    assert theirs["token_type_ids"].any()
    with torch.no_grad():
        assert torch.equal(forward(model, batch).logits, model(**theirs).logits)
        blind = model(input_ids=theirs["input_ids"], attention_mask=theirs["attention_mask"]).logits
        assert not torch.equal(forward(model, batch).logits, blind)


@pytest.mark.parametrize("task", ["classify", "tag", "regress"])
def test_a_model_learns_32_pairs_by_heart_where_only_the_second_text_tells(task: TaskName) -> None:
    aim = DEFAULTS[task]
    target = {"classify": "label", "tag": "labels", "regress": "value"}[task]
    labels = {"classify": ["other", "same"], "tag": ["same"], "regress": []}[task]
    facts = Facts(tokenizer=TOKENIZER, labels=labels, targets=PAIRS[target], two_segments=True)
    objective = make_objective(aim, facts)
    torch.manual_seed(0)
    model = scratch.MAKERS[KINDS[aim.kind].head](SHAPE, TOKENIZER, labels)
    set_dropout(model, 0.0)
    optimizer = make_optimizer(model, AdamWOptimizer())
    batch = objective.examples(PAIRS, 64).batch(np.arange(32), 0)
    accelerator = make_accelerator("float32")
    for _ in range(120):
        result = train_step(accelerator, model.train(), optimizer, objective, [batch], rate=3e-3, clip=1.0)
        if result.loss < 0.005:
            break
    with torch.no_grad():
        found = objective.outcome(model.eval(), batch)
    score = objective.score(found.loss.item(), batch.columns["labels"], found.predicted.numpy())
    assert (score == 1.0) if objective.higher_is_better else (score < 0.2)


def test_what_a_model_takes_is_checked_in_plain_words() -> None:
    pair, alone = Takes(pair=True), Takes()
    assert pair.refused(Asked(text="a", pair="b")) is None
    assert alone.refused("a") is None
    for takes, asked, told in (
        (pair, "a", "the pair, is missing"),
        (pair, Asked(text="a", pair=" "), "the pair, is missing"),
        (alone, Asked(text="a", pair="b"), "Leave it out"),
    ):
        refused = takes.refused(asked)
        assert refused is not None
        assert told in refused.why


def test_a_teacher_reads_both_texts_too(tmp_path: Path) -> None:
    torch.manual_seed(1)
    teacher = scratch.make_classifier(SHAPE, TOKENIZER, ["same", "other"]).eval()
    with torch.no_grad():
        teacher.classifier.weight.mul_(20.0)
    tokenizer = dressed(tmp_path)
    teacher.save_pretrained(tmp_path)
    config = DistillClassesObjective(teacher="folder")
    facts = Facts(tokenizer=TOKENIZER, labels=["other", "same"], two_segments=True, folders={"teacher": tmp_path})
    objective = make_objective(config, facts)
    examples = objective.examples(PAIRS, 64)
    assert objective.prepare is not None
    found = objective.prepare(teacher, PAIRS, examples, lambda batches, _: batches)["teacher"]
    with torch.no_grad():
        expected = teacher(**tokenizer(PAIRS["text"], PAIRS["pair"], return_tensors="pt", padding=True)).logits
    assert np.abs(found - expected.numpy()[:, ::-1]).max() < 1e-5
