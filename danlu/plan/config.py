"""What may be asked of the plan stage, and the caps a run keeps to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from danlu.compress.config import CompressConfig
from danlu.core.config import Config, NotFingerprinted, OptionalResource
from danlu.core.energy import WATTS_PER_CORE
from danlu.core.tasks import TaskName
from danlu.data.augment.config import AugmentConfig, Selection
from danlu.data.balance.config import BalanceConfig
from danlu.data.config import DataConfig
from danlu.data.labels.config import merged
from danlu.data.mix.config import MixConfig
from danlu.evaluate.config import ChampionConfig, EvaluateConfig
from danlu.evaluate.questions.config import QuestionsConfig
from danlu.folds.config import FoldsConfig
from danlu.sources.config import SourceConfig
from danlu.train.config import ModelConfig, ScratchConfig, TrainConfig
from danlu.tune.config import TuneConfig

#: The plan's other modules take the rooms' configurations from here, so that one module alone knows those rooms.
__all__ = [
    "AugmentConfig",
    "BalanceConfig",
    "BudgetConfig",
    "DataConfig",
    "MixConfig",
    "PlanConfig",
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
    kwh: Annotated[float | None, NotFingerprinted()] = Field(
        None,
        gt=0.0,
        description="Most energy of one `danlu run`, in kWh: by the machine's counters where they can be read, else "
        "estimated from CPU time.",
    )
    usd: Annotated[float | None, NotFingerprinted()] = Field(
        None, gt=0.0, description="Most money of one `danlu run`, in USD: its energy at electricity_price."
    )
    threads: int | Literal["auto"] = Field("auto", description="CPU threads to use; auto takes every core.")
    electricity_price: float = Field(0.15, ge=0.0, description="Price of one kWh, in USD, for this machine.")
    carbon_intensity: float = Field(
        0.48, ge=0.0, description="CO2 of one kWh, in kg; the default is the world's mean (Ember, 2023: 480 g)."
    )
    watts_per_core: float = Field(
        WATTS_PER_CORE,
        gt=0.0,
        description="Power of one busy core, in W, for the plan and where no counter can be read (doi:10.1002/"
        "advs.202100707: 12 W where the CPU is not known).",
    )

    @model_validator(mode="after")
    def _money_has_a_price(self) -> BudgetConfig:
        if self.usd is not None and self.electricity_price == 0.0:
            raise ValueError("usd caps the money for electricity, but electricity_price is 0; give the price of a kWh")
        return self

    def energy_cap(self) -> tuple[float | None, str]:
        """The lower one of the caps on energy, in kWh, and the field it comes from; None where there is none."""
        caps = {"budget.kwh": self.kwh}
        if self.usd is not None:
            caps["budget.usd"] = self.usd / self.electricity_price
        given = {name: cap for name, cap in caps.items() if cap is not None}
        name = min(given, key=lambda each: given[each], default="budget.kwh")
        return given.get(name), name


class PlanConfig(Config):
    """How a run is planned."""

    trace: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether memory and work come from a trace of the real training step, on a model without weights, "
        "rather than from a formula; auto traces what needs 2 GB or five minutes by the formula.",
    )
    trace_seconds: float = Field(
        120.0, gt=0.0, description="Longest time that a trace may take, in seconds; the formula stands in for it then."
    )
    options: bool = Field(
        False,
        description="Trace further methods and sizes too, and compare all accelerators of the catalogue, 1 to 8 of "
        "them; up to two minutes. danlu plan asks for it with --options.",
    )
    prices: OptionalResource = Field(
        None,
        description="A YAML file with your own prices of an accelerator and hour, such as 'RTX 4090: {cny: 1.98}' or "
        "'A10: 0.75' (USD), in place of the catalogue's; empty takes those.",
    )
    cny_per_usd: float = Field(
        7.1, gt=0.0, description="CNY for one USD, to compare prices; an assumption, give the rate of the day."
    )


class PlanStage(Config):
    """The recipe's sections that the plan stage is given."""

    task: TaskName = Field(description="What the model is for.")
    plan: PlanConfig = Field(PlanConfig(), description="The recipe's plan section.")
    budget: BudgetConfig = Field(description="The recipe's budget section.")
    data: DataConfig = Field(description="The recipe's data section.")
    model: ModelConfig = Field(description="The recipe's model section.")
    train: TrainConfig = Field(description="The recipe's train section.")
    tune: TuneConfig | None = Field(description="The recipe's tune section.")
    folds: FoldsConfig | None = Field(description="The recipe's folds section.")
    compress: CompressConfig = Field(description="The recipe's compress section.")
    evaluate: EvaluateConfig = Field(description="The recipe's evaluate section.")
    champion: ChampionConfig | None = Field(None, description="The recipe's champion section.")
    questions: QuestionsConfig | None = Field(None, description="The recipe's questions section.")
