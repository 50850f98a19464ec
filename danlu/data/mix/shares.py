"""From the sizes of sources to how often each of their training rows is used.

Shapes: S sources, N training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError
from danlu.data.mix.config import MixConfig

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`times` [S]: how often the rows of each source are used on average; below 1 some are left out.

    `wanted` [S] are the shares that were asked for, `reached` [S] those that come out.
    """

    times: Floats
    wanted: Floats
    reached: Floats

    def told(self, names: Sequence[str], sizes: Integers) -> list[dict[str, Any]]:
        """For the card, a row for each source."""
        return [
            {
                "name": name,
                "before": int(size),
                "times": round(float(times), 4),
                "wanted": round(float(wanted), 6),
                "reached": round(float(reached), 6),
            }
            for name, size, times, wanted, reached in zip(
                names, sizes, self.times, self.wanted, self.reached, strict=True
            )
        ]


def plan_mix(config: MixConfig, sizes: Integers) -> Plan:
    """How sources of these `sizes` [S], in the unit of the configuration, come to their shares.

    A source that brought nothing to training has no share. Raises `DataError` when nothing would be left.
    """
    size = sizes.astype(np.float64)
    if config.temperature is not None:
        shares = np.where(size > 0, size ** (1.0 / config.temperature), 0.0)
    else:
        if len(config.weights or []) != len(sizes):
            raise DataError(f"data.mix.weights has {len(config.weights or [])} numbers for {len(sizes)} sources.")
        shares = np.where(size > 0, np.array(config.weights, dtype=np.float64), 0.0)
    if not shares.sum():
        raise DataError("data.mix leaves nothing to train on: the sources with a weight have no training row.")
    shares = shares / shares.sum()
    there = shares > 0
    # Total at which every row of every source is used, and the largest that the limit on repeats allows.
    whole = float((size[there] / shares[there]).max())
    most = float((config.most_repeats * size[there] / shares[there]).min())
    total = whole if config.keep_all else min(whole, most)
    times = np.zeros(len(sizes))
    times[there] = np.minimum(shares[there] * total / size[there], config.most_repeats)
    if config.keep_all:
        times[there] = np.maximum(times[there], 1.0)
    used = times * size
    return Plan(times=times, wanted=shares, reached=used / used.sum())


def uses(plan: Plan, source: Integers, units: Integers, hashes: Hashes) -> Integers:
    """How often each training row is used, [N]; 0 leaves it out.

    `source` [N] numbers the rows' sources, `units` [N] is what each counts. Which rows are used once more than others
    of their source is decided by `hashes` [N]: when rows are added, few of the others change.
    """
    result = np.zeros(len(source), dtype=np.int64)
    for number, times in enumerate(plan.times.tolist()):
        rows = np.flatnonzero(source == number)
        order = rows[np.argsort(hashes[rows], kind="stable")]
        base = int(times)
        before = np.concatenate([[0], np.cumsum(units[order])[:-1]]) if len(order) else np.zeros(0)
        extra = before < (times - base) * float(units[rows].sum()) - 1e-9
        result[order] = base + extra
    return result
