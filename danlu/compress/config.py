"""What may be asked of the compress stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from danlu.core.config import Config
from danlu.core.tasks import TaskName

FormName = Literal["torch", "onnx", "onnx-int8", "classic"]


def _default_forms() -> list[FormName]:
    return ["torch", "onnx"]


class CalibrateConfig(Config):
    """What of it decides the answers of a model, whatever its form."""

    calibrate: bool = Field(
        False,
        description="Fit a temperature on the validation rows, by which a classifier's logits are divided in every "
        "form, so that a stated probability is as often right as it says. Labels stay what they are.",
    )


class CompressConfig(CalibrateConfig):
    """Which forms of the model to make, and which one is served."""

    forms: list[FormName] = Field(
        default_factory=_default_forms,
        min_length=1,
        description="Forms to export: torch (float32 safetensors), onnx (float32), onnx-int8 (dynamic, per channel). A "
        "model.classic has the form classic (features, and what was learned over them) alone, and that is its default.",
    )
    ship: FormName = Field("onnx", description="The form that is evaluated for release and served; one of forms.")
    parity_rows: int = Field(
        1_000, ge=1, description="Held-out texts (validation part) on which every form is compared with the checkpoint."
    )

    @model_validator(mode="after")
    def _ship_is_made(self) -> CompressConfig:
        if self.ship not in self.forms:
            raise ValueError(f"ship is {self.ship!r}, which is not among forms {self.forms}")
        return self


class CompressStage(Config):
    """The recipe's sections that the compress stage is given."""

    task: TaskName = Field(description="What the model is for.")
    compress: CompressConfig = Field(description="The recipe's compress section.")
