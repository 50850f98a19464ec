"""What the OpenAI forms need beside the engine: counting tokens, and turning a chat into a prompt."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from danlu.core.errors import UserError
from danlu.core.lazy import need


class Texts:
    """Reads `tokenizer.json`, and the chat template where the form has one, from a form's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @functools.cached_property
    def _template(self) -> Callable[..., str] | None:
        source, tokens = _chat_template(self._folder)
        return None if source is None else functools.partial(_compile(source), **tokens)

    def count(self, text: str) -> int:
        """How many tokens the tokenizer makes of `text`, without special ones."""
        spelt = text.encode("utf-8", "replace").decode("utf-8")
        return len(self._tokenizer.encode(spelt, add_special_tokens=False).ids)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """One prompt from messages `{"role", "content"}`, oldest first.

        By the model's own chat template. A model without one never learnt what roles look like: it gets the
        contents alone, a line each, and continues the last one.
        """
        if self._template is None:
            return "\n".join(message["content"] for message in messages)
        try:
            return self._template(messages=list(messages), add_generation_prompt=True)
        except Exception as error:  # a template is the model maker's code and may raise anything
            raise UserError(f"The model's chat template does not take these messages: {error}") from error


def _chat_template(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The template's source and the special tokens it may name, from where `transformers` keeps them."""
    source: str | None = None
    settings: dict[str, Any] = {}
    with_settings = folder / "tokenizer_config.json"
    if with_settings.is_file():
        settings = json.loads(with_settings.read_text(encoding="utf-8"))
        source = settings.get("chat_template") if isinstance(settings.get("chat_template"), str) else None
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        source = alone.read_text(encoding="utf-8")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    found = {name: settings[name] for name in names if settings.get(name) is not None}
    return source, {name: token["content"] if isinstance(token, dict) else token for name, token in found.items()}


def _compile(source: str) -> Callable[..., str]:
    """A template in jinja's sandbox: it came with the model, and may only look at what it is given."""
    sandbox = need("jinja2.sandbox", "report")

    def refuse(message: str) -> str:
        raise ValueError(message)

    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    render: Callable[..., str] = environment.from_string(source).render
    return render
