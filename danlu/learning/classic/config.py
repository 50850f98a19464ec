"""Models without training of a neural network, as sections of a recipe: what is read, and what is learned over it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from danlu.core.baseline import PENALTY
from danlu.core.bases import ModelResource
from danlu.core.config import Config
from danlu.core.tasks import TaskName

#: Numbers above 0, beside words such as auto.
_Positive = Annotated[float, Field(gt=0.0)]
_Count = Annotated[int, Field(ge=1)]


class WordsFeatures(Config):
    """TF-IDF of n-grams: of characters for Chinese, of words for text with spaces."""

    kind: Literal["words"] = Field("words", description="TF-IDF of n-grams.")
    most: _Count | Literal["auto"] | None = Field(
        "auto",
        description="Most n-grams of each kind, the most frequent ones; empty is all. auto is all for logistic and "
        "ridge, and 20,000 for trees.",
    )


class EmbeddingsFeatures(Config):
    """The vector that a pretrained encoder makes of a text. The encoder stays as it is: nothing of it is trained."""

    kind: Literal["embeddings"] = Field("embeddings", description="Vectors of a frozen encoder.")
    base: ModelResource = Field(
        description="The encoder: a short name (danlu recipe bases lists them), a folder, package://NAME/path, "
        "hf://OWNER/NAME[@REVISION], modelscope://OWNER/NAME[@REVISION] or run://NAME, the model that the last run of "
        "NAME in this workspace trained. model.max_length says where texts are cut."
    )
    pooling: Literal["mean", "first"] = Field(
        "mean", description="How the vectors of a text's tokens become its own: their mean, or that of the first one."
    )


FeaturesConfig = Annotated[WordsFeatures | EmbeddingsFeatures, Field(discriminator="kind")]


class SmoteConfig(Config):
    """Synthetic training rows between neighbours of a small class (SMOTE: Chawla et al. 2002, doi:10.1613/jair.953).

    They are vectors, no texts, and are made of training rows alone; validation and test stay as they are.
    """

    neighbours: int = Field(
        5, ge=1, description="Nearest rows of its class that a new row may lie towards; each class needs one row more."
    )
    target: Literal["largest", "mean", "median", "square_root"] = Field(
        "largest",
        description="Size in rows that smaller classes are brought up to: that of the largest class, the mean or "
        "median of all, or square_root, half way to the largest on a logarithmic scale.",
    )


class LogisticConfig(Config):
    """Logistic regression, for tag one a label: over words it is the baseline itself, as a model to be released."""

    kind: Literal["logistic"] = Field("logistic", description="Logistic regression (classify, tag).")
    features: FeaturesConfig = Field(WordsFeatures(), description="What is read of a text: words or embeddings.")
    smote: SmoteConfig | None = Field(
        None, description="New rows for small classes (classify, over embeddings); empty is none."
    )
    penalty: _Positive | Literal["auto"] = Field(
        "auto",
        description="Inverse strength of the L2 penalty; smaller holds back more. auto is "
        f"{PENALTY:g} over words, and over embeddings the best of a few by cross-validation.",
    )


class RidgeConfig(Config):
    """Linear regression with an L2 penalty: over words it is the baseline itself, as a model to be released."""

    kind: Literal["ridge"] = Field("ridge", description="Ridge regression (regress).")
    features: FeaturesConfig = Field(WordsFeatures(), description="What is read of a text: words or embeddings.")
    alpha: _Positive | Literal["auto"] = Field(
        "auto",
        description="Strength of the L2 penalty; larger holds back more. auto is the best of a few by "
        "cross-validation on the training rows.",
    )


class GradientBoostingConfig(Config):
    """Trees that each mend what those before them got wrong (LightGBM; Ke et al. 2017)."""

    kind: Literal["gradient_boosting"] = Field("gradient_boosting", description="Gradient-boosted trees.")
    features: FeaturesConfig = Field(WordsFeatures(), description="What is read of a text: words or embeddings.")
    smote: SmoteConfig | None = Field(
        None, description="New rows for small classes (classify, over embeddings); empty is none."
    )
    leaves: int = Field(31, ge=2, le=131_072, description="Most leaves of a tree.")
    rows_in_leaf: int = Field(5, ge=1, description="Fewest training rows in a leaf.")
    rounds: int = Field(300, ge=1, description="Most rounds; each adds one tree a class, for tag one a label.")
    learning_rate: float = Field(0.1, gt=0.0, le=1.0, description="Share of each tree's answer that counts.")
    patience: int = Field(
        30, ge=0, description="Stop after so many rounds without a better validation loss; 0 never stops early."
    )


class RandomForestConfig(Config):
    """Trees that are each grown on rows and features drawn at random; their mean answers (Breiman 2001)."""

    kind: Literal["random_forest"] = Field("random_forest", description="A forest of randomised trees.")
    features: FeaturesConfig = Field(WordsFeatures(), description="What is read of a text: words or embeddings.")
    smote: SmoteConfig | None = Field(
        None, description="New rows for small classes (classify, over embeddings); empty is none."
    )
    trees: int = Field(200, ge=1, description="Trees of the forest.")
    rows_in_leaf: int = Field(3, ge=1, description="Fewest training rows in a leaf; larger makes a smaller model.")


ClassicConfig = Annotated[
    LogisticConfig | RidgeConfig | GradientBoostingConfig | RandomForestConfig,
    Field(discriminator="kind"),
]

#: The tasks that each kind can be had for.
KINDS_FOR: dict[TaskName, tuple[str, ...]] = {
    "classify": ("logistic", "gradient_boosting", "random_forest"),
    "tag": ("logistic", "gradient_boosting", "random_forest"),
    "regress": ("ridge", "gradient_boosting", "random_forest"),
}

Classic = LogisticConfig | RidgeConfig | GradientBoostingConfig | RandomForestConfig


def smote_of(classic: Classic) -> SmoteConfig | None:
    """What a section asks for in new rows."""
    return None if isinstance(classic, RidgeConfig) else classic.smote


def encoder_of(classic: Classic | None) -> EmbeddingsFeatures | None:
    """The frozen encoder that a section reads texts with; None over words."""
    features = None if classic is None else classic.features
    return features if isinstance(features, EmbeddingsFeatures) else None


def check_classic(task: TaskName, classic: Classic, *, class_weights: bool) -> None:
    """Raise `ValueError` for what cannot be had together."""
    if task not in KINDS_FOR:
        raise ValueError(
            f"model.classic answers with labels or a number ({', '.join(KINDS_FOR)}), but the recipe's task is {task}; "
            "start from model.base or model.scratch, and the evidence tells how the cheap baseline does"
        )
    if classic.kind not in KINDS_FOR[task]:
        raise ValueError(
            f"model.classic.kind is {classic.kind}, which is not for {task}; that has {', '.join(KINDS_FOR[task])}"
        )
    if smote_of(classic) is None:
        return
    if task != "classify":
        raise ValueError(
            f"model.classic.smote evens out classes, of which a row of classify has one; the task is {task}. Leave it "
            "out"
        )
    if encoder_of(classic) is None:
        raise ValueError(
            "model.classic.smote makes rows between vectors, and halfway between two texts' words lies no text. Give "
            "features: {kind: embeddings, base: ...}, or for words train.class_weights: balanced, data.balance or "
            "data.augment"
        )
    if class_weights:
        raise ValueError(
            "model.classic.smote and train.class_weights: balanced both make up for small classes; use one of them"
        )
