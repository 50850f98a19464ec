"""Asking a chat model to classify: the instruction, what may leave this machine, and the label in an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from danlu.compare.config import EndpointsConfig
from danlu.compare.entrants import EndpointModel
from danlu.core.context import Context
from danlu.data.mask.config import Kind
from danlu.data.mask.masker import mask
from danlu.engines.endpoint import ChatEndpoint, Price, Purse, Reply, Server

#: By the language of the texts; another language is asked in English.
PROMPTS = {
    "en": "Read the text below and decide which one of these labels fits it best:\n{labels}\n\n"
    "Answer with that label alone, exactly as it is written above, and nothing else.\n\nText:\n{text}",
    "zh": "请阅读下面的文本，从这些标签中选出最合适的一个：\n{labels}\n\n"
    "只回答这个标签本身，写法与上面完全一致，不要写任何别的内容。\n\n文本：\n{text}",
}

_SETTINGS = {
    "base_url": "the address in endpoint:URL#MODEL",
    "model": "the model's name behind the #",
    "key": "the environment variable that --key-env names",
    "concurrency": "--concurrency",
    "retries": "--retries",
}

#: What masking left: a kind, and the digits of a pseudonym. It would make a phone of the next number.
_TOKEN = re.compile(rf"\[(?:{'|'.join(kind.upper() for kind in get_args(Kind))})(?:_[0-9a-f]{{12}})?\]")

#: What people and models put around a word: quotation marks, emphasis, a full stop.
_AROUND = " \t\r\n\"'`*“”‘’「」『』《》.。"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a model answered to N rows: the places of the labels [N], -1 for none, and what that took."""

    places: np.ndarray
    replies: Sequence[Reply]
    masked: int

    @property
    def cut(self) -> int:
        """Answers that were cut off by the limit of tokens."""
        return sum(reply.cut for reply in self.replies)

    def examples(self, most: int = 3) -> list[str]:
        """Different answers that are no label."""
        said = [reply.answer for reply, place in zip(self.replies, self.places, strict=True) if place < 0]
        return list(dict.fromkeys(answer[:80] for answer in said if answer))[:most]

    def latency(self) -> dict[str, Any] | None:
        """Milliseconds from sending to receiving; None where no reply says."""
        seconds = [reply.seconds for reply in self.replies if reply.seconds is not None]
        if not seconds:
            return None
        p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
        return {"p50_ms": float(p50), "p95_ms": float(p95), "requests": len(seconds), "where": "endpoint"}

    def cost(self, price: Price | None) -> dict[str, Any]:
        """Tokens of 1,000 rows, and by `price` their USD; None where it is not known."""
        counted = [
            (reply.prompt_tokens, reply.completion_tokens)
            for reply in self.replies
            if reply.prompt_tokens is not None and reply.completion_tokens is not None
        ]
        if not counted:
            return {"usd_per_1000": None, "prompt_tokens_per_1000": None, "completion_tokens_per_1000": None}
        prompt, completion = (1_000 * float(value) for value in np.mean(counted, axis=0))
        return {
            "usd_per_1000": None if price is None else price.of(prompt, completion),
            "prompt_tokens_per_1000": prompt,
            "completion_tokens_per_1000": completion,
        }

    @property
    def uncounted(self) -> int:
        """Replies whose tokens the endpoint did not count."""
        return sum(reply.prompt_tokens is None or reply.completion_tokens is None for reply in self.replies)


def ask(
    ctx: Context,
    entrant: EndpointModel,
    texts: Sequence[str],
    labels: Sequence[str],
    language: str,
    config: EndpointsConfig,
    cache: Path,
) -> Asked:
    """What the endpoint answers to `texts`; personal data that is found in one is masked before it leaves.

    Raises as `danlu.engines.endpoint.ChatEndpoint.ask` does; what came before is kept in `cache`.
    """
    template = config.prompt or PROMPTS.get(language, PROMPTS["en"])
    sent = [sendable(text) for text in texts]
    bodies = [_body(prompt_for(template, text, labels), config) for text in sent]
    price = price_of(entrant)
    purse = None if config.max_usd is None or price is None else Purse(price, config.max_usd, "--max-usd")
    server = Server(
        base_url=entrant.base_url,
        model=entrant.model,
        key=entrant.key,
        timeout=config.timeout,
        retries=config.retries,
        concurrency=config.concurrency,
        settings=_SETTINGS,
    )
    with (
        ChatEndpoint(server, cache, purse) as endpoint,
        ctx.progress(f"asking {entrant.name}", total=len(bodies), unit="rows") as bar,
    ):
        replies = endpoint.ask(bodies, bar.advance)
    return Asked(
        places=np.array([place_of(reply.answer, labels) for reply in replies], dtype=np.int64),
        replies=replies,
        masked=sum(text != given for text, given in zip(sent, texts, strict=True)),
    )


def price_of(entrant: EndpointModel) -> Price | None:
    """The entrant's price as the engine takes it."""
    price = entrant.price
    return None if price is None else Price(prompt=price.prompt, completion=price.completion)


def _body(prompt: str, config: EndpointsConfig) -> Mapping[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}], "max_tokens": config.max_tokens}
    return body if config.temperature is None else body | {"temperature": config.temperature}


def prompt_for(template: str, text: str, labels: Sequence[str]) -> str:
    """`template` with the labels, a line each, and the text in their places; other braces stay."""
    listed = "\n".join(f"- {label}" for label in labels)
    # The labels first, and only in the template: a text may hold the word {labels}.
    return text.join(piece.replace("{labels}", listed) for piece in template.split("{text}"))


def sendable(text: str) -> str:
    """The text as it may leave this machine: as it is where nothing personal is found in it, else masked."""
    return text if not mask(_TOKEN.sub("[]", text))[1] else mask(text)[0]


def place_of(answer: str, labels: Sequence[str]) -> int:
    """The place of the label that an answer consists of, -1 for any other answer.

    Quotation marks, emphasis and a full stop around it are passed over, and case where no two labels differ by it
    alone; a sentence that holds a label is none.
    """
    said = answer.strip()
    for form in (said, said.strip(_AROUND)):
        if form in labels:
            return labels.index(form)
    low = [label.strip(_AROUND).casefold() for label in labels]
    word = said.strip(_AROUND).casefold()
    return low.index(word) if word and low.count(word) == 1 else -1


def cache_folder(workspace_root: Path) -> Path:
    """Where answers of endpoints are kept; it may be deleted, and then they are asked and paid for again."""
    return workspace_root / "cache" / "endpoints"
