"""Conversations as a model reads them: which characters and which tokens are an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from danlu.core.errors import ModelError
from danlu.learning import scratch
from danlu.learning.batching import NO_TARGET
from danlu.learning.chat import Chat, default_chat, messages_of, read_chat
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.objectives.table import make_objective

#: How ChatML-like templates are written, with the mark by which transformers knows what an assistant wrote.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = [
    {"role": "system", "text": "Be kind.", "learn": False},
    {"role": "user", "text": "Is the lamp any good?", "learn": False},
    {"role": "assistant", "text": "It is. 很好用。", "learn": True},
    {"role": "user", "text": "And the pan?", "learn": False},
    {"role": "assistant", "text": "No!", "learn": True},
]
TEXTS = [turn["text"] for turn in TURNS] * 8


def tokenizer_of(*more: str) -> Tokenizer:
    made = scratch.train_tokenizer(TEXTS, scratch.DECODER, 340)
    made.add_special_tokens(list(more))
    return made


def objective_of(tokenizer: Tokenizer, chat: Chat, learn: str = "answers") -> Objective:
    config = CausalObjective.model_validate({"learn": learn})
    return make_objective(config, Facts(tokenizer=tokenizer, chat=chat))


def rows(*conversations: Any) -> dict[str, list[Any]]:
    return {
        "text": ["\n".join(t["text"] for t in c) if c else TEXTS[1] for c in conversations],
        "turns": [*conversations],
    }


def learned_text(tokenizer: Tokenizer, examples: Any, place: int = 0) -> list[str]:
    """The runs of tokens that are targets, as text."""
    begin, end = examples.starts[place], examples.starts[place + 1]
    tokens, learned = examples.tokens[begin:end], examples.learned[begin:end]
    runs, current = [], []
    for token, wanted in zip(tokens, learned, strict=True):
        if wanted:
            current.append(int(token))
        elif current:
            runs, current = [*runs, current], []
    return [tokenizer.decode(run, skip_special_tokens=False) for run in (*runs, current) if run]


def test_the_answers_and_what_closes_them_are_learned_and_nothing_else() -> None:
    tokenizer = tokenizer_of()
    chat = default_chat(None, scratch.DECODER.roles)
    examples = objective_of(tokenizer, chat).examples(rows(TURNS), 512)
    assert learned_text(tokenizer, examples) == ["It is. 很好用。</s>", "No!</s>"]
    whole = objective_of(tokenizer, chat, "all").examples(rows(TURNS), 512)
    assert whole.learned is None
    mixed = objective_of(tokenizer, chat).examples(rows(TURNS, None), 512)
    assert mixed.learned is not None
    assert mixed.learned[mixed.starts[1] :].all(), "a plain text is learned whole"


def test_which_tokens_are_answers_is_what_transformers_says() -> None:
    tokenizer = tokenizer_of("<|im_start|>", "<|im_end|>")
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>")
    chat = Chat(CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", ""), {"eos_token": "<|im_end|>"})
    found = theirs.apply_chat_template(
        messages_of(TURNS), chat_template=CHATML, return_assistant_tokens_mask=True, return_dict=True, tokenize=True
    )
    examples = objective_of(tokenizer, chat).examples(rows(TURNS), 512)
    assert examples.learned is not None
    opening = 1  # the tokenizer of a model from nothing opens each text itself
    assert examples.tokens[opening:].tolist() == found["input_ids"]
    assert examples.learned[opening:].astype(int).tolist() == found["assistant_masks"]


def test_the_loss_is_that_of_transformers_on_the_answers() -> None:
    import torch

    tokenizer = tokenizer_of()
    objective = objective_of(tokenizer, default_chat(None, scratch.DECODER.roles))
    torch.manual_seed(3)
    model = scratch.make_generator(scratch.Shape(layers=1, width=32, heads=2, positions=256), tokenizer, []).eval()
    examples = objective.examples(rows(TURNS, TURNS[:3], None), 256)
    batch = examples.batch(np.arange(3), 0)
    labels = np.full_like(batch.ids, NO_TARGET)
    labels[:, 1:] = batch.targets[:, :-1]
    theirs = model(
        input_ids=torch.from_numpy(batch.ids),
        attention_mask=torch.from_numpy(batch.mask),
        labels=torch.from_numpy(labels),
    ).loss
    torch.testing.assert_close(objective.outcome(model, batch).loss, theirs)
    packed = examples.packed(np.arange(3))
    assert objective.weight(packed) == objective.weight(batch)
    torch.testing.assert_close(objective.outcome(model, packed).loss, theirs)


def test_a_long_conversation_loses_its_earliest_turns_and_keeps_the_system() -> None:
    tokenizer = tokenizer_of()
    objective = objective_of(tokenizer, default_chat(None, scratch.DECODER.roles))
    whole = objective.lengths(rows(TURNS))[0]
    examples = objective.examples(rows(TURNS), whole - 1)
    text = tokenizer.decode(examples.tokens.tolist())
    assert "Be kind." in text
    assert "lamp" not in text
    assert learned_text(tokenizer, examples) == ["No!</s>"]
    assert len(objective.examples(rows(TURNS), 12)) == 0, "no answer is left, so nothing is learned"
    assert objective.examples(rows(TURNS, None), 12).rows.min() == 1


def test_a_template_that_changes_what_is_said_is_refused() -> None:
    for source in ("{% for m in messages %}{{ m.content|upper }}{% endfor %}", "{{ messages[0].content }}"):
        with pytest.raises(ModelError, match="cannot be told which part of its text is an answer"):
            Chat(source, {}).write(messages_of(TURNS), [True] * 5)
    trimmed = Chat("{% for m in messages %}[{{ m.content|trim }}]{% endfor %}", {})
    written = trimmed.write([{"role": "assistant", "content": "  a b "}], [True])
    assert (written.text, written.answers) == ("[a b]", ((1, 4),))


@pytest.mark.parametrize("opened", [True, False])
def test_a_text_is_opened_once(opened: bool, tmp_path: Path) -> None:
    """Whether the tokenizer opens each text or the template has to: never both, never neither."""
    tokenizer = tokenizer_of()
    scratch.save_tokenizer(tokenizer, scratch.DECODER, tmp_path, 64)
    if not opened:
        from tokenizers import processors

        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}")
    chat = read_chat(tmp_path)
    assert chat is not None
    tokens = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(chat.prompt(messages_of(TURNS))).tokens
    assert tokens.count("<s>") == 1
    assert tokens[0] == "<s>"
