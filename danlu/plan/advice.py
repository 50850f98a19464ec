"""The answer to "what is cheapest in six hours, what is fastest for 200 yuan", in sentences. Light; for the CLI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from danlu.core.errors import UserError
from danlu.plan.options import choose

_HOURS = {"m": 1 / 60, "min": 1 / 60, "h": 1.0, "d": 24.0}
_MONEY = re.compile(
    r"\s*(?P<sign>[$¥￥])?\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<name>usd|cny|rmb|yuan|元)?\s*", re.IGNORECASE
)
_CURRENCY = {"$": "usd", "¥": "cny", "￥": "cny", "rmb": "cny", "yuan": "cny", "元": "cny", "usd": "usd", "cny": "cny"}


def money(text: str, cny_per_usd: float) -> float:
    """An amount such as 200cny, ¥200 or 30usd, in USD. Raises `UserError`."""
    match = _MONEY.fullmatch(text)
    named = match and (match["sign"] or match["name"])
    if not match or not named:
        raise UserError(f"--budget is {text!r}; expected an amount with its currency, such as 200cny, ¥200 or 30usd.")
    amount = float(match["amount"])
    return amount if _CURRENCY[named.lower()] == "usd" else amount / cny_per_usd


def duration(text: str) -> float:
    """A time such as 6h, 90m or 2d, in seconds. Raises `UserError`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(min|m|h|d)\s*", text, re.IGNORECASE)
    if match is None or float(match[1]) == 0.0:
        raise UserError(f"--deadline is {text!r}; expected a time such as 6h, 90m or 2d.")
    return 3600.0 * float(match[1]) * _HOURS[match[2].lower()]


def answer(
    table: Sequence[dict[str, Any]], *, method: str, deadline: float | None, budget: float | None, cny_per_usd: float
) -> list[str]:
    """What to take, and where nothing meets the question what would be possible; USD and seconds."""
    found = choose(table, method=method, deadline=deadline, budget=budget)
    if found["instead"] is not None:
        row = found["instead"]
        changes = ", ".join(row["changes"]) or "another accelerator"
        return [
            f"By method {method} this training fits on none of them. The smallest change that would: {changes}, on "
            f"{_place(row)} ({_told(row, cny_per_usd)})."
        ]
    if found["quickest_of_all"] is None:
        return [f"By no method does this training fit on anything that Danlu runs on. {_smaller(table)}"]
    told = []
    if deadline is not None:
        told.append(_within(found["cheapest"], found["quickest_of_all"], deadline, cny_per_usd))
    if budget is not None:
        told.append(_for_money(found["fastest"], found["cheapest_of_all"], budget, cny_per_usd))
    if not told and found["cheapest"] is not None:
        told.append(f"Cheapest: {_place(found['cheapest'])}, {_told(found['cheapest'], cny_per_usd)}.")
        told.append(f"Fastest: {_place(found['quickest_of_all'])}, {_told(found['quickest_of_all'], cny_per_usd)}.")
    return told


def _within(row: dict[str, Any] | None, quickest: dict[str, Any], deadline: float, cny_per_usd: float) -> str:
    if row is not None:
        sure = "" if row["seconds"]["high"] <= deadline else " It may take longer: see the interval."
        return f"Cheapest within {_time(deadline)}: {_place(row)}, {_told(row, cny_per_usd)}.{sure}"
    if quickest["seconds"]["value"] <= deadline:
        return (
            f"Within {_time(deadline)} there is {_place(quickest)} ({_time(quickest['seconds']['value'])}), but no "
            "price is known for what would do; give yours in plan.prices."
        )
    return (
        f"Nothing is done within {_time(deadline)}. The fastest takes {_time(quickest['seconds']['value'])}: "
        f"{_place(quickest)}. Lower train.max_samples or train.epochs by a factor of "
        f"{quickest['seconds']['value'] / deadline:.1f}, or allow more time."
    )


def _for_money(row: dict[str, Any] | None, cheapest: dict[str, Any] | None, budget: float, cny_per_usd: float) -> str:
    if row is not None:
        return f"Fastest for {_sum(budget, cny_per_usd)}: {_place(row)}, {_told(row, cny_per_usd)}."
    if cheapest is None:
        return "No price is known for what would do; give yours in plan.prices. Hours are in the table."
    return (
        f"{_sum(budget, cny_per_usd)} is not enough. The cheapest costs {_sum(cheapest['usd'], cny_per_usd)} and takes "
        f"{_time(cheapest['seconds']['value'])}: {_place(cheapest)}."
    )


def _smaller(table: Sequence[dict[str, Any]]) -> str:
    """How far the nearest row is off."""
    spread = [row for row in table if row["fits"] and row["needs"]]
    if spread:
        row = min(spread, key=lambda row: row["count"])
        return f"{_place(row)} would hold it, but needs {row['needs']}. Or lower model.max_length."
    row = min(table, key=lambda row: row["memory_bytes"]["high"] / row["capacity_bytes"])
    return f"The nearest is {_place(row)}, which {row['why']}. Lower model.max_length, or take a smaller model."


def _place(row: dict[str, Any]) -> str:
    many = f"{row['count']} x " if row["count"] > 1 else ""
    how = [f"micro-batch {row['micro_batch']}"] + (["checkpointing"] if row["checkpointing"] else [])
    how += ["state spread over all"] if row["sharded"] else []
    return f"{many}{row['gpu']} ({', '.join(how)})"


def _told(row: dict[str, Any], cny_per_usd: float) -> str:
    seconds, price = row["seconds"], row["price"]
    took = f"{_time(seconds['value'])} ({_time(seconds['low'])} to {_time(seconds['high'])})"
    if price is None:
        return f"{took}, no price known"
    return f"{took}, {_sum(row['usd'], cny_per_usd)} at {price['provider']} ({price['kind']}, {price['date']})"


def _sum(usd: float, cny_per_usd: float) -> str:
    digits = 2 if usd < 100 else 0
    return f"${usd:,.{digits}f} (¥{usd * cny_per_usd:,.{digits}f})"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} days"
