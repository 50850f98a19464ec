"""Conversations as text: by the chat template of the model's makers, or by a plain one that a new model learns.

Training and serving write a conversation with the same code, so that a model is asked in the words it was taught.
No torch in here.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from danlu.core.errors import ModelError, UserError
from danlu.core.lazy import need
from danlu.learning.text import end_id, start_id

TEMPLATE_FILE = "chat_template.jinja"
_SETTINGS_FILES = ("special_tokens_map.json", "tokenizer_config.json")

#: What a template may name, as transformers calls it.
_TOKEN_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")

#: Tokens that open a turn in the plain template. A tokenizer of our own has them as special tokens; another one spells
#: them in pieces, which a model learns as well.
TURN_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

#: One turn a line: who speaks, what was said, the end token. `generation` marks the answers for transformers'
#: `return_assistant_tokens_mask`.
_PLAIN = (
    "{{- %(start)s }}"
    "{%%- for message in messages %%}"
    "{{- '<|' + message['role'] + '|>\\n' }}"
    "{%%- if message['role'] == 'assistant' %%}"
    "{%%- generation %%}{{- message['content'] + %(end)s }}{%%- endgeneration %%}"
    "{%%- else %%}{{- message['content'] + %(end)s }}{%%- endif %%}"
    "{{- '\\n' }}"
    "{%%- endfor %%}"
    "{%%- if add_generation_prompt %%}{{- '<|assistant|>\\n' }}{%%- endif %%}"
)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one side said. `role` is system, user, assistant or tool; `learn`: the model is to learn to say it."""

    role: str
    text: str
    learn: bool = False


