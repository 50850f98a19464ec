"""Instruction data by shape: which of the forms in use a record has, and what was said in it, turn by turn.

No registration file: a shape is known by its keys. Values may be JSON in a cell of a table.

    messages          {"messages": [{"role": "user", "content": "..."}, ...]}              OpenAI
    sharegpt          {"conversations": [{"from": "human", "value": "..."}, ...], "system": "..."}
    alpaca            {"instruction": "...", "input": "...", "output": "...", "history": [[question, answer], ...]}
    prompt            {"prompt": "...", "completion": "..."}; also question and answer, query and response
    preference        a prompt in any of these forms, with "chosen" and "rejected"
    dialogue          {"dialogue": [{"speaker": "customer", "text": "..."}, ...]}
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.sources.values import as_text

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"

#: Roles as files name them; what is not here is refused unless the recipe names it (`data.speakers`).
ROLES: dict[str, str] = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "customer": USER,
    "client": USER,
    "patient": USER,
    "visitor": USER,
    "用户": USER,
    "客户": USER,
    "顾客": USER,
    "患者": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "agent": ASSISTANT,
    "doctor": ASSISTANT,
    "function_call": ASSISTANT,
    "助手": ASSISTANT,
    "客服": ASSISTANT,
    "坐席": ASSISTANT,
    "医生": ASSISTANT,
    "tool": TOOL,
    "function": TOOL,
    "observation": TOOL,
}


class Misshapen(ValueError):
    """A record that has a shape's keys but not its values; the message says what is wrong with it.

    `{}` in the message stands for `value`, which the record holds: who shows the message decides how to show that.
    """

    def __init__(self, message: str, value: str = "") -> None:
        super().__init__(message.replace("{}", repr(value[:40])))
        self._message = message
        self._value = value

    def told(self, show: Callable[[str], str]) -> str:
        """The message with the value as `show` has it."""
        return self._message.replace("{}", show(self._value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one side said. `learn`: the model is to learn to say it."""

    role: str
    text: str
    learn: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One record of instruction data: its turns in order, and, for a preference, the answer that was liked less."""

    turns: tuple[Turn, ...]
    rejected: str | None = None


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """How speakers of the files are called in the corpus, beside `ROLES`, and whose turns are learned."""

    names: Mapping[str, str]
    learn: frozenset[str] = frozenset({ASSISTANT})

    def turn(self, speaker: Any, text: Any) -> Turn:
        """Raises `Misshapen` for an unknown speaker and for a text that is none."""
        name = str(speaker or "").strip()
        role = self.names.get(name) or ROLES.get(name.casefold())
        if role is None:
            known = ", ".join(sorted({*self.names, *ROLES}))
            raise Misshapen(f"unknown speaker {{}}; data.speakers can name it (known: {known})", name)
        said = _said(text)
        if said is None:
            raise Misshapen(f"the turn of {{}} holds a {type(text).__name__}, not text", name)
        return Turn(role=role, text=said, learn=role in self.learn)


DEFAULT_SPEAKERS = Speakers(names={})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One form of instruction data: how a record of it is known, by its filled keys, and how it is read."""

    name: str
    known: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], Speakers], Sample]


def first_exchange(turns: Sequence[Turn]) -> tuple[str, str] | None:
    """The first question of a conversation and its answer; later questions often mean nothing by themselves.

    None where nobody asks before the first answer that is learned.
    """
    for before, turn in itertools.pairwise(turns):
        if turn.learn and before.role == USER:
            return before.text, turn.text
    return None


def recognise(values: Mapping[str, Any]) -> Shape | None:
    """The shape of a record, by its keys; None for a plain document or a table row."""
    filled = {key: value for key, value in values.items() if value not in (None, "")}
    return next((shape for shape in SHAPES.values() if shape.known(filled)), None)


def may_have_shape(columns: Iterable[str]) -> bool:
    """Whether records with these columns may be instruction data."""
    return recognise(dict.fromkeys(columns, "[")) is not None


def text_of(values: Mapping[str, Any], column: str, speakers: Speakers | None) -> str | None:
    """The text of a record: its `column`, or, for instruction data, all that was said in it, a line a turn.

    None where there is neither; instruction data is looked for only where `speakers` are given.
    """
    if column in values:
        return as_text(values[column])
    shape = recognise(values) if speakers is not None else None
    if shape is None or speakers is None:
        return None
    try:
        return "\n".join(turn.text for turn in shape.read(values, speakers).turns)
    except Misshapen:
        return None


def _said(value: Any) -> str | None:
    """The text of a turn: a string, a number, or OpenAI's list of parts of which those with text count."""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type", "text") == "text"]
        return "\n".join(part for part in parts if isinstance(part, str)) if parts else None
    return as_text(value)


