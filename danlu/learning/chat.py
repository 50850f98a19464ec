"""Conversations as the text that a model reads, and which part of it each turn is.

The way a conversation is written down comes with the model, as a template in Jinja (chat_template.jinja, or in
tokenizer_config.json, where transformers keeps it). A model without one, such as a small one from nothing, is given
`DEFAULT`. Training, evaluation and serving all write by this module, so that a model is asked as it was taught.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from danlu.core.errors import ModelError, UserError
from danlu.core.lazy import need

TEMPLATE_FILE = "chat_template.jinja"
_SETTINGS_FILE = "tokenizer_config.json"

#: Plain words for who speaks, which any tokenizer can read; an answer is closed by the token that ends a text.
DEFAULT = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ (eos_token or '') if message['role'] == 'assistant' else '' }}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

#: Stands for the content of a turn while the parts of a template are found out: a character that no text has
#: (Unicode's private use area), on both sides of the turn's number.
_MARK = "\ue0f1"
_MARKED = re.compile(f"{_MARK}([0-9]+){_MARK}")

Message = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A conversation as text; `answers` are the spans `(begin, end)` in characters of the learned turns.

    A span holds what was said and the token that closes the turn, which the model has to write too.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


class Chat:
    """A chat template with the special tokens that it may name: `bos_token`, `eos_token` and so on.

    `source` is Jinja. It is the model maker's code: it runs in a sandbox, and may only look at what it is given.
    `opened` says that the tokenizer sets the token that opens a text by itself. `closing` are further tokens that may
    end a turn.
    """

    def __init__(
        self, source: str, tokens: Mapping[str, str], *, opened: bool = True, closing: Collection[str] = ()
    ) -> None:
        self.source = source
        self.tokens = dict(tokens)
        self._opening = (tokens.get("bos_token") or "") if opened else ""
        may_close = {token for name, token in tokens.items() if token and name != "bos_token"} | set(closing)
        self._closing = "|".join(map(re.escape, sorted(may_close, key=len, reverse=True)))

    @functools.cached_property
    def _render(self) -> Callable[..., str]:
        return _compile(self.source)

    def prompt(self, messages: Sequence[Message]) -> str:
        """What the model is to go on with, from messages `{"role", "content"}`, oldest first. Raises `UserError`.

        Without the token that opens a text, where the tokenizer sets that itself.
        """
        return self._write(messages, add_generation_prompt=True)

    def write(self, messages: Sequence[Message], learn: Sequence[bool]) -> Written:
        """The whole conversation, and where the turns are that have `learn`.

        Raises `UserError` for messages that the template does not take, and `ModelError` for a template whose text
        is not made of the turns' contents, so that nobody can say what a turn is.
        """
        text = self._write(messages, add_generation_prompt=False)
        marked = [dict(one) | {"content": f"{_MARK}{number}{_MARK}"} for number, one in enumerate(messages)]
        frame = self._write(marked, add_generation_prompt=False)
        for contents in ([one["content"] for one in messages], [one["content"].strip() for one in messages]):
            written = self._placed(frame, contents, learn)
            if written is not None and written.text == text:
                return written
        raise ModelError(
            "The model's chat template changes what is said in a turn, or leaves turns out, so it cannot be told which "
            "part of its text is an answer. Use another base, or train on plain texts (a column with the whole text)."
        )

    def _placed(self, frame: str, contents: Sequence[str], learn: Sequence[bool]) -> Written | None:
        pieces = _MARKED.split(frame)
        if [int(number) for number in pieces[1::2]] != list(range(len(contents))):
            return None
        text, answers = pieces[0], []
        for content, learned, behind in zip(contents, learn, pieces[2::2], strict=True):
            begin = len(text)
            text += content
            if learned:
                closing = re.match(rf"\s*(?:{self._closing})", behind) if self._closing else None
                answers.append((begin, len(text) + (closing.end() if closing else 0)))
            text += behind
        return Written(text=text, answers=tuple(answers))

    def _write(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        try:
            text = self._render(
                messages=[dict(one) for one in messages], add_generation_prompt=add_generation_prompt, **self.tokens
            )
        except Exception as error:  # a template is the model maker's code and may raise anything
            raise UserError(f"The model's chat template does not take these messages: {error}") from error
        return text.removeprefix(self._opening)


def messages_of(turns: Sequence[Any]) -> list[dict[str, str]]:
    """Turns of a corpus as a chat template takes them."""
    return [{"role": turn["role"], "content": turn["text"]} for turn in turns]


def read_chat(folder: Path) -> Chat | None:
    """The chat template of the model in `folder`, or None where it has none.

    It may name the special tokens of `tokenizer_config.json`.
    """
    settings: dict[str, Any] = {}
    if (folder / _SETTINGS_FILE).is_file():
        settings = json.loads((folder / _SETTINGS_FILE).read_text(encoding="utf-8"))
    source = settings.get("chat_template")
    alone = folder / TEMPLATE_FILE
    if alone.is_file():
        source = alone.read_text(encoding="utf-8")
    if not isinstance(source, str):
        return None
    tokens = _special_tokens(settings)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    opening = tokens["bos_token"]
    return Chat(
        source,
        tokens,
        opened=bool(opening) and tokenizer.encode("").tokens[:1] == [opening],
        closing=special - {opening},
    )


def default_chat(folder: Path | None, roles: Mapping[str, str] | None = None) -> Chat:
    """`DEFAULT` for the model in `folder`, or for one with the special tokens `roles` that has no folder yet."""
    if folder is None or not (folder / _SETTINGS_FILE).is_file():
        return Chat(DEFAULT, {**_NO_TOKENS, **(roles or {})})
    return Chat(DEFAULT, _special_tokens(json.loads((folder / _SETTINGS_FILE).read_text(encoding="utf-8"))))


_NO_TOKENS = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "")


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    found = {name: settings[name] for name in _NO_TOKENS if settings.get(name) is not None}
    named = {name: token["content"] if isinstance(token, dict) else str(token) for name, token in found.items()}
    return {**_NO_TOKENS, **named}


def _compile(source: str) -> Callable[..., str]:
    """A template in jinja's sandbox: it came with the model, and may only look at what it is given."""
    sandbox = need("jinja2.sandbox", "train")

    def refuse(message: str) -> str:
        raise ValueError(message)

    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    render: Callable[..., str] = environment.from_string(source).render
    return render
