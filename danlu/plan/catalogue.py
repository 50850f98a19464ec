"""The dated list of GPUs in `catalogue.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One row. `memory`: bytes; `bandwidth`: bytes/s; `peak`: dense bfloat16 operations/s; `watts`: power limit;
    `price`: USD an hour on demand. `date`: when the price was read (ISO).
    """

    name: str
    memory: float
    bandwidth: float
    peak: float
    watts: float
    price: float
    seller: str
    source: str
    facts: str
    date: str
    confidence: str


def read_catalogue(path: Path = CATALOGUE) -> list[Gpu]:
    """Every GPU of the catalogue, in its order."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return [_gpu(row) for row in document["gpus"]]


def _gpu(row: dict[str, Any]) -> Gpu:
    price, facts = row["price"], row["facts"]
    return Gpu(
        name=row["name"],
        memory=1e9 * row["memory_gb"],
        bandwidth=1e9 * row["bandwidth"],
        peak=1e12 * row["peak"],
        watts=float(row["watts"]),
        price=float(price["usd_per_hour"]),
        seller=price["seller"],
        source=price["source"],
        facts=facts["source"],
        date=str(price["date"]),
        confidence=price["confidence"],
    )
