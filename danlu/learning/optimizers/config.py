"""How weights follow gradients, and how the rate goes, as sections of a recipe. `table.py` says how each is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.core.config import Config


class AdamWOptimizer(Config):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), in one fused pass."""

    kind: Literal["adamw"] = Field("adamw", description="Adam with decoupled weight decay; right for most.")
    weight_decay: float = Field(
        0.01,
        ge=0.0,
        description="Share of a weight, times the rate, that each step takes off; not of biases and norms.",
    )
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="Share of the mean gradient that a step keeps.")
    beta2: float = Field(0.999, ge=0.0, lt=1.0, description="Share of the mean squared gradient that a step keeps.")
    epsilon: float = Field(1e-8, gt=0.0, description="Added to the divisor, in units of a gradient.")


class AdamOptimizer(Config):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980); its weight decay is part of the gradient, as in the paper's time."""

    kind: Literal["adam"] = Field("adam", description="Adam; weight decay is added to the gradient (L2).")
    weight_decay: float = Field(0.0, ge=0.0, description="Share of a weight that is added to its gradient.")
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="Share of the mean gradient that a step keeps.")
    beta2: float = Field(0.999, ge=0.0, lt=1.0, description="Share of the mean squared gradient that a step keeps.")
    epsilon: float = Field(1e-8, gt=0.0, description="Added to the divisor, in units of a gradient.")


class RMSPropOptimizer(Config):
    """RMSProp (Hinton 2012, lecture 6e of Neural Networks for Machine Learning)."""

    kind: Literal["rmsprop"] = Field("rmsprop", description="Divides a gradient by its recent size.")
    weight_decay: float = Field(0.0, ge=0.0, description="Share of a weight that is added to its gradient.")
    alpha: float = Field(0.99, ge=0.0, lt=1.0, description="Share of the mean squared gradient that a step keeps.")
    momentum: float = Field(0.0, ge=0.0, lt=1.0, description="Share of the last move that a step repeats.")
    epsilon: float = Field(1e-8, gt=0.0, description="Added to the divisor, in units of a gradient.")


class SGDOptimizer(Config):
    """Stochastic gradient descent with momentum; its rate is much larger than Adam's (0.01 to 0.1)."""

    kind: Literal["sgd"] = Field("sgd", description="Plain descent with momentum; needs a larger rate than Adam.")
    weight_decay: float = Field(0.0, ge=0.0, description="Share of a weight that is added to its gradient.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Share of the last move that a step repeats.")
    nesterov: bool = Field(False, description="Take the gradient's part after the momentum's; needs a momentum.")


class AdafactorOptimizer(Config):
    """Adafactor (Shazeer and Stern 2018, arXiv:1804.04235), torch's own: rows and columns stand for whole matrices."""

    kind: Literal["adafactor"] = Field(
        "adafactor",
        description="Holds almost no state: 0 instead of 8 bytes a weight of a matrix. Its rate is relative to the "
        "weights' size (0.001 to 0.01).",
    )
    weight_decay: float = Field(
        0.0, ge=0.0, description="Share of a weight, times the rate, that each step takes off; not of biases and norms."
    )
    beta2_decay: float = Field(
        -0.8, le=0.0, description="Power of the step by which the mean squared gradient forgets."
    )
    clip: float = Field(1.0, ge=1.0, description="Largest root mean square of a weight's move, before the rate.")


class AdamW8bitOptimizer(Config):
    """AdamW whose state takes one byte a number (Dettmers et al. 2022, arXiv:2110.02861); needs bitsandbytes."""

    kind: Literal["adamw8bit"] = Field(
        "adamw8bit", description="AdamW with 2 instead of 8 bytes of state a weight; needs bitsandbytes and a GPU."
    )
    weight_decay: float = Field(
        0.01,
        ge=0.0,
        description="Share of a weight, times the rate, that each step takes off; not of biases and norms.",
    )
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="Share of the mean gradient that a step keeps.")
    beta2: float = Field(0.999, ge=0.0, lt=1.0, description="Share of the mean squared gradient that a step keeps.")
    epsilon: float = Field(1e-8, gt=0.0, description="Added to the divisor, in units of a gradient.")


OptimizerConfig = Annotated[
    AdamWOptimizer | AdamOptimizer | RMSPropOptimizer | SGDOptimizer | AdafactorOptimizer | AdamW8bitOptimizer,
    Field(discriminator="kind"),
]


class CosineSchedule(Config):
    """Half a cosine down to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    kind: Literal["cosine"] = Field("cosine", description="Falls as half a cosine to 0.")
    warmup: float = Field(0.06, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises to its peak.")


class LinearSchedule(Config):
    """A line down to 0."""

    kind: Literal["linear"] = Field("linear", description="Falls as a line to 0.")
    warmup: float = Field(0.06, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises to its peak.")


class ConstantSchedule(Config):
    """The peak to the end."""

    kind: Literal["constant"] = Field("constant", description="Stays at its peak.")
    warmup: float = Field(0.06, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises to its peak.")


class PlateauSchedule(Config):
    """Reduces the rate when the validation score stops getting better."""

    kind: Literal["plateau"] = Field(
        "plateau", description="Is reduced when the validation score stops getting better."
    )
    warmup: float = Field(0.06, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises to its peak.")
    factor: float = Field(0.5, gt=0.0, lt=1.0, description="What the rate is multiplied by at each reduction.")
    patience: int = Field(
        2,
        ge=1,
        description="Reduce after this many validations without a better score; fewer than train.early_stopping, "
        "or training stops first.",
    )


ScheduleConfig = Annotated[
    CosineSchedule | LinearSchedule | ConstantSchedule | PlateauSchedule, Field(discriminator="kind")
]
