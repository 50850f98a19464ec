"""What may be asked of the plan stage, and the caps a run keeps to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.compress.config import CompressConfig
from danlu.core.config import Config, NotFingerprinted
from danlu.core.tasks import TaskName
from danlu.data.augment.config import AugmentConfig, Selection
from danlu.data.balance.config import BalanceConfig
from danlu.data.config import DataConfig, SourceConfig
from danlu.data.labels.config import merged
from danlu.data.mix.config import MixConfig
from danlu.evaluate.config import EvaluateConfig
from danlu.train.config import ModelConfig, ScratchConfig, TrainConfig
from danlu.tune.config import TuneConfig

#: The plan's other modules take the rooms' configurations from here, so that one module alone knows those rooms.
__all__ = [
    "AugmentConfig",
    "BalanceConfig",
    "BudgetConfig",
    "DataConfig",
    "MixConfig",
    "PlanStage",
    "ScratchConfig",
    "Selection",
    "SourceConfig",
    "TrainConfig",
    "merged",
]


class BudgetConfig(Config):
    """Caps of one `danlu run`; a run that reaches one saves its work, stops with exit code 4, and can go on."""

    hours: Annotated[float | None, NotFingerprinted()] = Field(
        None, gt=0.0, description="Longest wall time of one `danlu run`, in hours."
    )
    memory_gib: Annotated[float | None, NotFingerprinted()] = Field(
        None, gt=0.0, description="Most resident memory of a stage, in GiB."
    )
    threads: int | Literal["auto"] = Field("auto", description="CPU threads to use; auto takes every core.")
    electricity_price: float = Field(0.15, ge=0.0, description="Price of one kWh, in USD, for this machine.")
    carbon_intensity: float = Field(
        0.48, ge=0.0, description="CO2 of one kWh, in kg; the default is the world's mean (Ember, 2023: 480 g)."
    )


class PlanStage(Config):
    """The recipe's sections that the plan stage is given."""

    task: TaskName = Field(description="What the model is for.")
    budget: BudgetConfig = Field(description="The recipe's budget section.")
    data: DataConfig = Field(description="The recipe's data section.")
    model: ModelConfig = Field(description="The recipe's model section.")
    train: TrainConfig = Field(description="The recipe's train section.")
    tune: TuneConfig | None = Field(description="The recipe's tune section.")
    compress: CompressConfig = Field(description="The recipe's compress section.")
    evaluate: EvaluateConfig = Field(description="The recipe's evaluate section.")
