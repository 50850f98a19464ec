"""What the rows of a corpus say of each target of several: its labels, how many rows have it, how its numbers lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from danlu.core.errors import DataError
from danlu.core.heads import targets_in
from danlu.data.config import CorpusConfig
from danlu.sources.targets import heads_in, joined, task_of

#: A target's value as the task of its own keeps it (`danlu.sources.targets`).
_AS_KEPT: dict[str, Callable[[Any], str]] = {"classify": str, "tag": joined, "regress": repr}

Check = Callable[[Mapping[str, int], CorpusConfig], list[str]]


def by_target(counts: Mapping[str, int]) -> dict[str, Counter[str]]:
    """Of answers of which so many rows have each: the same for each target, its values as its own task keeps them."""
    found: dict[str, Counter[str]] = {}
    for kept, count in counts.items():
        for name, value in targets_in([kept])[0].items():
            found.setdefault(name, Counter())[_AS_KEPT[task_of(value)](value)] += count
    return found


def check_targets(counts: Mapping[str, int], config: CorpusConfig, checks: Mapping[str, Check]) -> list[str]:
    """Warnings about each target by the check of its own task.

    Raises `DataError` where a target cannot be learned, or where no usable row has it.
    """
    warnings = []
    present = {kept: count for kept, count in counts.items() if count}
    found = by_target(present)
    for head in heads_in(list(counts)):
        if head.name not in found:
            raise DataError(
                f"No usable row has the target {head.name!r}: equal texts have different values of it, or their rows "
                "were dropped for another reason. See rejected/, or leave the target out."
            )
        try:
            told = checks[head.task](found[head.name], config.model_copy(update={"label": head.name}))
        except DataError as error:
            raise DataError(f"The target {head.name!r}: {error}") from None
        warnings += [f"Target {head.name}: {warning}" for warning in told]
    return warnings


def count_targets(counts: Mapping[str, int], spread: Callable[[Sequence[float]], dict[str, float]]) -> dict[str, Any]:
    """How many rows have each target, and of numbers their spread."""
    found: dict[str, Any] = {}
    values = by_target({kept: count for kept, count in counts.items() if count})
    for head in heads_in([kept for kept, count in counts.items() if count]):
        of_head = values[head.name]
        found[head.name] = {"rows": of_head.total()}
        if head.task == "regress":
            found[head.name]["values"] = spread([float(value) for value in of_head.elements()])
    return found
