"""How fast one form answers on this machine: real texts, the serving engine, after warming up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danlu.core.asked import Question
from danlu.core.context import Context
from danlu.engines.base import Engine
from danlu.engines.table import load
from danlu.evaluate.config import SpeedConfig

_TEXTS_IN_BATCH = 32

#: A model that writes slowly is timed on fewer requests: no form takes longer than this, but for the fewest.
_MOST_SECONDS = 60.0
_FEWEST_REQUESTS = 20

#: A request to a language model: go on from this many characters, for this many tokens.
_PROMPT_CHARACTERS = 64
_NEW_TOKENS = 32


def measure(ctx: Context, folder: Path, texts: Sequence[Any], config: SpeedConfig) -> dict[str, Any]:
    """Speed of the form in `folder`, in milliseconds, seconds, and texts (or tokens) a second.

    `texts` are what it is asked: questions, where its task answers them.

    `load_seconds` is without the time that importing its library takes.
    """
    load(folder, ctx.threads).close()
    begin = time.perf_counter()
    engine = load(folder, ctx.threads)
    loaded = time.perf_counter() - begin
    measured = _MEASURES[engine.form.task](ctx, engine, texts, config)
    measured |= {"load_seconds": loaded, "bytes": engine.form.bytes}
    engine.close()
    return measured


def _classify(ctx: Context, engine: Engine, texts: Sequence[Question], config: SpeedConfig) -> dict[str, Any]:
    return _of_batches(ctx, engine, texts, config, engine.predict)


def _embed(ctx: Context, engine: Engine, texts: Sequence[str], config: SpeedConfig) -> dict[str, Any]:
    return _of_batches(ctx, engine, texts, config, engine.embed)


def _fill(ctx: Context, engine: Engine, texts: Sequence[str], config: SpeedConfig) -> dict[str, Any]:
    """Texts with the word in their middle hidden."""
    gap = engine.gap()
    gaps = [text[: len(text) // 2] + gap + text[len(text) // 2 + 1 :] for text in texts]
    return _of_batches(ctx, engine, gaps, config, engine.fill)


def _of_batches(
    ctx: Context,
    engine: Engine,
    texts: Sequence[Any],
    config: SpeedConfig,
    answer: Callable[[Sequence[Any]], Any],
) -> dict[str, Any]:
    """Latency of one text a request; throughput of all texts, in batches as far as the form allows them."""
    seconds = _timed(ctx, engine.form.name, texts, config, lambda text: answer([text]))
    size = _TEXTS_IN_BATCH if engine.form.batch_invariant else 1
    many = list(itertools.islice(itertools.cycle(texts), max(len(texts), 4 * size)))
    answered, begin = 0, time.perf_counter()
    for start in range(0, len(many), size):
        answer(many[start : start + size])
        answered += len(many[start : start + size])
        ctx.check()
        if time.perf_counter() - begin > _MOST_SECONDS:
            break
    return {
        **_latency(seconds),
        "throughput_per_second": answered / (time.perf_counter() - begin),
        "batch_size": size,
    }


def _generate(ctx: Context, engine: Engine, texts: Sequence[str], config: SpeedConfig) -> dict[str, Any]:
    """One request continues the beginning of a text: time to the first piece, to the last, and tokens a second."""
    first: list[float | None] = []
    tokens: list[int] = []

    def answer(prompt: str) -> None:
        begin = time.perf_counter()
        first.append(None)
        answering = engine.generate(
            prompt, max_new_tokens=_NEW_TOKENS, temperature=1.0, top_p=1.0, seed=len(tokens), stop=()
        )
        while True:
            try:
                next(answering)
            except StopIteration as stopped:
                tokens.append(stopped.value.tokens)
                return
            if first[-1] is None:
                first[-1] = time.perf_counter() - begin

    prompts = [text[:_PROMPT_CHARACTERS] for text in texts]
    seconds = _timed(ctx, engine.form.name, prompts, config, answer)
    timed, waits = tokens[-len(seconds) :], [wait for wait in first[-len(seconds) :] if wait is not None]
    return {
        **_latency(seconds),
        "throughput_per_second": len(seconds) / sum(seconds),
        "tokens_per_second": sum(timed) / sum(seconds),
        "first_token_ms": float(np.median(waits)) * 1e3 if waits else None,
        "new_tokens": _NEW_TOKENS,
    }


_MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "classify": _classify,
    "tag": _classify,
    "regress": _classify,
    "multitask": _classify,
    "generate": _generate,
    "embed": _embed,
    "fill": _fill,
}


def _timed(
    ctx: Context, name: str, texts: Sequence[Any], config: SpeedConfig, answer: Callable[[Any], Any]
) -> list[float]:
    """Seconds of each single request, `texts` over and over; the first `config.warmup` are not counted."""
    seconds: list[float] = []
    total = config.warmup + config.requests
    begun = time.perf_counter()
    requests = itertools.islice(itertools.cycle(texts), total)
    for place, text in enumerate(ctx.track(requests, f"timing {name}", total=total, unit="requests")):
        begin = time.perf_counter()
        answer(text)
        end = time.perf_counter()
        if place >= config.warmup:
            seconds.append(end - begin)
        if len(seconds) >= _FEWEST_REQUESTS and end - begun > _MOST_SECONDS:
            break
    return seconds


def _latency(seconds: Sequence[float]) -> dict[str, Any]:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95), "requests": len(seconds)}