@dataclass(frozen=True, kw_only=True)
class Written:
    """A conversation in tokens: their numbers, and whether each belongs to an answer that is to be learned."""

    ids: list[int]
    learned: list[bool]


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A chat template. `source` is Jinja; `tokens` are the special tokens that it may name, by their role."""

    source: str
    tokens: Mapping[str, str]

    @functools.cached_property
    def _render(self) -> Callable[..., str]:
        return functools.partial(_compile(self.source), tools=None, documents=None, **self.tokens)

    def text(self, turns: Sequence[Turn], *, answer_follows: bool = False) -> str:
        """The conversation as one text, special tokens spelt out; with `answer_follows` up to where the model goes on.

        Raises `UserError` for turns that the template does not take.
        """
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return self._render(messages=messages, add_generation_prompt=answer_follows)
        except Exception as error:  # a template is the model maker's code and may raise anything
            raise UserError(f"The model's chat template does not take these messages: {error}") from error

    def count(self, tokenizer: Tokenizer, turns: Sequence[Turn]) -> int:
        """Tokens of the conversation as it is written."""
        return len(tokenizer.encode(self.text(turns), add_special_tokens=False).ids)

    def parts(self, turns: Sequence[Turn]) -> list[list[Turn]]:
        """The conversation as those that `write` can write: itself; or, one for each answer, what leads up to it.

        Some templates write an answer differently once something follows it: they drop the thoughts of earlier ones.
        Then each answer is learned in the conversation in which the model is asked for it.
        """
        whole = self.text(turns)
        learned = [place for place, turn in enumerate(turns) if turn.learn]
        if all(whole.startswith(self.text(turns[: place + 1])) for place in learned):
            return [list(turns)]
        return [[*(replace(turn, learn=False) for turn in turns[:place]), turns[place]] for place in learned]

    def write(self, tokenizer: Tokenizer, turns: Sequence[Turn]) -> Written:
        """The conversation in tokens, its answers marked from their first token to their end token.

        Raises `ModelError` for a template whose rendering of a beginning is no beginning of the rendered whole, or
        that writes no end token.
        """
        text, spans = self.spans(turns)
        return _marked(tokenizer, text, spans)

    def spans(self, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """The conversation as text, and where in it, in characters, the turns are that are to be learned.

        A span begins where the model is asked to go on and reaches behind what closes the turn. Raises as `write` does.
        """
        whole, spans = self.text(turns), []
        for place, turn in enumerate(turns):
            if not turn.learn:
                continue
            asked = self.text(turns[:place], answer_follows=turn.role == "assistant") if place else ""
            answered = self.text(turns[: place + 1])
            for part, of in ((asked, answered), (answered, whole)):
                if not of.startswith(part):
                    raise ModelError(
                        "The model's chat template writes the beginning of a conversation differently once it goes "
                        "on, so the model would be asked in other words than it was taught: "
                        f"{_ending(part)} is no beginning of {_ending(of)}. Mend {TEMPLATE_FILE} in the model's "
                        "folder: with add_generation_prompt it must write what comes before the assistant's content."
                    )
            spans.append((len(asked), len(answered)))
        return whole, spans

    def closing(self, tokenizer: Tokenizer) -> int:
        """The token that ends an answer, which may be another than the one that ends a document."""
        written = self.write(tokenizer, [Turn(role="user", text="a"), Turn(role="assistant", text="b", learn=True)])
        return [number for number, learned in zip(written.ids, written.learned, strict=True) if learned][-1]

    def save(self, folder: Path) -> None:
        """Write the template where transformers and `read_chat` look for it."""
        (folder / TEMPLATE_FILE).write_text(self.source, encoding="utf-8")


def read_chat(folder: Path) -> Chat | None:
    """The chat template of a model folder, from where transformers keeps it; None where the model has none."""
    settings: dict[str, Any] = {}
    for name in _SETTINGS_FILES:
        if (folder / name).is_file():
            settings |= _read(folder / name)
    source = settings.get("chat_template")
    if isinstance(source, list):  # several templates by name
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    alone = folder / TEMPLATE_FILE
    if alone.is_file():
        source = alone.read_text(encoding="utf-8")
    if not isinstance(source, str):
        return None
    found = {role: settings[role] for role in _TOKEN_ROLES if settings.get(role) is not None}
    return Chat(
        source=source,
        tokens={role: token["content"] if isinstance(token, dict) else token for role, token in found.items()},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not JSON: {error}. Fetch the model again.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{str(path)!r} holds no settings but a {type(found).__name__}. Fetch the model again.")
    return found


def plain_chat(tokenizer: Tokenizer) -> Chat:
    """A template of our own for a model that has none. Raises `ModelError` where its tokenizer knows no end token."""
    start, end = start_id(tokenizer), end_id(tokenizer)
    if end is None:
        raise ModelError(
            "The model has no chat template, and its tokenizer no end token, so it could not learn where an answer "
            f"ends. Put a {TEMPLATE_FILE} into the model's folder, or take the chat version of the model."
        )
    names = {"start": "" if start is None else tokenizer.id_to_token(start), "end": tokenizer.id_to_token(end)}
    return Chat(source=_PLAIN % {name: json.dumps(token) for name, token in names.items()}, tokens={})


def _marked(tokenizer: Tokenizer, text: str, spans: Sequence[tuple[int, int]]) -> Written:
    """Tokens of `text`, those of `spans` (characters) marked up to the special token that closes each.

    The text is cut into tokens as a whole, with none added: a template writes the special ones itself. A token that
    reaches over the beginning of a span belongs to it.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    # Each look at these makes a new list.
    ids, offsets = encoding.ids, encoding.offsets
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    learned = [False] * len(ids)
    place = 0
    for begin, end in spans:
        while place < len(learned) and offsets[place][1] <= begin:
            place += 1
        first, last = place, None
        while place < len(learned) and offsets[place][0] < end:
            last = place if ids[place] in special else last
            place += 1
        if last is None or text[offsets[last][1] : end].strip():
            raise ModelError(
                f"The model's chat template writes no special token after an answer ({_ending(text[begin:end])}), so "
                f"the model could not learn where to stop. Put {{{{ eos_token }}}} after the assistant's content in "
                f"{TEMPLATE_FILE} in the model's folder."
            )
        learned[first : last + 1] = [True] * (last + 1 - first)
    return Written(ids=ids, learned=learned)


#: The day of templates that ask for one.
_DAY = datetime.date(2025, 1, 1)


def _ending(text: str) -> str:
    return repr(text[-60:] if len(text) <= 60 else f"...{text[-60:]}")


def _compile(source: str) -> Callable[..., str]:
    """A template in jinja's sandbox: it came with the model, and may only look at what it is given.

    As transformers has it, but for `strftime_now`, which is always the same day: with today's in its prompt a model
    would be taught, and answer, something else tomorrow.
    """
    sandbox: Any = need("jinja2.sandbox")
    parts: Any = need("jinja2.ext")
    nodes: Any = need("jinja2.nodes")

    class Generation(parts.Extension):  # type: ignore[misc]  # jinja makes extensions by class
        """`{% generation %}`: marks the assistant's words for those who ask; here only what is inside counts."""

        tags = {"generation"}  # noqa: RUF012  # jinja's own attribute

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def refuse(message: str) -> str:
        raise ValueError(message)

    def as_json(value: Any, indent: int | None = None, **settings: Any) -> str:
        return json.dumps(value, ensure_ascii=settings.pop("ensure_ascii", False), indent=indent, **settings)

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, parts.loopcontrols]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = _DAY.strftime
    environment.filters["tojson"] = as_json
    render: Callable[..., str] = environment.from_string(source).render
    return render
