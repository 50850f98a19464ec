"""The dated list of accelerators in `catalogue.yaml`, and what a user's own file of prices puts in its place. Light."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from danlu.core.errors import UserError, first_line

CATALOGUE = Path(__file__).with_name("catalogue.yaml")

#: What a price may be given in.
_CURRENCIES = ("usd", "cny")


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a provider asks for one accelerator and hour. `usd` or `cny` is given, the other None.

    `kind`: on-demand, spot, community or whatever a provider calls it. `date`: the day it was read (ISO). `least`:
    accelerators that are rented at least.
    """

    provider: str
    kind: str
    source: str
    date: str
    confidence: str
    usd: float | None = None
    cny: float | None = None
    least: int = 1

    def in_usd(self, cny_per_usd: float) -> float:
        """The price in USD an hour."""
        if self.usd is not None:
            return self.usd
        assert self.cny is not None
        return self.cny / cny_per_usd


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One row. `memory`: bytes; `bandwidth`: bytes/s; `peak`: dense bfloat16 operations/s; `watts`: power limit, None
    where no source says it. `prices`: none where no source with a day was found. `needs`: what Danlu lacks to run
    there; empty where it runs.
    """

    name: str
    memory: float
    bandwidth: float
    peak: float
    watts: float | None
    facts: str
    confidence: str
    prices: tuple[Price, ...] = ()
    needs: str = ""

    @property
    def shown_price(self) -> Price | None:
        """The price that the plan's first table shows: the first that is no spot price, None where there is none."""
        return next((price for price in self.prices if price.kind != "spot"), None)


def read_catalogue(path: Path = CATALOGUE, own: Path | None = None) -> list[Gpu]:
    """Every accelerator of the catalogue, in its order; those that the file `own` names have its prices alone.

    Raises `UserError` for a file of prices that is none, and for a name that the catalogue has not.
    """
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    known = [_gpu(row) for row in document["gpus"]]
    if own is None:
        return known
    prices = _own_prices(own)
    named = {find(known, name, where=f"the price file {own.name!r}").name: given for name, given in prices.items()}
    return [dataclasses.replace(gpu, prices=named.get(gpu.name, gpu.prices)) for gpu in known]


def find(known: Sequence[Gpu], name: str, *, where: str) -> Gpu:
    """The accelerator that `name` means: its name, or words of it that no other has.

    Raises `UserError` with the nearest names.
    """
    wanted = name.casefold()
    exact = [gpu for gpu in known if gpu.name.casefold() == wanted]
    found = exact or [gpu for gpu in known if f" {wanted} " in f" {gpu.name.casefold()} "]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{name!r} in {where} may mean {' or '.join(gpu.name for gpu in found)}. Give one of these names."
        )
    parts = {part.casefold(): gpu.name for gpu in known for part in (gpu.name, gpu.name.split()[-1])}
    near = [parts[part] for part in difflib.get_close_matches(wanted, parts, n=3, cutoff=0.4)]
    names = list(dict.fromkeys(near)) or [gpu.name for gpu in known]
    raise UserError(
        f"There is no accelerator {name!r} in the catalogue ({where}). The nearest are: {', '.join(names)}."
    )


def _gpu(row: dict[str, Any]) -> Gpu:
    facts = row["facts"]
    return Gpu(
        name=row["name"],
        memory=1e9 * row["memory_gb"],
        bandwidth=1e9 * row["bandwidth"],
        peak=1e12 * row["peak"],
        watts=None if row.get("watts") is None else float(row["watts"]),
        facts=facts["source"],
        confidence=facts["confidence"],
        needs=row.get("needs", ""),
        prices=tuple(_price(price) for price in row.get("prices", ())),
    )


def _price(row: dict[str, Any]) -> Price:
    amounts = {currency: float(row[currency]) for currency in _CURRENCIES if row.get(currency) is not None}
    return Price(
        provider=row["provider"],
        kind=row["kind"],
        source=row["source"],
        date=str(row["date"]),
        confidence=row["confidence"],
        least=int(row.get("least", 1)),
        **amounts,
    )


def _own_prices(path: Path) -> dict[str, tuple[Price, ...]]:
    """The prices of a user's file by accelerator: `NAME: 3.2` in USD an hour, or a mapping with `usd` or `cny`."""
    form = "Expected lines such as 'RTX 4090: {cny: 1.98, provider: AutoDL}' or 'A10: 0.75' (USD an hour)."
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise UserError(f"The price file {str(path)!r} cannot be read: {first_line(error)}. {form}") from error
    if not isinstance(document, dict) or not document:
        raise UserError(f"The price file {str(path)!r} names no accelerator. {form}")
    found: dict[str, tuple[Price, ...]] = {}
    for name, given in document.items():
        row = given if isinstance(given, dict) else {"usd": given}
        amounts = {currency: row[currency] for currency in _CURRENCIES if row.get(currency) is not None}
        unknown = sorted(row.keys() - {*_CURRENCIES, "provider", "kind", "date"})
        fits = len(amounts) == 1 and all(
            isinstance(one, int | float) and not isinstance(one, bool) and one >= 0 for one in amounts.values()
        )
        if unknown or not fits:
            raise UserError(f"The price file {str(path)!r} says of {name!r}: {given!r}. {form}")
        own = {"provider": "your price", "kind": "on-demand", "date": "yours", "source": path.name} | row
        found[str(name)] = (_price(own | {"confidence": "high"}),)
    return found
