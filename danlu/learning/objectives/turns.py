"""Conversations of a corpus as examples: read from the rows, written by the template, cut to what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from danlu.core.errors import DataError, ModelError
from danlu.learning.chat import Chat, Turn, Written
from danlu.learning.objectives.base import Facts, Rows


def turns_of(rows: Rows) -> list[list[Turn] | None]:
    """The turns of each row, None for a plain text."""
    found = rows.get("turns") or [None] * len(rows["text"])
    return [None if turns is None else conversation(turns) for turns in found]


def conversation(turns: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The entries of a `turns` column as turns."""
    return [Turn(role=turn["role"], text=turn["text"], learn=bool(turn["learn"])) for turn in turns]


def chat_of(facts: Facts) -> Chat:
    """The template of conversations. Raises `ModelError` where there is none."""
    if facts.chat is None:
        raise ModelError("The rows are conversations, but no chat template is known to write them with.")
    return facts.chat


@dataclass(kw_only=True)
class Cuts:
    """What was cut because it is longer than the model takes: conversations that lost their first turns, answers that
    lost their end, and answers that were lost whole, with conversations all of whose answers were.
    """

    fronts: int = 0
    ends: int = 0
    answers: int = 0
    conversations: int = 0

    def tell(self, warn: Callable[[str], None], max_length: int, *, kept: int) -> None:
        """Say so. Raises `DataError` when nothing is left."""
        if kept == 0:
            raise DataError(
                f"No answer fits into {max_length} tokens: every question alone is longer. Raise model.max_length."
            )
        told = [
            (self.fronts, "lost turns at their beginning"),
            (self.ends, "lost the end of their last answer"),
            (self.conversations, "were left out, since not even the last question leaves room for an answer"),
        ]
        parts = [f"{count:,} {what}" for count, what in told if count]
        if parts:
            lost = f"; {self.answers:,} answers are not learned" if self.answers else ""
            warn(f"Of the conversations longer than {max_length} tokens {', '.join(parts)}{lost} (model.max_length).")


def fitted(chat: Chat, tokenizer: Tokenizer, turns: Sequence[Turn], max_length: int, cuts: Cuts) -> list[Written]:
    """A conversation in pieces of at most `max_length` tokens, each with something to learn; most often one piece.

    See `fit` for what is too long.
    """
    pieces = [fit(chat, tokenizer, [part], max_length, cuts) for part in chat.parts(turns)]
    return [written for piece in pieces for written in piece]


def fit(
    chat: Chat, tokenizer: Tokenizer, versions: Sequence[Sequence[Turn]], max_length: int, cuts: Cuts
) -> list[Written]:
    """A conversation in one or more versions, which differ in what their last turn says, each of `max_length` at most.

    One that is too long is cut from its front, to begin with a later question; what the system says stays, and every
    version begins alike. Where the last question and its answer are too long together, the answer loses its end; where
    it would be lost whole, the list is empty. `cuts` counts all that.
    """
    whole = [chat.write(tokenizer, turns) for turns in versions]
    if _longest(whole) <= max_length:
        return whole
    turns = versions[0]
    learned = [place for place, turn in enumerate(turns) if turn.learn]
    head = next((place for place, turn in enumerate(turns) if turn.role != "system"), 0)
    for begin in range(head, learned[-1] + 1):
        if begin > head and turns[begin].role != "user":
            continue
        kept = [[*each[:head], *each[begin : learned[-1] + 1]] for each in versions]
        written = [chat.write(tokenizer, each) for each in kept]
        if _longest(written) <= max_length:
            break
    if not all(any(each.learned[:max_length]) for each in written):
        cuts.conversations += 1
        cuts.answers += len(learned)
        return []
    cuts.fronts += len(kept[0]) < learned[-1] + 1
    cuts.ends += _longest(written) > max_length
    cuts.answers += len(learned) - sum(turn.learn for turn in kept[0])
    return [Written(ids=each.ids[:max_length], learned=each.learned[:max_length]) for each in written]


def _longest(versions: Sequence[Written]) -> int:
    return max(len(written.ids) for written in versions)
