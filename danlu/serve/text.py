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
        return self.count_all([text])

    def count_all(self, texts: Sequence[str]) -> int:
        """How many tokens all `texts` have together, without special ones; other threads may go on meanwhile."""
        spelt = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return sum(len(found.ids) for found in self._tokenizer.encode_batch_fast(spelt, add_special_tokens=False))

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """One prompt from messages `{"role", "content"}`, oldest first; see `Prompts.of`."""
        return self._prompts.of(messages)
