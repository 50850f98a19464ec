"""How much of a model is trained, as sections of a recipe. One class a method; `table.py` says how each is done."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from danlu.core.config import Config


class FullMethod(Config):
    """Every weight is trained."""

    needs_base: ClassVar[bool] = False

    kind: Literal["full"] = Field("full", description="Train every weight.")


class FreezeMethod(Config):
    """The part next to the text stays as it is, the part next to the answer is trained."""

    needs_base: ClassVar[bool] = True

    kind: Literal["freeze"] = Field("freeze", description="Train only the upper part of the model.")
    layers: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        "all",
        description="The embeddings and this many layers above them stay as they are; all trains only what stands "
        "behind the last layer (pooler and classifier).",
    )


class _LowRank(Config):
    """What LoRA and its kin have in common. Their learning rate is about ten times that of full training."""

    needs_base: ClassVar[bool] = True

    rank: int = Field(16, ge=1, le=1024, description="Rank of what is added to each weight matrix.")
    alpha: int = Field(32, ge=1, description="What is added is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout of the input of what is added, 0 to below 1.")
    targets: Literal["auto"] | list[str] = Field(
        "auto",
        description="Linear layers that are added to, by the ends of their names (query, v_proj); auto takes all "
        "linear layers of the blocks.",
    )

    @field_validator("targets")
    @classmethod
    def _some_target(cls, targets: str | list[str]) -> str | list[str]:
        if not targets or not all(targets):
            raise ValueError("targets names no layer; name some, or write auto")
        return targets


class LoraMethod(_LowRank):
    """Low-rank additions to frozen weights (Hu et al. 2021, arXiv:2106.09685)."""

    kind: Literal["lora"] = Field("lora", description="Train low-rank additions to the weights.")


class DoraMethod(_LowRank):
    """LoRA for the direction of each weight column, and its length apart (Liu et al. 2024, arXiv:2402.09353)."""

    kind: Literal["dora"] = Field("dora", description="LoRA, with the length of each output's weights trained apart.")


class QloraMethod(_LowRank):
    """LoRA over a base of 4 bits a weight (Dettmers et al. 2023, arXiv:2305.14314). Needs a CUDA GPU."""

    kind: Literal["qlora"] = Field("qlora", description="LoRA over weights kept in 4 bits; needs a CUDA GPU.")


MethodConfig = Annotated[FullMethod | FreezeMethod | LoraMethod | DoraMethod | QloraMethod, Field(discriminator="kind")]


def check_start(method: MethodConfig, *, has_base: bool) -> None:
    """Raise `ValueError` for a method that keeps weights as they are where nobody has trained them yet."""
    if method.needs_base and not has_base:
        raise ValueError(
            f"train.method.kind {method.kind} keeps most weights as they are, but model.scratch starts from weights "
            "that have learned nothing. Give model.base, or set train.method to {kind: full}"
        )
