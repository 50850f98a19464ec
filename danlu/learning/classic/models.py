"""The kinds of models without training of a neural network, in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from danlu.learning.classic.base import Learned
from danlu.learning.classic.boosting import Trees
from danlu.learning.classic.forest import Forest
from danlu.learning.classic.linear import Linear


@dataclass(frozen=True)
class Kind:
    """One kind of model: `fit(rows, validation, aim, config, how)`, how it is read again, and its name for people."""

    name: str
    fit: Any
    model: type[Learned]
    #: Its name where it tags, if that is another.
    by_label: str | None = None
    #: Most n-grams of each kind where a recipe says auto; None is all.
    most: int | None = None


#: Trees look at every n-gram for every split: more of them cost time, and rare ones gain nothing.
_FOR_TREES = 20_000

KINDS: dict[str, Kind] = {
    "logistic": Kind("logistic regression", Linear.logistic, Linear, "one logistic regression a label"),
    "ridge": Kind("ridge regression", Linear.ridge, Linear),
    "gradient_boosting": Kind(
        "gradient-boosted trees", Trees.fit, Trees, "gradient-boosted trees for each label", most=_FOR_TREES
    ),
    "random_forest": Kind("random forest", Forest.fit, Forest, most=_FOR_TREES),
}
