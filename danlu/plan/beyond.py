"""What is out of reach: a run that this machine cannot hold, or that would not end. Said before everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from danlu.core.machine import Machine
from danlu.plan.cost import Total

#: From this many days on a run on one machine is taken for a mistake.
MOST_DAYS = 30.0

_DAY = 86_400.0


def beyond(machine: Machine, total: Total, rented: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence each for memory and time that are far beyond `machine`; none where the run can be had here.

    `rented`: the rows of the catalogue as in plan.json, which may do it instead.
    """
    told = []
    if total.memory.value > machine.memory_bytes:
        memory = total.memory
        told.append(
            f"This run does not fit into this machine: at its peak it needs {_gb(memory.value)} of memory "
            f"({_gb(memory.low)} to {_gb(memory.high)}), and there are {_gb(machine.memory_bytes)}. "
            f"{_instead([gpu['name'] for gpu in rented if gpu['fits']])}, or take a smaller model, a smaller "
            "train.micro_batch, or train.method lora."
        )
    if total.seconds.value > MOST_DAYS * _DAY:
        days = total.seconds.times(1 / _DAY)
        soon = [gpu["name"] for gpu in rented if gpu["fits"] and gpu["seconds"]["value"] <= MOST_DAYS * _DAY]
        told.append(
            f"This run would take {days.value:,.0f} days here ({days.low:,.0f} to {days.high:,.0f}). {_instead(soon)}, "
            "or lower train.max_samples or train.epochs, or take a smaller model."
        )
    return told


def _instead(names: Sequence[str]) -> str:
    if not names:
        return "No single GPU of the catalogue would do either"
    return f"Rent {names[0]}" if len(names) == 1 else f"Rent one of {', '.join(names)}"


def _gb(bytes_: float) -> str:
    return f"{bytes_ / 1e9:,.1f} GB" if bytes_ < 1e11 else f"{bytes_ / 1e9:,.0f} GB"
