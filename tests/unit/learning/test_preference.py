"""The loss is the paper's, computed anew here answer by answer; pairs begin alike; pieces add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from danlu.core.errors import DataError
from danlu.learning import scratch
from danlu.learning.batching import Batch, Examples
from danlu.learning.chat import Chat, Turn
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import PreferenceObjective
from danlu.learning.objectives.preference import CHOSEN, REJECTED
from danlu.learning.objectives.table import make_objective
from tests.unit.learning.chats import CHATML, tokenizer_with

TOKENIZER = tokenizer_with("<|im_start|>", "<|im_end|>")
CHAT = Chat(source=CHATML, tokens={})
PAIRS = [
    ("Where is my parcel?", "It will come on Monday.", "No."),
    ("多少钱？", "一共12元，谢谢！", "我不知道。"),
    ("And what does it cost?", "12 euro", "It is very dear, I would say, but what do I know of it?"),
    ("Thank you", "You are welcome!", "Whatever."),
]


def rows_of(pairs: list[tuple[str, str, str | None]]) -> dict[str, Any]:
    return {
        "text": [f"{question}\n{chosen}" for question, chosen, _ in pairs],
        "turns": [
            [{"role": "user", "text": question, "learn": False}, {"role": "assistant", "text": chosen, "learn": True}]
            for question, chosen, _ in pairs
        ],
        "rejected": [rejected for _, _, rejected in pairs],
    }


def model_of(seed: int) -> Any:
    torch.manual_seed(seed)
    return scratch.make_generator(scratch.Shape(layers=2, width=32, heads=2, positions=128), TOKENIZER, []).eval()


def start(**settings: Any) -> tuple[Objective, Examples]:
    """The objective, and the pairs with what one model thinks of them; another one is trained."""
    objective = make_objective(PreferenceObjective(**settings), Facts(tokenizer=TOKENIZER, chat=CHAT))
    rows = rows_of([*PAIRS])
    examples = objective.examples(rows, 100)
    assert objective.prepare is not None
    with torch.no_grad():
        columns = objective.prepare(model_of(1), rows, examples, lambda batches, _: batches)
    return objective, examples.with_columns(**columns)


def log_probability(model: Any, question: str, answer: str, *, mean: bool) -> torch.Tensor:
    """Sum (or mean) of log p(token | all before it) over the answer and its end token, one text at a time."""
    written = CHAT.write(TOKENIZER, [Turn(role="user", text=question), Turn(role="assistant", text=answer, learn=True)])
    logits = model(input_ids=torch.tensor([written.ids])).logits[0]
    terms = [
        torch.log_softmax(logits[place - 1].double(), dim=-1)[written.ids[place]]
        for place, learned in enumerate(written.learned)
        if learned
    ]
    return torch.stack(terms).mean() if mean else torch.stack(terms).sum()


@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize(("smoothing", "weight"), [(0.0, 0.0), (0.2, 0.0), (0.0, 1.5)])
def test_the_loss_is_equation_7_of_the_paper(mean: bool, smoothing: float, weight: float) -> None:
    objective, examples = start(beta=0.3, label_smoothing=smoothing, length_normalised=mean, answer_weight=weight)
    policy, reference = model_of(2), model_of(1)
    losses, better = [], []
    for question, chosen, rejected in PAIRS:
        ratios = [
            log_probability(policy, question, answer, mean=mean)
            - log_probability(reference, question, answer, mean=mean)
            for answer in (chosen, rejected)
        ]
        margin = 0.3 * (ratios[0] - ratios[1])
        right, wrong = -torch.log(torch.sigmoid(margin)), -torch.log(torch.sigmoid(-margin))
        likely = log_probability(policy, question, chosen, mean=True)
        losses.append((1 - smoothing) * right + smoothing * wrong - weight * likely)
        better.append(int(margin > 0))
    outcome = objective.outcome(policy, examples.batch(np.arange(4), 0))
    assert outcome.loss.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)
    assert outcome.predicted.tolist() == better
    assert 0 < sum(better) < 4
    assert objective.better(outcome.loss.item(), outcome.loss.item() + 1.0)


def test_the_starting_weights_are_indifferent() -> None:
    objective, examples = start()
    outcome = objective.outcome(model_of(1), examples.batch(np.arange(4), 0))
    assert outcome.loss.item() == pytest.approx(math.log(2), abs=1e-6)


def gradient(objective: Objective, model: Any, batches: list[Batch]) -> torch.Tensor:
    model.zero_grad()
    for batch in batches:
        (objective.outcome(model, batch).loss * objective.weight(batch) / 4).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_pieces_and_buckets_have_the_gradient_of_the_whole() -> None:
    objective, examples = start(beta=0.5)
    model = model_of(2)
    whole = gradient(objective, model, [examples.batch(np.arange(4), 0)])
    for groups in ([[1, 3], [0, 2]], [[0], [1], [2], [3]]):
        pieces = gradient(objective, model, [examples.batch(np.array(group), 0) for group in groups])
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-6)


def test_rows_without_two_answers_are_counted_and_none_at_all_is_refused() -> None:
    told: list[str] = []
    objective = make_objective(PreferenceObjective(), Facts(tokenizer=TOKENIZER, chat=CHAT, warn=told.append))
    same = ("a", "b", "b")
    examples = objective.examples(rows_of([PAIRS[0], ("a", "b", None), PAIRS[1], same]), 100)
    assert examples.rows.tolist() == [0, 2]
    assert len(examples) == 2
    assert len(examples.starts) == 5
    assert told == ["2 of 4 rows have no two different answers."]
    with pytest.raises(DataError, match="kind: causal"):
        objective.examples(rows_of([same]), 100)


def test_a_long_pair_begins_alike() -> None:
    told: list[str] = []
    objective = make_objective(PreferenceObjective(), Facts(tokenizer=TOKENIZER, chat=CHAT, warn=told.append))
    before = [
        {"role": role, "text": f"{role} says {n}", "learn": True} for n in range(5) for role in ("user", "assistant")
    ]
    rows = rows_of([("the last question", "short", "a long answer that goes on and on")])
    rows["turns"] = [[*before, *rows["turns"][0]]]
    examples = objective.examples(rows, 90)
    texts = [
        TOKENIZER.decode(examples.tokens[begin:end].tolist(), skip_special_tokens=False)
        for begin, end in zip(examples.starts, examples.starts[1:], strict=False)
    ]
    ends = ("short<|im_end|>\n", "a long answer that goes on and on<|im_end|>\n")
    fronts = [text.removesuffix(end) for text, end in zip(texts, ends, strict=True)]
    assert fronts[0] == fronts[1]
    assert fronts[0].startswith("<|im_start|>user\n")
    assert "says 0" not in fronts[0]
    assert int(examples.lengths.max()) <= 90
    assert examples.learned is not None
    learned = TOKENIZER.decode(examples.tokens[examples.learned].tolist(), skip_special_tokens=False)
    assert learned == "short<|im_end|>a long answer that goes on and on<|im_end|>"
    assert "1 lost turns at their beginning" in told[0]


def test_columns_are_there_for_each_pair() -> None:
    _, examples = start()
    assert {name: column.shape for name, column in examples.columns.items()} == {CHOSEN: (4,), REJECTED: (4,)}
    assert (examples.columns[CHOSEN] < 0).all()
