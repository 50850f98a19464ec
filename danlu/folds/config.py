"""What may be asked of the folds stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from danlu.compress.config import CalibrateConfig
from danlu.core.config import Config
from danlu.core.tasks import TaskName
from danlu.evaluate.config import EvaluateConfig
from danlu.train.config import ModelConfig, TrainConfig


class FoldsConfig(Config):
    """Cross-validation over the folds that `data.split.folds` deals train and validation out into."""

    runs: int | None = Field(
        None,
        ge=2,
        description="How many of the folds are held out in turn, one training each; empty is every one.",
    )
    release: Literal["single", "ensemble"] = Field(
        "single",
        description="What the road goes on with: single, a model that is trained on all training rows; ensemble, the "
        "models of the folds, whose answers are averaged (classify, tag and regress). It is as large and as slow as "
        "all of them together, and there is no further training.",
    )

    def members(self, dealt: int | None) -> int:
        """How many models answer together, of so many folds that were `dealt`: those of the folds, or one."""
        return 1 if self.release == "single" else self.runs or dealt or 1


class FoldsStage(Config):
    """The recipe's sections that the folds stage is given."""

    task: TaskName = Field(description="What the model is for.")
    model: ModelConfig = Field(description="The recipe's model section.")
    train: TrainConfig = Field(description="The recipe's train section.")
    compress: CalibrateConfig = Field(description="What of the recipe's compress section decides answers.")
    evaluate: EvaluateConfig = Field(description="The recipe's evaluate section.")
    folds: FoldsConfig = Field(description="The recipe's folds section.")


#: Tasks whose answers can be averaged.
AVERAGED: tuple[TaskName, ...] = ("classify", "tag", "regress")


def check_folds(folds: FoldsConfig, dealt: int | None, task: TaskName) -> None:
    """Refuse folds that the data stage does not make, and answers that cannot be averaged. Raises `ValueError`."""
    if folds.release == "ensemble" and task not in AVERAGED:
        raise ValueError(
            f"folds.release is ensemble, which averages the answers of {', '.join(AVERAGED)}; the task is {task}. "
            "Leave it out"
        )
    if dealt is None:
        raise ValueError("folds needs data.split.folds, such as 5: the data stage deals the rows out into them")
    if folds.runs is not None and folds.runs > dealt:
        raise ValueError(f"folds.runs is {folds.runs}, but data.split.folds is {dealt}: give at most that")
