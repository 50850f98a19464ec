"""Conversations of a corpus as examples: read from the rows, written by the template, cut to what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from danlu.core.errors import DataError
from danlu.learning.chat import Chat, Turn, Written
from danlu.learning.objectives.base import Rows


def turns_of(rows: Rows) -> list[list[Turn] | None]:
    """The turns of each row, None for a plain text."""
    found = rows.get("turns") or [None] * len(rows["text"])
    return [None if turns is None else conversation(turns) for turns in found]


def conversation(turns: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The entries of a `turns` column as turns."""
    return [Turn(role=turn["role"], text=turn["text"], learn=bool(turn["learn"])) for turn in turns]


def has_turns(rows: Rows) -> bool:
    """Whether any row is a conversation."""
    return any(turns is not None for turns in rows.get("turns") or ())


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

    One that is too long is cut from its front, to begin with a later question; what the system says stays. Where the
    last question and its answer are too long together, the answer loses its end; where it would be lost whole, there
    is no piece. `cuts` counts all that.
    """
    found = []
    for part in chat.parts(turns):
        written = chat.write(tokenizer, part)
        kept = written if len(written.ids) <= max_length else _cut(chat, tokenizer, part, max_length, cuts)
        if kept is not None:
            found.append(kept)
    return found


def _cut(chat: Chat, tokenizer: Tokenizer, turns: Sequence[Turn], max_length: int, cuts: Cuts) -> Written | None:
    learned = [place for place, turn in enumerate(turns) if turn.learn]
    head = next((place for place, turn in enumerate(turns) if turn.role != "system"), 0)
    questions = [place for place in range(head, learned[-1] + 1) if turns[place].role == "user" or place == head]
    for begin in questions:
        kept = [*turns[:head], *turns[begin : learned[-1] + 1]]
        written = chat.write(tokenizer, kept)
        if len(written.ids) <= max_length:
            break
    lost = len(learned) - sum(turn.learn for turn in kept)
    if not any(written.learned[:max_length]):
        cuts.conversations += 1
        cuts.answers += len(learned)
        return None
    cuts.fronts += begin > head
    cuts.ends += len(written.ids) > max_length
    cuts.answers += lost
    return Written(ids=written.ids[:max_length], learned=written.learned[:max_length])
