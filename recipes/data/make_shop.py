"""Writes shop.jsonl, shop-preferences.jsonl, shop-search.jsonl, shop-messages.csv and shop-returns.csv: customer
service of a shop that does not exist.

    python recipes/data/make_shop.py

In Chinese and English, made by rule from the phrases below, all of them written for this: no customer has ever said any
of it. Good enough to see instruction tuning, preference tuning and search work in a minute or two on a laptop, and no
measure of anything else.
"""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

SYSTEM = {"zh": "你是丹炉小店的客服，回答要简短、有礼貌。", "en": "You answer for the Danlu shop: short and polite."}

GOODS = {
    "zh": ["台灯", "水壶", "书包", "雨伞", "键盘", "耳机", "被子", "炒锅", "闹钟", "茶杯"],
    "en": ["lamp", "kettle", "backpack", "umbrella", "keyboard", "headphones", "blanket", "pan", "clock", "cup"],
}

#: What people ask, in several wordings, and what the shop answers; {0} is the article, {1} a number.
MATTERS: dict[str, list[tuple[list[str], str]]] = {
    "zh": [
        (
            ["{0}什么时候发货？", "我买的{0}几天能发出？", "请问{0}多久发货"],
            "您好，{0}付款后{1}天内发货，发出后会有短信通知。",
        ),
        (["{0}可以退吗？", "{0}不喜欢，能退货吗？", "想退掉{0}"], "您好，{0}签收后{1}天内可以退货，请保持包装完好。"),
        (
            ["{0}坏了怎么办？", "{0}用了几天就不动了", "收到的{0}是坏的"],
            "很抱歉，{0}保修{1}个月，请发一张照片，我们马上处理。",
        ),
        (["{0}能便宜点吗？", "{0}有没有优惠？", "买{0}打折吗"], "您好，{0}现在买{1}件有折扣，结算时会自动减。"),
        (
            ["{0}怎么保养？", "{0}要怎么清洗？", "{0}用久了怎么打理"],
            "您好，{0}每{1}周用软布擦一次就好，不要用强力清洁剂。",
        ),
        (
            ["{0}可以开发票吗？", "买{0}要发票", "{0}的发票怎么开"],
            "您好，可以的，{0}的电子发票会在{1}天内发到您的邮箱。",
        ),
    ],
    "en": [
        (
            ["When will the {0} ship?", "How long until you send the {0}?", "Has my {0} been sent?"],
            "Hello! The {0} ships within {1} days of payment, and we send you a message when it does.",
        ),
        (
            ["Can I return the {0}?", "I do not like the {0}.", "How do I send the {0} back?"],
            "Hello! You can return the {0} within {1} days if the box is whole.",
        ),
        (
            ["The {0} is broken.", "My {0} stopped working.", "The {0} came damaged."],
            "We are sorry. The {0} has a warranty of {1} months: please send a photo and we take care of it.",
        ),
        (
            ["Is there a discount on the {0}?", "Can I get the {0} cheaper?", "Any offers for the {0}?"],
            "Hello! There is a discount when you buy {1} of the {0}; it is taken off at the till.",
        ),
        (
            ["How do I clean the {0}?", "How should I look after the {0}?", "Any care tips for the {0}?"],
            "Hello! Wipe the {0} with a soft cloth every {1} weeks and it will last.",
        ),
    ],
}

#: Of the articles that are searched for there are several.
COLOURS = {
    "zh": ["红色{0}", "蓝色{0}", "白色{0}", "黑色{0}", "绿色{0}", "灰色{0}", "黄色{0}", "粉色{0}"],
    "en": ["red {0}", "blue {0}", "white {0}", "black {0}", "green {0}", "grey {0}", "yellow {0}", "pink {0}"],
}

#: Answers that nobody should give.
RUDE = {
    "zh": ["不知道，自己看。", "这个问题不归我管。", "别问了，烦不烦。", "随便你。"],
    "en": ["No idea, look it up.", "That is not my job.", "Stop asking.", "Whatever."],
}


#: What messages praise and complain of, by language and topic, which has one name in both; the last topic is none.
TOPICS: dict[str, dict[str, tuple[list[str], list[str]]]] = {
    "zh": {
        "delivery": (
            ["{0}隔天就送到了", "{0}到得比说的早"],
            ["{0}等了八天才到", "快递把{0}扔在雨里", "{0}的物流一直不更新"],
        ),
        "quality": (["{0}做工很细", "{0}摸着就结实"], ["{0}用两次就裂了", "{0}的接缝都开了"]),
        "price": (["{0}打完折很划算", "这个价买{0}值了"], ["{0}比别家贵一半", "刚买{0}就降价了"]),
        "service": (["客服把{0}讲得很清楚", "换{0}时客服很客气"], ["问{0}的事半天没人理", "为{0}打了三次电话都没接"]),
        "": (["我买了{0}", "{0}是给我妈买的"], ["家里有两个{0}了", "周末才拆开{0}"]),
    },
    "en": {
        "delivery": (["the {0} came the next day"], ["the {0} took eight days", "the {0} was left in the rain"]),
        "quality": (["the {0} is well made"], ["the {0} cracked on day two", "a seam of the {0} came apart"]),
        "price": (["with the coupon the {0} was a bargain"], ["the {0} costs half as much elsewhere"]),
        "service": (["the agent explained the {0} with patience"], ["nobody answers about the {0}"]),
        "": (["I bought the {0}", "the {0} is for my mother"], ["I opened the {0} at the weekend"]),
    },
}


