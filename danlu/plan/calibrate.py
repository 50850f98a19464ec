"""What this machine does: a few rates, measured in one or two seconds.

Each rate is the best of several repetitions, since another program may be busy for a moment: it is what the machine
does when it is free. How busy it was meanwhile is measured too; that stretches the upper bounds of the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_STREAM_VALUES = 8 << 20
_MOST_TOKENS = 1_024

#: From this share of the cores on, a machine counts as free.
FREE = 0.75


@dataclass(frozen=True, kw_only=True)
class Rates:
    """`gemm`: operations/s of matrix products of the model's own size, `gemm32` in float32; `stream`: bytes/s
    through memory (read and written); `elementwise`: values/s through gelu, dropout, norm and back. `share`: how
    much of the threads' time this process got while it measured, 1 on a machine that is free.
    """

    gemm: float
    gemm32: float
    stream: float
    elementwise: float
    share: float = 1.0


def measure(
    *,
    precision: str,
    tokens: int,
    width: int,
    inner: int,
    threads: int,
    check: Callable[[], None],
    seconds: float = 0.35,
) -> Rates:
    """Measure for batches of `tokens` tokens; `check` is called between repetitions. About 4 times `seconds`.

    Several threads wait for one another, so on a busy machine their speed says little. There the rates are those of
    one thread in processor time, which is what it takes when nobody else is there, times `_gain(threads)`.
    """
    tokens = max(16, min(_MOST_TOKENS, tokens))
    if threads == 1:
        return _rates(precision, tokens, width, inner, 1, time.process_time, check, seconds)
    together = _rates(precision, tokens, width, inner, threads, time.perf_counter, check, seconds / 2)
    if together.share >= FREE:
        return together
    alone = _rates(precision, tokens, width, inner, 1, time.process_time, check, seconds / 2)
    torch.set_num_threads(threads)
    gain = _gain(threads)
    return Rates(
        gemm=max(together.gemm, gain * alone.gemm),
        gemm32=max(together.gemm32, gain * alone.gemm32),
        stream=max(together.stream, alone.stream),
        elementwise=max(together.elementwise, gain * alone.elementwise),
        share=together.share,
    )


def _gain(threads: int) -> float:
    """How much more several threads do than one, where that cannot be measured; an assumption."""
    return 1.0 + 0.7 * (threads - 1)


def _rates(
    precision: str,
    tokens: int,
    width: int,
    inner: int,
    threads: int,
    clock: Callable[[], float],
    check: Callable[[], None],
    seconds: float,
) -> Rates:
    torch.set_num_threads(threads)
    wall, busy = time.perf_counter(), time.process_time()
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    operations = 6 * tokens * width * inner

    def best(work: Callable[[], object]) -> float:
        return _best(work, clock, seconds, check)

    gemm = operations / best(_products(kind, tokens, width, inner))
    gemm32 = gemm if kind is torch.float32 else operations / best(_products(torch.float32, tokens, width, inner))
    source = torch.ones(_STREAM_VALUES)
    target = torch.empty_like(source)
    stream = 8 * _STREAM_VALUES / best(lambda: torch.add(source, 1.0, out=target))
    elementwise = tokens * width / best(_elementwise(tokens, width))
    share = (time.process_time() - busy) / (threads * (time.perf_counter() - wall))
    return Rates(gemm=gemm, gemm32=gemm32, stream=stream, elementwise=elementwise, share=min(1.0, share))


def _products(kind: torch.dtype, tokens: int, width: int, inner: int) -> Callable[[], object]:
    """The three products of a linear layer in a step: forward, gradient of the input, gradient of the weight."""
    activations = torch.randn(tokens, width).to(kind)
    weight = torch.randn(width, inner).to(kind)
    gradient = torch.randn(tokens, inner).to(kind)
    return lambda: (activations @ weight, gradient @ weight.t(), activations.t() @ gradient)


def _elementwise(tokens: int, width: int) -> Callable[[], object]:
    values = torch.randn(tokens, width, requires_grad=True)
    gain = torch.ones(width, requires_grad=True)

    def run() -> None:
        mixed = values + F.dropout(F.gelu(values), 0.1)
        F.layer_norm(mixed, (width,), gain).sum().backward()  # type: ignore[no-untyped-call]

    return run


def _best(work: Callable[[], object], clock: Callable[[], float], seconds: float, check: Callable[[], None]) -> float:
    """Shortest time of one call by `clock`, in seconds, over at least 3 calls and about `seconds` of wall time."""
    work()
    best = float("inf")
    calls = 0
    until = time.perf_counter() + seconds
    while calls < 3 or time.perf_counter() < until:
        start = clock()
        work()
        best = min(best, max(clock() - start, 1e-9))
        calls += 1
        check()
    return best
