"""Models without a neural network, as sections of a recipe: n-grams of the texts, and what is learned over them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.core.config import Config


class LogisticConfig(Config):
    """TF-IDF of n-grams and logistic regression: the baseline itself, as a model that can be released."""

    kind: Literal["logistic"] = Field("logistic", description="TF-IDF and logistic regression.")
    features: int | None = Field(
        None, ge=1, description="Most n-grams of each kind, the most frequent ones; empty is all."
    )
    penalty: float = Field(4.0, gt=0.0, description="Inverse strength of the L2 penalty; smaller holds back more.")


class GradientBoostingConfig(Config):
    """Trees that each mend what those before them got wrong (LightGBM; Ke et al. 2017)."""

    kind: Literal["gradient_boosting"] = Field("gradient_boosting", description="Gradient-boosted trees.")
    features: int | None = Field(
        20_000, ge=1, description="Most n-grams of each kind, the most frequent ones; empty is all."
    )
    leaves: int = Field(31, ge=2, le=131_072, description="Most leaves of a tree.")
    rows_in_leaf: int = Field(5, ge=1, description="Fewest training rows in a leaf.")
    rounds: int = Field(300, ge=1, description="Most rounds; each adds one tree a class.")
    learning_rate: float = Field(0.1, gt=0.0, le=1.0, description="Share of each tree's answer that counts.")
    patience: int = Field(
        30, ge=0, description="Stop after so many rounds without a better validation loss; 0 never stops early."
    )


ClassicConfig = Annotated[
    LogisticConfig | GradientBoostingConfig,
    Field(discriminator="kind"),
]
