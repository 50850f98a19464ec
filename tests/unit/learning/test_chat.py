"""What of a conversation is learned is what transformers says it is, and prompts are what was taught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from danlu.core.errors import DataError, ModelError, UserError
from danlu.learning import scratch
from danlu.learning.chat import TEMPLATE_FILE, Chat, Turn, plain_chat, read_chat
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.objectives.table import make_objective
from danlu.learning.objectives.turns import Cuts, fitted
from tests.unit.learning.chats import (
    CHATML,
    CHINESE,
    FORGETFUL,
    INSTRUCTIONS,
    PARCEL,
    TEXTS,
    said,
    tokenizer_with,
    write_folder,
)

IM = ("<|im_start|>", "<|im_end|>")


def learned_text(tokenizer: Tokenizer, chat: Chat, turns: list[Turn]) -> list[str]:
    """The runs of tokens that are learned, as text."""
    written = chat.write(tokenizer, turns)
    runs: list[list[int]] = []
    for place, marked in enumerate(written.learned):
        if marked and not (place and written.learned[place - 1]):
            runs.append([])
        if marked:
            runs[-1].append(written.ids[place])
    return [tokenizer.decode(run, skip_special_tokens=False) for run in runs]


@pytest.mark.parametrize("turns", [PARCEL, CHINESE], ids=["english", "chinese"])
@pytest.mark.parametrize("template", [CHATML, INSTRUCTIONS, None], ids=["chatml", "instructions", "plain"])
def test_answers_are_those_that_transformers_marks(template: str | None, turns: list[Turn], tmp_path: Path) -> None:
    if template == INSTRUCTIONS:
        turns = [turn for turn in turns if turn.role != "system"]
    tokenizer = tokenizer_with(*IM)
    write_folder(tmp_path, tokenizer, template)
    if template is None:
        plain_chat(tokenizer).save(tmp_path)
    chat = read_chat(tmp_path)
    assert chat is not None
    ours = chat.write(tokenizer, turns)
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        messages, return_assistant_tokens_mask=True, return_dict=True
    )
    assert ours.ids == theirs["input_ids"]
    assert ours.learned == [mark == 1 for mark in theirs["assistant_masks"]]
    assert sum(ours.learned) > 8
    prompt = chat.text(turns[:-1], answer_follows=True)
    assert prompt == AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        messages[:-1], add_generation_prompt=True, tokenize=False
    )


def test_each_answer_comes_with_its_end_token_and_nothing_behind() -> None:
    tokenizer = tokenizer_with(*IM)
    chat = Chat(source=CHATML, tokens={})
    assert learned_text(tokenizer, chat, PARCEL) == [
        "It will come on Monday.<|im_end|>",
        "12 euro, thank you!<|im_end|>",
    ]
    assert chat.closing(tokenizer) == tokenizer.token_to_id("<|im_end|>")
    only_last = [*PARCEL[:2], Turn(role="assistant", text="It will come on Monday."), *PARCEL[3:]]
    assert learned_text(tokenizer, chat, only_last) == ["12 euro, thank you!<|im_end|>"]
    asking = [Turn(role="user", text="Where is my parcel?", learn=True), *PARCEL[2:3]]
    assert learned_text(tokenizer, chat, asking)[0].startswith("<|im_start|>user\nWhere")


def test_the_plain_template_is_learned_by_a_tokenizer_of_our_own_and_by_others() -> None:
    own = tokenizer_with()
    chat = plain_chat(own)
    assert learned_text(own, chat, CHINESE) == ["周一会送到。 </s>", "一共12元！</s>"]
    assert chat.text(CHINESE[:1], answer_follows=True) == "<s><|user|>\n我的包裹在哪里？</s>\n<|assistant|>\n"
    assert own.token_to_id("<|assistant|>") in chat.write(own, CHINESE).ids
    bare = scratch.Vocabulary(roles={"eos_token": "<|endoftext|>"}, template="$A", fold=False)
    other = scratch.train_tokenizer(TEXTS * 3, bare, 400)
    assert learned_text(other, plain_chat(other), PARCEL)[1] == "12 euro, thank you!<|endoftext|>"
    endless = scratch.train_tokenizer(TEXTS, scratch.Vocabulary(roles={}, template="$A", fold=False), 300)
    with pytest.raises(ModelError, match="no end token"):
        plain_chat(endless)


def test_a_template_that_forgets_thoughts_gives_an_example_an_answer() -> None:
    tokenizer = tokenizer_with(*IM)
    chat = Chat(source=FORGETFUL, tokens={})
    parts = chat.parts(PARCEL)
    assert [len(part) for part in parts] == [3, 5]
    runs = [learned_text(tokenizer, chat, part) for part in parts]
    assert runs == [
        ["<think>\n\n</think>\n\nIt will come on Monday.<|im_end|>"],
        ["<think>\n\n</think>\n\n12 euro, thank you!<|im_end|>"],
    ]
    with pytest.raises(ModelError, match="is no beginning of"):
        chat.write(tokenizer, PARCEL)
    assert len(fitted(chat, tokenizer, PARCEL, 200, Cuts())) == 2


def test_a_prompt_that_is_no_beginning_of_the_answered_conversation_is_refused() -> None:
    counting = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}"
    with pytest.raises(ModelError, match=r"beginning of a conversation differently.*Mend chat_template\.jinja"):
        fitted(Chat(source=counting, tokens={}), tokenizer_with(*IM), PARCEL, 200, Cuts())


def test_a_template_without_an_end_token_is_refused() -> None:
    endless = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    with pytest.raises(ModelError, match="no special token after an answer"):
        Chat(source=endless, tokens={}).write(tokenizer_with(), PARCEL)


def test_what_a_template_refuses_is_told() -> None:
    picky = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('start with the user') }}{% endif %}"
    with pytest.raises(UserError, match="start with the user"):
        Chat(source=picky, tokens={}).text(PARCEL)


def test_where_transformers_keeps_templates(tmp_path: Path) -> None:
    write_folder(tmp_path, tokenizer_with(), None)
    assert read_chat(tmp_path) is None
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {
        "eos_token": {"content": "</s>"},
        "chat_template": [{"name": "default", "template": "a{{ eos_token }}"}],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    chat = read_chat(tmp_path)
    assert chat is not None
    assert chat.text([]) == "a</s>"
    (tmp_path / TEMPLATE_FILE).write_text("alone{{ bos_token }}")
    chat = read_chat(tmp_path)
    assert chat is not None
    assert chat.text([]) == "alone<s>"


LONG = said(
    ("system", "Be brief."),
    *[turn for n in range(6) for turn in (("user", f"question {n}"), ("assistant", f"answer number {n}"))],
)


def test_a_long_conversation_is_cut_from_its_front_by_whole_turns_and_counted() -> None:
    tokenizer = tokenizer_with(*IM)
    chat = Chat(source=CHATML, tokens={})
    whole = chat.count(tokenizer, LONG)
    cuts = Cuts()
    (kept,) = fitted(chat, tokenizer, LONG, whole // 2, cuts)
    assert len(kept.ids) <= whole // 2
    text = tokenizer.decode(kept.ids, skip_special_tokens=False)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nquestion")
    assert "answer number 5<|im_end|>" in text
    assert "question 0" not in text
    left = text.count("answer number")
    assert cuts == Cuts(fronts=1, answers=6 - left)
    assert fitted(chat, tokenizer, LONG, whole, cuts)[0].ids == chat.write(tokenizer, LONG).ids
    assert cuts.fronts == 1


def test_an_answer_alone_too_long_loses_its_end_and_a_question_alone_too_long_the_example() -> None:
    tokenizer = tokenizer_with(*IM)
    chat = Chat(source=CHATML, tokens={})
    cuts = Cuts()
    (kept,) = fitted(chat, tokenizer, said(("user", "short"), ("assistant", "long " * 100)), 64, cuts)
    assert len(kept.ids) == 64
    assert kept.learned[-1]
    assert fitted(chat, tokenizer, said(("user", "long " * 100), ("assistant", "short")), 64, cuts) == []
    assert cuts == Cuts(ends=1, conversations=1, answers=1)


def rows_of(*conversations: list[Turn] | None) -> dict:
    turns = [
        None if one is None else [{"role": t.role, "text": t.text, "learn": t.learn} for t in one]
        for one in conversations
    ]
    return {
        "text": ["plain text" if one is None else "\n".join(t.text for t in one) for one in conversations],
        "turns": turns,
    }


def test_plain_rows_are_learned_whole_beside_conversations_and_all_learns_all() -> None:
    tokenizer = tokenizer_with(*IM)
    facts = Facts(tokenizer=tokenizer, chat=Chat(source=CHATML, tokens={}))
    rows = rows_of(PARCEL, None, CHINESE)
    objective = make_objective(CausalObjective(), facts)
    examples = objective.examples(rows, 200)
    assert examples.learned is not None
    runs = [examples.learned[begin:end] for begin, end in zip(examples.starts, examples.starts[1:], strict=False)]
    assert [bool(run.all()) for run in runs] == [False, True, False]
    assert examples.rows.tolist() == [0, 1, 2]
    assert objective.lengths(rows)[0] == examples.lengths[0]
    everything = make_objective(CausalObjective(learn="all"), facts).examples(rows, 200)
    assert everything.learned is None  # every token is


def test_what_is_lost_is_told_and_nothing_left_is_refused() -> None:
    tokenizer = tokenizer_with(*IM)
    told: list[str] = []
    facts = Facts(tokenizer=tokenizer, chat=Chat(source=CHATML, tokens={}), warn=told.append)
    objective = make_objective(CausalObjective(), facts)
    too_long = said(("user", "long " * 100), ("assistant", "short"))
    assert objective.examples(rows_of(LONG, too_long), 80).rows.tolist() == [0]
    assert len(told) == 1
    assert "1 lost turns at their beginning, 1 were left out" in told[0]
    with pytest.raises(DataError, match=r"Raise model\.max_length"):
        objective.examples(rows_of(too_long), 80)


def test_the_loss_is_that_of_transformers_on_the_answers_alone() -> None:
    tokenizer = tokenizer_with(*IM)
    objective = make_objective(CausalObjective(), Facts(tokenizer=tokenizer, chat=Chat(source=CHATML, tokens={})))
    torch.manual_seed(3)
    model = scratch.make_generator(scratch.Shape(layers=2, width=32, heads=2, positions=256), tokenizer, [])
    examples = objective.examples(rows_of(PARCEL, None, CHINESE), 200)
    batch = examples.batch(np.arange(3), 0)
    assert examples.learned is not None
    labels = torch.full(batch.ids.shape, -100)
    for row, (begin, end) in enumerate(zip(examples.starts, examples.starts[1:], strict=False)):
        marks = torch.from_numpy(examples.learned[begin:end])
        labels[row, : end - begin][marks] = torch.from_numpy(batch.ids)[row, : end - begin][marks]
    theirs = model(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask), labels=labels
    ).loss
    ours = objective.outcome(model, batch)
    torch.testing.assert_close(ours.loss, theirs)
    # The first token of the plain text is foreseen by nothing.
    assert ours.weight == objective.weight(batch) == int((labels != -100).sum()) - 1
