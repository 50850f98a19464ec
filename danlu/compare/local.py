"""What a release of this machine answers, and what that takes: seconds, energy, money."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from danlu.core.context import Context
from danlu.core.energy import JOULES_PER_KWH, Meter
from danlu.core.errors import UserError

Answers = TypeVar("Answers")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a kWh costs in USD, and what this machine costs an hour, where None counts electricity alone."""

    kwh_price: float
    watts_per_core: float
    machine_price: float | None


@dataclass(frozen=True, kw_only=True)
class Used:
    """What answering `rows` rows took, in batches, without loading. `joules`: None where a counter was lost; `how` says
    how it is known.
    """

    rows: int
    seconds: float
    joules: float | None
    how: str

    def cost(self, rates: Rates) -> dict[str, Any]:
        """For 1,000 rows: USD of electricity and machine, kWh and seconds."""
        share = 1_000 / max(1, self.rows)
        kwh = None if self.joules is None else self.joules / JOULES_PER_KWH * share
        energy = None if kwh is None else kwh * rates.kwh_price
        machine = None if rates.machine_price is None else self.seconds * share / 3_600 * rates.machine_price
        return {
            "usd_per_1000": None if energy is None else energy + (machine or 0.0),
            "energy_usd": energy,
            "machine_usd": machine,
            "kwh_per_1000": kwh,
            "kwh_by": self.how,
            "seconds_per_1000": self.seconds * share,
        }


def answered(
    ctx: Context, name: str, call: Callable[[Sequence[Any]], Answers], items: Sequence[Any], size: int, watts: float
) -> tuple[list[Answers], Used]:
    """What `call` gives for every `size` of `items`, and what that took."""
    found: list[Answers] = []
    meter = Meter(os.getpid(), threads=ctx.threads, memory_bytes=ctx.machine.memory_bytes, watts_per_core=watts)
    began = perf_counter()
    with ctx.progress(f"asking {name}", total=len(items), unit="rows") as bar:
        for start in range(0, len(items), size):
            block = items[start : start + size]
            found.append(call(block))
            bar.advance(len(block))
    used = Used(rows=len(items), seconds=perf_counter() - began, joules=meter.joules(), how=meter.how)
    return found, used


def must_be_numbers(name: str, values: np.ndarray) -> None:
    """Raise `UserError` where a model answers with something that is no number."""
    wrong = int((~np.isfinite(values).reshape(len(values), -1)).any(axis=1).sum())
    if wrong:
        raise UserError(
            f"{name} answers {wrong:,} of {len(values):,} rows with something that is no number; such a model cannot "
            "be compared."
        )