#: Why people want to give an article back, by language.
REASONS: dict[str, dict[str, list[str]]] = {
    "zh": {
        "broken": ["{0}开不了机", "{0}坏了", "{0}一碰就散", "{0}修过一次又坏"],
        "dislike": ["{0}不喜欢", "{0}颜色不对", "{0}买大了", "不想要{0}了"],
    },
    "en": {
        "broken": ["the {0} does not start", "the {0} is broken", "the {0} fell apart", "the {0} failed again"],
        "dislike": [
            "I do not like the {0}",
            "the {0} has the wrong colour",
            "the {0} is too large",
            "I changed my mind",
        ],
    },
}

#: For so many days an article that is not liked is taken back, by the channel it was bought through, and a broken one
#: is mended; one that cost less than this is not mended, the money is given back.
DAYS_TO_RETURN = {"shop": 90, "app": 45, "web": 45}
DAYS_OF_WARRANTY = 180
WORTH_MENDING = 40


def returns(draw: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Messages of people who want to give something back, what the shop knows of it, and what it decides."""
    for _ in range(count):
        language, reason = draw.choice(("zh", "en")), draw.choice(("broken", "dislike"))
        topics, goods = TOPICS[language], draw.choice(GOODS[language])
        said = [draw.choice(REASONS[language][reason])]
        said.append(draw.choice(topics[draw.choice(sorted(topics))][draw.randrange(2)]))
        draw.shuffle(said)
        joined = ("，" if language == "zh" else ", ").join(part.format(goods) for part in said)
        text = f"{joined}。" if language == "zh" else f"{joined[0].upper()}{joined[1:]}."
        days, amount, channel = draw.randrange(241), draw.randrange(5, 120), draw.choice(sorted(DAYS_TO_RETURN))
        if reason == "dislike":
            decision = "refund" if days <= DAYS_TO_RETURN[channel] else "decline"
        elif days > DAYS_OF_WARRANTY:
            decision = "decline"
        else:
            decision = "repair" if amount >= WORTH_MENDING else "refund"
        known = {"days": days, "amount": amount if draw.random() < 0.95 else "", "channel": channel}
        yield {"text": text, **known, "decision": decision}


def messages(draw: random.Random, count: int) -> Iterator[dict[str, str]]:
    """Messages with their topics, between bars, and stars: 3, one more for each praise, one less for each complaint."""
    seen: set[str] = set()
    while len(seen) < count:
        language = draw.choice(("zh", "en"))
        topics, goods = TOPICS[language], draw.sample(GOODS[language], 2)
        named = sorted(draw.sample([topic for topic in topics if topic], draw.choice((0, 1, 1, 1, 2, 2, 3))))
        stars, said = 3, []
        for topic in [*named, ""]:
            praised = draw.random() < 0.5
            said.append(draw.choice(topics[topic][0 if praised else 1]).format(draw.choice(goods)))
            stars += (1 if praised else -1) if topic else 0
        draw.shuffle(said)
        text = "，".join(said) + "。" if language == "zh" else ", ".join(said).capitalize() + "."
        if text not in seen:
            seen.add(text)
            yield {"text": text, "topics": "|".join(named), "stars": str(min(5, max(1, stars)))}


def exchanges(draw: random.Random, goods_of: dict[str, list[str]] = GOODS) -> Iterator[tuple[str, str, str]]:
    """`(language, question, answer)` for every article, matter and wording."""
    for language, matters in MATTERS.items():
        numbers: dict[tuple[str, int], int] = {}
        for goods, (place, (questions, answer)) in itertools.product(goods_of[language], enumerate(matters)):
            number = numbers.setdefault((goods, place), draw.randint(2, 9))
            for question in questions:
                yield language, question.format(goods), answer.format(goods, number)


def conversations(draw: random.Random) -> Iterator[dict[str, Any]]:
    """Each exchange by itself, a third of them after an earlier one."""
    every = list(exchanges(draw))
    for language, question, answer in every:
        messages = [{"role": "system", "content": SYSTEM[language]}] if draw.random() < 0.5 else []
        if draw.random() < 1 / 3:
            _, before, said = draw.choice([one for one in every if one[0] == language])
            messages += [{"role": "user", "content": before}, {"role": "assistant", "content": said}]
        yield {"messages": [*messages, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def preferences(draw: random.Random) -> Iterator[dict[str, str]]:
    """The polite answer is chosen, a rude one rejected."""
    for language, question, answer in exchanges(draw):
        yield {"prompt": question, "chosen": answer, "rejected": draw.choice(RUDE[language])}


def pairs(draw: random.Random) -> Iterator[dict[str, str]]:
    """Questions about articles of several colours, each with its answer."""
    goods = {
        language: [colour.format(one) for one in every for colour in COLOURS[language]]
        for language, every in GOODS.items()
    }
    for _, question, answer in exchanges(draw, goods):
        yield {"question": question, "answer": answer}


def main() -> None:
    """Write the files beside this one."""
    files: dict[str, Iterator[Any]] = {
        "shop": conversations(random.Random(1)),
        "shop-preferences": preferences(random.Random(2)),
        "shop-search": pairs(random.Random(3)),
    }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (HERE / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    with (HERE / "shop-messages.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "topics", "stars"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(messages(random.Random(4), 1_600))
    with (HERE / "shop-returns.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "days", "amount", "channel", "decision"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(returns(random.Random(5), 2_400))


if __name__ == "__main__":
    main()
