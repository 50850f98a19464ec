"""What else would do: accelerators x how many x method x micro-batch x checkpointing, from traces of the real step.

Nothing here was measured on an accelerator: bytes come from traces of the step as it runs there (no attention matrix is
kept), time from the catalogue's peaks and the stated shares of them. A micro-batch between the two that were traced is
interpolated, and marked so. Light: the command line chooses among the rows.

B examples in a step, m of them in memory at once, N accelerators.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.plan.catalogue import Gpu
from danlu.plan.interval import Interval, add

#: CUDA context, libraries' workspaces and kernels; an assumption.
CONTEXT_BYTES = 1.0e9
#: What the caching allocator holds beyond what is asked for; an assumption (blocks are rounded up, and holes stay).
HELD_FACTOR = 1.06
#: Share of the peak and of the bandwidth that training reaches; as in danlu.plan.cost, not measured here.
PEAK_SHARE, BANDWIDTH_SHARE = 0.35, 0.7
#: To start one kernel from Python; an assumption. Small models wait for this.
SECONDS_PER_CALL = 8.0e-6
#: Each doubling of accelerators keeps so much of its gain; an assumption.
SCALING = 0.9
#: How far a prediction of time may be off, as factors.
SPREAD = (0.4, 3.0)
#: How far one of memory may be; what fits does so by the upper bound, as on this machine and in danlu.plan.cost.
MEMORY_SPREAD = (0.85, 1.25)
COUNTS = (1, 2, 4, 8)

#: What a row with its state spread over all needs beside hardware.
_SPREAD_STATE = "FSDP, which Danlu does not do yet"

#: Methods from the one that changes the recipe least to the one that changes it most, seen from a full fine-tune.
METHODS = ("full", "freeze", "lora", "qlora")
#: Bytes of a weight as 4-bit NormalFloat with quantised scales (Dettmers et al. 2023, arXiv:2305.14314, section 3).
_NF4_BYTES = 4.127 / 8


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One traced way to take the step: peaks and work of a piece of `many` examples and of one (B and 1)."""

    method: str
    checkpointing: bool
    many: dict[str, Any]
    one: dict[str, Any]
    update: dict[str, Any]


def variants_of(found: Sequence[dict[str, Any]]) -> list[Variant]:
    """What a trace of variants says, and 4-bit weights worked out from those of LoRA."""
    variants = [Variant(**{name: row[name] for name in Variant.__dataclass_fields__}) for row in found]
    return variants + [_in_four_bits(variant) for variant in variants if variant.method == "lora"]


def _in_four_bits(variant: Variant) -> Variant:
    """LoRA with its frozen weights of 32 bits in 4; 16-bit copies of them are made one at a time."""

    def smaller(piece: dict[str, Any]) -> dict[str, Any]:
        parts = dict(piece["parts"])
        parts["weights"] = parts["weights"] - piece["linear_bytes"] * (1.0 - _NF4_BYTES / 4.0)
        return piece | {"parts": parts, "total": sum(parts.values())}

    return Variant(
        method="qlora",
        checkpointing=variant.checkpointing,
        many=smaller(variant.many),
        one=smaller(variant.one),
        update=variant.update,
    )


def rows(
    variants: Iterable[Variant],
    gpus: Sequence[Gpu],
    *,
    batch: int,
    steps: int,
    share: float,
    others: Interval,
    cny_per_usd: float,
    chosen: tuple[str, bool, int],
) -> list[dict[str, Any]]:
    """For each accelerator, count and method the quickest way that fits, else what the smallest one lacks.

    `batch`: B; `steps` of the whole training; `share`: tokens of a mean step over those of the traced, widest one;
    `others`: seconds of the stages beside training. `chosen`: method, checkpointing and m of the recipe.
    """
    by_method: dict[str, list[Variant]] = {}
    for variant in variants:
        by_method.setdefault(variant.method, []).append(variant)
    found = []
    for gpu in gpus:
        for count in COUNTS:
            for method in METHODS:
                ways = [
                    _way(variant, gpu, count, batch=batch, steps=steps, share=share, micro=micro)
                    for variant in by_method.get(method, ())
                    for micro in _micros(math.ceil(batch / count))
                ]
                if ways:
                    found.append(_priced(_best(ways), gpu, count, others, cny_per_usd, chosen))
    return found


def _micros(most: int) -> list[int]:
    """Micro-batches worth a look: all examples at once, halves of it, and one."""
    sizes = [most]
    while sizes[-1] > 1:
        sizes.append(math.ceil(sizes[-1] / 2))
    return sizes


def _best(ways: list[dict[str, Any]]) -> dict[str, Any]:
    fitting = [way for way in ways if way["fits"]]
    if fitting:
        # Of equally quick ways the one that recomputes nothing and has the largest micro-batch.
        return min(fitting, key=lambda way: (round(way["training"], 3), way["checkpointing"], -way["micro_batch"]))
    return min(ways, key=lambda way: way["memory"])


def _way(variant: Variant, gpu: Gpu, count: int, *, batch: int, steps: int, share: float, micro: int) -> dict[str, Any]:
    mixed = 0.0 if batch == 1 else (micro - 1) / (batch - 1)

    def at(read: Any) -> float:
        one, many = float(read(variant.one)), float(read(variant.many))
        return one + mixed * (many - one)

    parts = {name: at(lambda piece, name=name: piece["parts"][name]) for name in variant.one["parts"]}
    memory, sharded = _memory(parts, variant, gpu, count)
    pieces = math.ceil(batch / count / micro)
    seconds = pieces * _seconds(
        gpu,
        at(lambda piece: sum(piece["tally"]["flops"].values())),
        at(lambda piece: piece["tally"]["bytes"]),
        at(lambda piece: piece["tally"]["calls"]),
    )
    update = variant.update
    seconds += _seconds(gpu, 0.0, update["bytes"] / (count if sharded else 1), update["calls"])
    scaling = SCALING ** math.log2(count)
    return {
        "method": variant.method,
        "checkpointing": variant.checkpointing,
        "micro_batch": micro,
        "interpolated": micro not in {1, batch},
        "sharded": sharded,
        "memory": memory,
        "fits": MEMORY_SPREAD[1] * memory <= gpu.memory,
        "training": steps * share * seconds / scaling,
    }


