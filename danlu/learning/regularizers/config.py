"""What keeps a model from learning its examples by heart, as a section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.core.config import Config


class FGMConfig(Config):
    """One step against the model on its input embeddings (Miyato et al. 2016, arXiv:1605.07725)."""

    kind: Literal["fgm"] = Field("fgm", description="Fast gradient: one step of length epsilon; twice the time a step.")
    epsilon: float = Field(
        1.0, gt=0.0, description="Length (L2) of the disturbance of a whole row of embeddings, in their own unit."
    )


class PGDConfig(Config):
    """Several smaller steps, kept inside a ball (Madry et al. 2017, arXiv:1706.06083)."""

    kind: Literal["pgd"] = Field("pgd", description="Projected gradient: some steps; 1 + steps times the time a step.")
    epsilon: float = Field(
        1.0, gt=0.0, description="Largest length (L2) of the disturbance of a row of embeddings, in their own unit."
    )
    steps: int = Field(3, ge=1, le=20, description="How many steps the disturbance is searched with.")
    step_size: float = Field(0.4, gt=0.0, description="Length (L2) of one such step, in the embeddings' unit.")


class RegularizeConfig(Config):
    """What keeps a model from learning its examples by heart; weight decay is the optimizer's."""

    l1: float = Field(
        0.0,
        ge=0.0,
        description="Penalty on the sum of the sizes of all weights but biases and norms, added to the loss; 1e-6 is a "
        "start. The reported loss is without it.",
    )
    dropout: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Share of values that are dropped in training, in place of what the model's own settings say.",
    )
    adversarial: Annotated[FGMConfig | PGDConfig, Field(discriminator="kind")] | None = Field(
        None,
        description="Train also on inputs that are disturbed against the model; counts as much as the plain loss.",
    )
