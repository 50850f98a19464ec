"""What may be asked of the targets of a multitask model."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from danlu.core.config import Config
from danlu.core.heads import HeadTask

#: Names that mean something else in an answer, in a gate, or in a row of predictions.
_TAKEN = frozenset(
    {"model", "version", "predictions", "text", "texts", "pair", "columns", "id", "quality", "baseline", "champion"}
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")


class TargetConfig(Config):
    """One of several answers to a text."""

    task: HeadTask = Field(
        description="What kind of answer: classify (one label), tag (several labels) or regress (a number)."
    )
    column: str | None = Field(
        None,
        min_length=1,
        description="Name of its column; empty is the target's own name. A source may lack it, and a cell may be "
        "empty: such a row teaches and tests the other targets alone.",
    )
    separator: str | None = Field(
        "|",
        min_length=1,
        description="What stands between the labels of one cell, for tag; a cell may also hold a list. Empty takes a "
        "cell as one label.",
    )
    empty: Literal["unknown", "none"] = Field(
        "unknown",
        description="What an empty cell says, for tag: unknown is nothing; none is an answer, that none of the labels "
        "fits.",
    )


def _well_named(targets: dict[str, TargetConfig]) -> dict[str, TargetConfig]:
    if len(targets) == 1:
        raise ValueError("one target came; give two or more, or for one alone the task that it has and data.label")
    for name, target in targets.items():
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"the target {name!r} cannot be asked for in a gate: use Latin letters, digits and underscore, "
                "starting with a letter, at most 32 characters; its column may be named anything (column)"
            )
        if name in _TAKEN:
            raise ValueError(f"a target cannot be called {name!r}, which means something else; name its column instead")
        if target.empty == "none" and target.task != "tag":
            raise ValueError(f"targets.{name}.empty: none is for tag; the target's task is {target.task}")
    return targets


Targets = Annotated[dict[str, TargetConfig], AfterValidator(_well_named)]