def _listed(values: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The list under the first of these names that holds one; a cell of a table may hold it as JSON."""
    found: Any = next((values[name] for name in names if _is_list(values.get(name))), [])
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise Misshapen(f"broken JSON instead of a list ({error})") from None
    if not isinstance(found, list):
        raise Misshapen(f"a {type(found).__name__} instead of a list of turns")
    return found


def _is_list(value: Any) -> bool:
    """Whether a value is a list, or may be one: an id is none."""
    return isinstance(value, list | dict) or (isinstance(value, str) and value.lstrip()[:1] == "[")


_SPEAKER_KEYS = ("role", "from", "speaker", "角色", "说话人")
_TEXT_KEYS = ("content", "value", "text", "utterance", "内容")
_LIST_KEYS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "对话")


def _turns(items: Iterable[Any], speakers: Speakers) -> list[Turn]:
    turns = []
    for item in items:
        if not isinstance(item, dict):
            raise Misshapen(f"a turn is a {type(item).__name__}, not an object with a speaker and a text")
        speaker = next((item[key] for key in _SPEAKER_KEYS if item.get(key)), None)
        text = next((item[key] for key in _TEXT_KEYS if item.get(key) is not None), "")
        turns.append(speakers.turn(speaker, text))
    return turns


def _system(values: Mapping[str, Any], speakers: Speakers) -> list[Turn]:
    return [speakers.turn(SYSTEM, values["system"])] if values.get("system") else []


def _conversation(values: Mapping[str, Any], speakers: Speakers) -> Sample:
    turns = _system(values, speakers) + _turns(_listed(values, _LIST_KEYS), speakers)
    if not any(turn.learn for turn in turns):
        raise Misshapen(f"no turn of {' or '.join(sorted(speakers.learn))} to learn from")
    return Sample(turns=tuple(turns))


_PROMPT_KEYS = ("prompt", "question", "query", "instruction", "问题", "提问")
_ANSWER_KEYS = ("completion", "response", "answer", "output", "答案", "回答")


def _asked(values: Mapping[str, Any], speakers: Speakers) -> list[Turn]:
    """The turns before the answer, of a record in any form: earlier questions and answers, then this question."""
    turns = _system(values, speakers)
    for pair in _listed(values, ("history",)):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Misshapen("history must hold pairs of question and answer")
        turns += [speakers.turn(USER, pair[0]), speakers.turn(ASSISTANT, pair[1])]
    listed = _listed(values, _LIST_KEYS)
    if listed:
        return turns + _turns(listed, speakers)
    prompt = next((values[key] for key in _PROMPT_KEYS if values.get(key)), None)
    if isinstance(prompt, list):
        return turns + _turns(prompt, speakers)
    question = [_said(part) for part in (prompt, values.get("input")) if part]
    if not question or None in question:
        raise Misshapen("no prompt")
    return [*turns, speakers.turn(USER, "\n".join(part for part in question if part))]


def _instruction(values: Mapping[str, Any], speakers: Speakers) -> Sample:
    answer = next((values[key] for key in _ANSWER_KEYS if values.get(key)), None)
    if answer is None:
        raise Misshapen("no answer")
    return Sample(turns=(*_asked(values, speakers), speakers.turn(ASSISTANT, answer)))


def _preference(values: Mapping[str, Any], speakers: Speakers) -> Sample:
    chosen, rejected = (_answers(values[key], speakers) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Misshapen("chosen and rejected do not continue the same conversation")
    before = list(chosen[:-1]) or _asked(values, speakers)
    return Sample(turns=(*before, chosen[-1]), rejected=rejected[-1].text)


def _answers(value: Any, speakers: Speakers) -> list[Turn]:
    """An answer, as text, as one message, or as the whole conversation that ends in it."""
    if isinstance(value, str) and value.lstrip()[:2] in {"[{", '{"'}:
        try:
            value = json.loads(value)
        except ValueError:
            return [speakers.turn(ASSISTANT, value)]
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and value:
        return _turns(value, speakers)
    return [speakers.turn(ASSISTANT, value)]


def _has_list(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether there is a list under one of these names, or text that may be one: an id is none."""

    def known(values: Mapping[str, Any]) -> bool:
        return any(_is_list(values.get(name)) for name in names)

    return known


#: In the order in which they are tried: a preference also has the keys of what it prefers.
SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(name="preference", known=lambda values: {"chosen", "rejected"} <= values.keys(), read=_preference),
        Shape(name="messages", known=_has_list("messages"), read=_conversation),
        Shape(name="sharegpt", known=_has_list("conversations", "conversation"), read=_conversation),
        Shape(name="dialogue", known=_has_list("dialogue", "dialog", "turns", "对话"), read=_conversation),
        Shape(name="alpaca", known=lambda values: {"instruction", "output"} <= values.keys(), read=_instruction),
        Shape(
            name="prompt",
            known=lambda values: (
                not values.keys().isdisjoint(_PROMPT_KEYS) and not values.keys().isdisjoint(_ANSWER_KEYS)
            ),
            read=_instruction,
        ),
    )
}
