"""Conversations for `benchmarks/train_instruct.py`: Chinese and English, from two lines to two pages, made by rule.

A shop, its stores and its neighbours, none of which exist, hand things to one another; people ask the shop's helper
about it. All phrases were written for this. The lengths are spread evenly over their logarithm, as those of real
instruction data about are: many short ones, a few very long ones. What they say is of no use to anybody.

    short       a question about opening hours, prices or the way, and its answer
    chat        several such questions one after the other, under a system message
    find        a list of records, and what one person took: long to read, short to answer
    report      a few key words, and a report in whole sentences: short to read, long to answer
    translate   notes in one language, and the same in the other: both long
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]

#: Each of these is the same in both languages, by its place.
NAMES = {
    "zh": ["林小满", "周远山", "何安", "苏晴", "陈一诺", "方舟", "叶青", "罗东来", "顾北", "沈月", "温如", "白露"],
    "en": [
        *("Lin Xiaoman", "Zhou Yuanshan", "He An", "Su Qing", "Chen Yinuo", "Fang Zhou", "Ye Qing", "Luo Donglai"),
        *("Gu Bei", "Shen Yue", "Wen Ru", "Bai Lu"),
    ],
}
PLACES = {
    "zh": ["东门仓库", "河边茶馆", "二楼书店", "旧车站", "山脚苗圃", "港口码头", "南街菜场", "西塔教室"],
    "en": [
        *("the store at the east gate", "the tea house by the river", "the bookshop upstairs", "the old station"),
        *("the nursery below the hill", "the pier in the harbour", "the market in South Street", "the west tower"),
    ],
}
GOODS = {
    "zh": ["竹篮", "陶碗", "麻绳", "蜡烛", "木梳", "铁壶", "棉布", "纸伞", "皮箱", "铜铃", "玻璃瓶", "羊毛毯"],
    "en": [
        *("bamboo baskets", "clay bowls", "hemp ropes", "candles", "wooden combs", "iron kettles", "cotton sheets"),
        *("paper umbrellas", "leather cases", "brass bells", "glass bottles", "woollen blankets"),
    ],
}
DAYS = {
    "zh": ["周一", "周二", "周三", "周四", "周五", "周六", "周日"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
}
OTHER = {"zh": "en", "en": "zh"}

RECORD = {
    "zh": "{day}，{name}从{place}领走{goods}{count}件。",
    "en": "On {day} {name} took {count} {goods} from {place}.",
}
TOOK = {"zh": "{day}领走{goods}{count}件", "en": "{count} {goods} on {day}"}
KEYS = {"zh": "{day}/{name}/{goods}/{count}/{place}", "en": "{day}, {name}, {goods}, {count}, {place}"}

#: How a report tells one event; which of them is drawn.
SENTENCES = {
    "zh": [
        "{day}上午，{name}来到{place}，清点以后领走了{count}件{goods}，并在登记簿上签了字。",
        "{name}在{day}下午从{place}取走{goods}，一共{count}件，外观完好，没有破损。",
        "{day}傍晚下着小雨，{name}还是按约定去了{place}，把{count}件{goods}装上了车。",
        "{place}在{day}发出{goods}{count}件，经手人是{name}，数目核对无误。",
    ],
    "en": [
        "On {day} morning {name} came to {place}, counted {count} {goods}, and signed for them in the book.",
        "{name} fetched {goods} from {place} in the afternoon of {day}: {count} in all, and none of them damaged.",
        "It rained a little on {day} evening, but {name} went to {place} as agreed and loaded {count} {goods}.",
        "{count} {goods} left {place} on {day}; {name} was in charge of them, and the numbers were found right.",
    ],
}

#: Short questions and their answers; {hour}, {price} and {minutes} follow from the place and the goods.
QUESTIONS: dict[str, list[tuple[str, str]]] = {
    "zh": [
        ("{place}几点开门？", "{place}每天早上{hour}点开门，{day}休息。"),
        ("{goods}多少钱一件？", "{goods}每件{price}元，买十件以上打九折。"),
        ("从旧车站走到{place}要多久？", "从旧车站出发，走大约{minutes}分钟就到{place}。"),
        ("可以在{place}退{goods}吗？", "可以。请在{minutes}天内把{goods}带到{place}，并出示单据。"),
    ],
    "en": [
        ("When does {place} open?", "It opens at {hour} in the morning, and is closed on {day}."),
        ("How much are the {goods}?", "The {goods} are {price} yuan each, a tenth less from ten pieces on."),
        ("How far is it to {place}?", "From the old station it is a walk of about {minutes} minutes."),
        ("Can I return the {goods}?", "Yes. Bring the {goods} to {place} within {minutes} days, with the receipt."),
    ],
}
SYSTEM = {
    "zh": "你是杂货铺的助手，回答要准确、简短。",
    "en": "You help at a general store. Answer exactly and briefly.",
}
ASK = {
    "find": {
        "zh": "下面是本周的领料记录，请找出{name}领走了什么。\n{lines}",
        "en": "These are the records of this week. What did {name} take?\n{lines}",
    },
    "report": {
        "zh": "请根据要点写一份完整的值班报告，每条写成一句话。\n{lines}",
        "en": "Write a full report from these key words, one sentence for each.\n{lines}",
    },
    "translate": {"zh": "请把下面的记录译成英文。\n{lines}", "en": "Put these notes into Chinese.\n{lines}"},
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Who took what, where and when, as places in the lists above."""

    day: int
    name: int
    place: int
    goods: int
    count: int

    def told(self, language: str, form: str) -> str:
        """In words."""
        return form.format(
            day=DAYS[language][self.day],
            name=NAMES[language][self.name],
            place=PLACES[language][self.place],
            goods=GOODS[language][self.goods],
            count=self.count,
            hour=6 + self.place % 5,
            price=5 + 7 * self.goods,
            minutes=5 + 3 * self.place,
        )


