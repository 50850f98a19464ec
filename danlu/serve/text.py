"""What the OpenAI forms need beside the engine: counting tokens, and turning a chat into a prompt."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from danlu.engines.chat import read_chat


class Texts:
    """Reads `tokenizer.json`, and the chat template where the form has one, from a form's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chat = read_chat(folder)

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    def count(self, text: str) -> int:
        """How many tokens the tokenizer makes of `text`, without special ones."""
        spelt = text.encode("utf-8", "replace").decode("utf-8")
        return len(self._tokenizer.encode(spelt, add_special_tokens=False).ids)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """One prompt from messages `{"role", "content"}`, oldest first.

        By the model's own chat template. A model without one never learnt what roles look like: it gets the
        contents alone, a line each, and continues the last one. Raises `UserError` for messages that the template does
        not take.
        """
        if self._chat is None:
            return "\n".join(message["content"] for message in messages)
        return self._chat.prompt(messages)
