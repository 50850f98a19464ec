"""What the OpenAI forms need beside the engine: counting tokens, and turning a chat into a prompt."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from danlu.engines.prompt import Prompts


class Texts:
    """Reads `tokenizer.json`, and the chat template where the form has one, from a form's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @functools.cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self._folder)

    @property
    def written(self) -> bool:
        """Whether `prompt` spells the special tokens itself."""
        return self._prompts.written

    def count(self, text: str) -> int:
        """How many tokens the tokenizer makes of `text`, without special ones."""
        spelt = text.encode("utf-8", "replace").decode("utf-8")
        return len(self._tokenizer.encode(spelt, add_special_tokens=False).ids)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """One prompt from messages `{"role", "content"}`, oldest first; see `Prompts.of`."""
        return self._prompts.of(messages)