def _event(draw: random.Random) -> Event:
    return Event(
        day=draw.randrange(len(DAYS["zh"])),
        name=draw.randrange(len(NAMES["zh"])),
        place=draw.randrange(len(PLACES["zh"])),
        goods=draw.randrange(len(GOODS["zh"])),
        count=draw.randint(2, 60),
    )


def _lines(language: str, form: str, events: list[Event]) -> str:
    return "\n".join(f"{number}. {event.told(language, form)}" for number, event in enumerate(events, 1))


def _exchange(draw: random.Random, language: str) -> list[Message]:
    question, answer = draw.choice(QUESTIONS[language])
    event = _event(draw)
    return [_said("user", event.told(language, question)), _said("assistant", event.told(language, answer))]


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _short(draw: random.Random, language: str, size: int) -> list[Message]:
    del size
    return _exchange(draw, language)


def _chat(draw: random.Random, language: str, size: int) -> list[Message]:
    turns = [_exchange(draw, language) for _ in range(size)]
    return [_said("system", SYSTEM[language]), *(message for turn in turns for message in turn)]


def _find(draw: random.Random, language: str, size: int) -> list[Message]:
    events = [_event(draw) for _ in range(size)]
    wanted = draw.choice(events).name
    found = [event.told(language, TOOK[language]) for event in events if event.name == wanted]
    who = NAMES[language][wanted]
    answer = f"{who}：{'；'.join(found)}。" if language == "zh" else f"{who}: {'; '.join(found)}."
    asked = ASK["find"][language].format(name=who, lines=_lines(language, RECORD[language], events))
    return [_said("user", asked), _said("assistant", answer)]


def _report(draw: random.Random, language: str, size: int) -> list[Message]:
    events = [_event(draw) for _ in range(size)]
    told = [event.told(language, draw.choice(SENTENCES[language])) for event in events]
    asked = ASK["report"][language].format(lines=_lines(language, KEYS[language], events))
    return [_said("user", asked), _said("assistant", ("" if language == "zh" else " ").join(told))]


def _translate(draw: random.Random, language: str, size: int) -> list[Message]:
    events, other = [_event(draw) for _ in range(size)], OTHER[language]
    asked = ASK["translate"][language].format(lines=_lines(language, RECORD[language], events))
    return [_said("user", asked), _said("assistant", _lines(other, RECORD[other], events))]


#: Each kind: how it is made of so many pieces, and how many tokens a piece has, about.
KINDS: dict[str, tuple[Callable[[random.Random, str, int], list[Message]], float]] = {
    "short": (_short, 24.0),
    "chat": (_chat, 26.0),
    "find": (_find, 18.0),
    "report": (_report, 39.0),
    "translate": (_translate, 30.0),
}


def conversations(count: int, seed: int, fits: Callable[[list[Message]], bool], most: int) -> list[dict[str, Any]]:
    """So many different conversations, each with its `kind` and its `messages`.

    Lengths of up to about `most` tokens are aimed at; `fits` says which conversations are taken.
    """
    draw = random.Random(seed)
    made: dict[str, dict[str, Any]] = {}
    while len(made) < count:
        tokens = math.exp(draw.uniform(math.log(20.0), math.log(most)))
        kind = "short" if tokens < 50.0 else draw.choice([name for name in KINDS if name != "short"])
        make, piece = KINDS[kind]
        messages = make(draw, draw.choice(("zh", "en")), max(1, round(tokens / piece)))
        if fits(messages):
            made.setdefault(str(messages), {"kind": kind, "messages": messages})
    return list(made.values())