def _memory(parts: dict[str, float], variant: Variant, gpu: Gpu, count: int) -> tuple[float, bool]:
    """Bytes on each of `count` accelerators, and whether the model's state is spread over them.

    Alone, or with the whole model on each (DDP, which holds a second copy of the gradients in its buckets), where that
    fits; else spread (FSDP, Zhao et al. 2023, arXiv:2304.11277: a share of everything, and two whole layers at a time).
    """
    state = ("weights", "gradients", "optimizer")
    rest = sum(size for name, size in parts.items() if name not in state)
    whole = sum(parts[name] for name in state)
    buckets = 4.0 * variant.one["trainable"] if count > 1 else 0.0
    memory = HELD_FACTOR * (whole + buckets + rest) + CONTEXT_BYTES
    if count == 1 or MEMORY_SPREAD[1] * memory <= gpu.memory:
        return memory, False
    layers = max(1, variant.one["layers"])
    return HELD_FACTOR * (whole / count + 2.0 * parts["weights"] / layers + rest) + CONTEXT_BYTES, True


def _seconds(gpu: Gpu, flops: float, moved: float, calls: float) -> float:
    busy = flops / (PEAK_SHARE * gpu.peak) + moved / (BANDWIDTH_SHARE * gpu.bandwidth)
    return max(busy, SECONDS_PER_CALL * calls)


def _priced(
    way: dict[str, Any], gpu: Gpu, count: int, others: Interval, cny_per_usd: float, chosen: tuple[str, bool, int]
) -> dict[str, Any]:
    """A row of the table: the way, its whole time, and the lowest price that one can rent so many for."""
    offers = [price for price in gpu.prices if price.least <= count]
    price = min(offers, key=lambda price: price.in_usd(cny_per_usd), default=None)
    seconds = add([Interval.around(way["training"], *SPREAD), others])
    usd = None if price is None else count * price.in_usd(cny_per_usd) * seconds.value / 3600
    memory = Interval.around(way["memory"], *MEMORY_SPREAD)
    return {
        "gpu": gpu.name,
        "count": count,
        "method": way["method"],
        "checkpointing": way["checkpointing"],
        "micro_batch": way["micro_batch"],
        "interpolated": way["interpolated"],
        "sharded": way["sharded"],
        "memory_bytes": memory.as_json(),
        "capacity_bytes": gpu.memory,
        "fits": way["fits"],
        "why": "" if way["fits"] else _lacks(memory, gpu.memory),
        "seconds": seconds.as_json(),
        "usd": usd,
        "price": None if price is None else vars(price),
        "needs": gpu.needs or (_SPREAD_STATE if way["sharded"] else ""),
        "changes": _changes(way, count, chosen),
        "measured": False,
    }


def _lacks(memory: Interval, capacity: float) -> str:
    """Why even the smallest way is not said to fit."""
    if memory.value > capacity:
        return f"lacks {(memory.value - capacity) / 1e9:.1f} GB even with one example at a time"
    return f"may lack {(memory.high - capacity) / 1e9:.1f} GB even with one example at a time"


def _changes(way: dict[str, Any], count: int, chosen: tuple[str, bool, int]) -> list[str]:
    """What of the recipe would have to change, the mildest first."""
    method, checkpointing, micro = chosen
    told = []
    if way["micro_batch"] * count < micro:
        told.append(f"train.micro_batch: {way['micro_batch']}")
    if way["checkpointing"] and not checkpointing:
        told.append("train.checkpointing: true")
    if way["method"] != method:
        told.append(f"train.method.kind: {way['method']}")
    if count > 1:
        told.append(f"{count} accelerators")
    return told


def choose(
    table: Sequence[dict[str, Any]], *, method: str, deadline: float | None = None, budget: float | None = None
) -> dict[str, Any]:
    """The rows that answer a question: `cheapest` within `deadline` seconds, `fastest` within `budget` USD.

    Both look at `method` alone, since another one is another model, at the predicted value, and at what Danlu runs on.
    Where no row of it fits, `instead` is the fitting row with the fewest changes. None where there is no such row.
    """
    fitting = [row for row in table if row["fits"] and not row["needs"]]
    own = [row for row in fitting if row["method"] == method]
    timely = [row for row in own if deadline is None or row["seconds"]["value"] <= deadline]
    priced = [row for row in timely if row["usd"] is not None]
    affordable = [row for row in own if row["usd"] is not None and (budget is None or row["usd"] <= budget)]

    def least(rows_: Iterable[dict[str, Any]], key: Any) -> dict[str, Any] | None:
        return min(rows_, key=key, default=None)

    by_usd, by_time = (lambda row: row["usd"]), (lambda row: row["seconds"]["value"])
    return {
        "cheapest": least(priced, by_usd),
        "fastest": least(affordable, by_time),
        "quickest_of_all": least(own, by_time),
        "cheapest_of_all": least((row for row in own if row["usd"] is not None), by_usd),
        "instead": None
        if own
        else least(fitting, lambda row: (len(row["changes"]), METHODS.index(row["method"]), row["seconds"]["value"])),
    }
