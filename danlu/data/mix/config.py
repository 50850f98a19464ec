"""How much each source counts in training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from danlu.core.config import Config


class MixConfig(Config):
    """What share of the training rows each source has. Validation and test are left as they are.

    Give weights, or a temperature. Sources that are to have more than they bring are repeated, the others are sampled;
    the corpus becomes as large as the limit on repeats allows, and no larger than it takes to use every row.
    """

    weights: list[float] | None = Field(
        None,
        min_length=1,
        description="Share of each source, in the order of data.sources; only their proportions count: [3, 1] is three "
        "quarters and one quarter. 0 leaves a source out of training.",
    )
    temperature: float | None = Field(
        None,
        ge=1.0,
        description="Shares in proportion to size ** (1 / temperature): 1 leaves sources as large as they are, 3.33 is "
        "what mT5 took for its languages (arXiv:2010.11934), a large number makes all equal.",
    )
    unit: Literal["rows", "characters"] = Field("rows", description="What shares are counted in.")
    most_repeats: int = Field(
        4,
        ge=1,
        le=100,
        description="Most times that a row is used. Up to 4 passes over the same text are about as good as new text "
        "(Muennighoff et al. 2023, arXiv:2305.16264).",
    )
    keep_all: bool = Field(
        False,
        description="Leave no row out: sources are only repeated, and where most_repeats is too few for the shares "
        "that are asked for, the card says what was reached.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> MixConfig:
        if (self.weights is None) == (self.temperature is None):
            came = "neither" if self.weights is None else "both"
            raise ValueError(f"mix needs either weights (one for each source) or a temperature; {came} came")
        if self.weights is not None and (min(self.weights) < 0 or not any(self.weights)):
            raise ValueError(f"mix.weights are {self.weights}; none may be below 0, and not all may be 0")
        if self.keep_all and self.weights is not None and min(self.weights) == 0:
            raise ValueError("mix.weights has a 0, which leaves a source out, but mix.keep_all leaves no row out")
        return self
