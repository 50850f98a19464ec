"""How much is measured at most. Apart, so that the plan, which counts by it, need not load what measures."""

from __future__ import annotations

#: Rows that a naive split is tried on; more would take longer than the answer is worth.
MOST_NAIVE_ROWS = 20_000
