"""How a form is asked: a conversation as the prompt that the model was trained to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from danlu.learning.chat import Turn, read_chat

#: OpenAI's newer name of a role, as data has it.
_SAME_ROLE = {"developer": "system"}


class Prompts:
    """Writes prompts for the form in `folder`.

    `written`: by a chat template, which spells the special tokens itself; `Engine.generate` is told so.
    """

    def __init__(self, folder: Path) -> None:
        self._chat = read_chat(folder)
        self.written = self._chat is not None

    def of(self, messages: Sequence[Mapping[str, str]]) -> str:
        """One prompt from messages `{"role", "content"}`, oldest first.

        By the chat template, as in training. A model without one never learnt what roles look like: it gets the
        contents alone, a line each, and continues the last one. Raises `UserError` for messages that the template
        does not take.
        """
        if self._chat is None:
            return "\n".join(message["content"] for message in messages)
        turns = [
            Turn(role=_SAME_ROLE.get(message["role"], message["role"]), text=message["content"]) for message in messages
        ]
        return self._chat.text(turns, answer_follows=True)
