"""What may be asked of the train stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from danlu.core.bases import OptionalModelResource, with_licence
from danlu.core.config import Config, NotFingerprinted
from danlu.core.tasks import TaskName
from danlu.learning.adapters.config import FullMethod, MethodConfig, check_start
from danlu.learning.classic.config import ClassicConfig
from danlu.learning.objectives.config import ObjectiveConfig, aim_of, check_pieces, check_processes
from danlu.learning.optimizers.config import AdamWOptimizer, CosineSchedule, OptimizerConfig, ScheduleConfig
from danlu.learning.regularizers.config import RegularizeConfig


class ScratchConfig(Config):
    """A small model trained from nothing, with a tokenizer of its own."""

    layers: int = Field(4, ge=1, le=96, description="Transformer layers.")
    width: int = Field(256, ge=16, description="Hidden size, in units; a multiple of heads.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    vocabulary: int = Field(8_000, ge=300, description="Tokens the tokenizer learns (byte-level BPE).")

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchConfig:
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}, which is not a multiple of heads, which is {self.heads}")
        return self


class ModelConfig(Config):
    """The model to start from: a pretrained base, a small one from scratch, or one without a neural network."""

    base: OptionalModelResource = Field(
        None,
        description="Pretrained model: a short name (danlu recipe bases lists them), a folder, package://NAME/path, "
        "hf://OWNER/NAME[@REVISION], modelscope://OWNER/NAME[@REVISION]; a short name after hf:// or modelscope:// "
        "takes it from there. run://NAME is the model that the last run of NAME in this workspace trained.",
    )
    scratch: ScratchConfig | None = Field(None, description="Train a small model from nothing instead of a base.")
    classic: ClassicConfig | None = Field(
        None,
        description="A model without training of a neural network instead: logistic, ridge, gradient_boosting or "
        "random_forest, over n-grams or over the vectors of a frozen encoder. Fits in seconds to minutes; of train it "
        "heeds seed and class_weights alone.",
    )
    max_length: int | Literal["auto"] = Field(
        "auto", description="Longest text, in tokens; longer ones are cut. auto covers 99 % of the training texts."
    )
    licence: str | None = Field(
        None,
        description="Licence of the base model, as an SPDX identifier; empty takes that of a base known by name.",
    )

    @model_validator(mode="before")
    @classmethod
    def _licence_of_a_known_base(cls, values: Any) -> Any:
        return with_licence(values)

    @model_validator(mode="after")
    def _one_start(self) -> ModelConfig:
        if [self.base, self.scratch, self.classic].count(None) != 2:
            raise ValueError(
                "give one of base (a pretrained model), scratch (a small model from nothing) and classic (one without "
                "a neural network)"
            )
        return self


class BatchingConfig(Config):
    """How the examples of a step are put together."""

    tokens: int | None = Field(
        None,
        ge=16,
        description="A step's size in tokens, in place of train.batch_size: as many samples as have no more tokens "
        "than that. Padding counts as tokens, unless the samples are packed.",
    )
    packing: bool | Literal["auto"] = Field(
        "auto",
        description="Put the samples of a step end to end instead of side by side with padding; no sample sees "
        "another. For language models alone. auto packs where that was measured to be quicker.",
    )
    grow: bool = Field(
        False,
        description="Double the batch, after a validation, as long as the gradient's noise scale is at least twice the "
        "batch (arXiv:1812.06162). The samples stay the same; the learning rate does too.",
    )


class GuardConfig(Config):
    """What watches a run and sets it right."""

    clip: float = Field(1.0, gt=0.0, description="Largest norm of the gradient; larger ones are scaled down.")
    spike: float = Field(
        7.0,
        ge=0.0,
        description="Robust standard deviations above the median of the last losses from which on three losses in a "
        "row are a spike; 0 looks for none.",
    )
    max_skips: int = Field(
        3,
        ge=0,
        description="How often a run may go back to its last checkpoint and leave out the batch that led to a spike or "
        "to a loss that is no number; once more ends it, with the best model until then. 0 ends it at the first.",
    )


class TrainConfig(Config):
    """How to train."""

    objective: ObjectiveConfig | None = Field(
        None,
        description="What training aims at; empty is classes for classify, labels for tag, value for regress, causal "
        "for generate, contrastive for embed and masked for fill.",
    )
    method: MethodConfig = Field(
        FullMethod(), description="How much of the model is trained: full, freeze, lora, dora or qlora."
    )
    epochs: float = Field(3.0, gt=0.0, description="Passes over the training rows.")
    max_samples: int | None = Field(
        None,
        ge=1,
        description="Stop after this many training samples, counted over all passes; empty means no such limit. "
        "Fewer than one pass are chosen at random by the seed.",
    )
    batch_size: int = Field(32, ge=1, description="Samples per optimizer step.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Samples that are in memory at once; the gradients of a step's pieces add up to that of the whole "
        "batch. Empty takes the batch in one piece.",
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes of this machine that train together (data parallel): each has the whole model, takes "
        "its part of every batch, and they add up their gradients. One for each GPU; on a CPU they share the threads, "
        "which pays where one process cannot keep many cores busy.",
    )
    checkpointing: bool = Field(
        False,
        description="Keep only the input of each layer for the backward pass and compute the rest anew: less memory, "
        "about a third more time.",
    )
    compile: bool = Field(
        False,
        description="Compile the model with torch.compile: minutes of compiling before steps that may be quicker. "
        "Needs a C++ compiler (on a CPU) or Triton (on a GPU). A resumed run ends within rounding, not bit-equal.",
    )
    batching: BatchingConfig = Field(BatchingConfig(), description="How the examples of a step are put together.")
    learning_rate: float = Field(
        5e-5,
        gt=0.0,
        description="Peak learning rate, after warm-up. lora, dora and qlora want about ten times that of full.",
    )
    optimizer: OptimizerConfig = Field(AdamWOptimizer(), description="How the weights follow the gradient.")
    schedule: ScheduleConfig = Field(CosineSchedule(), description="How the learning rate goes.")
    regularize: RegularizeConfig = Field(RegularizeConfig(), description="What keeps from learning by heart.")
    guard: GuardConfig = Field(GuardConfig(), description="What watches a run and sets it right.")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced weighs each class by the inverse of its frequency in the training rows."
    )
    early_stopping: int = Field(
        3,
        ge=0,
        description="Stop after this many validations without a better score, counted once a score has beaten that of "
        "the first validation; 0 never stops early.",
    )
    validations_per_epoch: int = Field(
        2, ge=1, description="How often the validation rows are scored in a pass; they always are after the last step."
    )
    validation_rows: int | None = Field(
        2_000, ge=20, description="Score at most this many validation rows, chosen by the seed; empty means all."
    )
    checkpoint_minutes: Annotated[float, NotFingerprinted()] = Field(
        2.0, gt=0.0, description="A crash loses at most this many minutes of training, plus one step."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="auto takes bfloat16 where the hardware has it. float16, with a scaled loss, is for GPUs without "
        "bfloat16.",
    )
    seed: int = Field(1, ge=0, description="Seed of initial weights, order and dropout.")


def check_training(task: TaskName, model: ModelConfig, train: TrainConfig) -> None:
    """Raise `ValueError` for settings that cannot be had together, whatever the data and the machine."""
    aim = aim_of(task, train.objective)
    check_pieces(aim, micro_batch=train.micro_batch, grow=train.batching.grow)
    check_processes(aim, train.processes, grow=train.batching.grow)
    check_start(train.method, has_base=model.scratch is None)


class TrainStage(Config):
    """The recipe's sections that the train stage is given."""

    task: TaskName = Field(description="What the model is for.")
    model: ModelConfig = Field(description="The recipe's model section.")
    train: TrainConfig = Field(description="The recipe's train section.")
