"""How classes of unequal size are evened out before training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from danlu.core.config import Config

Target = Literal["largest", "mean", "median", "square_root"]


class BalanceConfig(Config):
    """Repeat or leave out training rows. Validation and test keep the classes as they are.

    Weights of classes in the loss are the train section's; they change no row, and are the first to try.
    """

    method: Literal["oversample", "undersample"] = Field(
        "oversample",
        description="oversample repeats rows of small classes, undersample leaves rows of large ones out. New texts "
        "for small classes are data.augment's.",
    )
    target: Target = Field(
        "largest",
        description="Size that small classes are brought up to: that of the largest class, the mean or median of all, "
        "or square_root, half way to the largest on a logarithmic scale. undersample brings large classes down to the "
        "mean or median, for largest to the smallest class, for square_root half way to it.",
    )
    most_repeats: int = Field(10, ge=1, description="Most times that a row is used; a class of a few rows stays small.")
