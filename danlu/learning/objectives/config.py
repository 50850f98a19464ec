"""What training may aim at, as sections of a recipe. One class an objective; `table.py` says how each is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from danlu.core.bases import ModelResource
from danlu.core.config import Config
from danlu.core.tasks import TaskName

#: The model that is trained, as it is before the first step; see `Cost.before`.
START = "start"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an objective costs beyond one forward and one backward pass over the rows of its examples.

    The plan counts by it, and a recipe is checked by it, so that neither knows an objective by name.

    `before`: the model that reads every example once before the first step, training and validation alike: `START`, or
    the field of the section that names its folder; `at_once` examples at a time. `values`: float32 numbers that are
    kept of each example from then on; with `values_of_classes` one a class. `beside`: the field that names the folder
    of a model which stays in memory and reads every training batch too, in float32. `separable`: as in `Objective`.
    """

    before: str | None = None
    at_once: int = 1
    values: int = 0
    values_of_classes: bool = False
    beside: str | None = None
    separable: bool = True


class ClassesObjective(Config):
    """One class a text: cross-entropy over the labels of the corpus."""

    task: ClassVar[TaskName] = "classify"

    kind: Literal["classes"] = Field("classes", description="One class a text.")
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of the target that is spread evenly over all classes, 0 to below 1."
    )


class LabelsObjective(Config):
    """Any number of labels a text: binary cross-entropy for each label of the corpus by itself."""

    task: ClassVar[TaskName] = "tag"
    cost: ClassVar[Cost] = Cost(values_of_classes=True)

    kind: Literal["labels"] = Field("labels", description="Any number of labels a text.")
    positive_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced lets the rows that have a label weigh as much in its loss as those that have not; for "
        "rare labels that are missed too often.",
    )


class ValueObjective(Config):
    """A number a text. Numbers are standardised for training; answers are in the unit of the data."""

    task: ClassVar[TaskName] = "regress"

    kind: Literal["value"] = Field("value", description="A number a text.")
    loss: Literal["squared", "huber"] = Field(
        "squared", description="squared aims at the mean; huber is less drawn by numbers that are far off."
    )
    delta: float = Field(
        1.0,
        gt=0.0,
        description="Error from which huber grows as a line, in standard deviations of the training rows' numbers.",
    )


HeadObjective = Annotated[ClassesObjective | LabelsObjective | ValueObjective, Field(discriminator="kind")]


class MultitaskObjective(Config):
    """Several targets over one encoder: the weighted sum of what each of them learns by itself."""

    task: ClassVar[TaskName] = "multitask"
    cost: ClassVar[Cost] = Cost(values_of_classes=True)

    kind: Literal["multitask"] = Field("multitask", description="Several targets over one encoder.")
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default_factory=dict,
        description="How much each target's loss counts, by its name; 1 where none is given. Losses are in nats, or "
        "for numbers in squared standard deviations.",
    )
    targets: dict[str, HeadObjective] = Field(
        default_factory=dict,
        description="How a target learns where it is not by default, by its name: the objective of its own task, such "
        "as {kind: value, loss: huber}.",
    )


class CausalObjective(Config):
    """Each next token: of plain texts all of them, of conversations those of the turns that are to be learned."""

    task: ClassVar[TaskName] = "generate"

    kind: Literal["causal"] = Field("causal", description="Foresee each next token.")
    learn: Literal["answers", "all"] = Field(
        "answers",
        description="Of a conversation: answers learns what data.learn names (by default the assistant's turns), all "
        "learns every token. Plain texts are always learned whole.",
    )


class PreferenceObjective(Config):
    """Of two answers the better one (DPO, Rafailov et al. 2023, arXiv:2305.18290), seen from the starting weights.

    The rows need both answers: `chosen` and `rejected` beside a prompt, in any form that instruction data has.
    """

    task: ClassVar[TaskName] = "generate"
    cost: ClassVar[Cost] = Cost(before=START, at_once=16, values=2)

    kind: Literal["preference"] = Field("preference", description="Of two answers the better one (DPO).")
    beta: float = Field(
        0.1, gt=0.0, description="How strongly the model is held to where it started; larger holds it more."
    )
    label_smoothing: float = Field(
        0.0,
        ge=0.0,
        lt=0.5,
        description="Share of the pairs that are taken to be the wrong way round (conservative DPO), 0 to below 0.5.",
    )
    length_normalised: bool = Field(
        False,
        description="Mean instead of sum over an answer's tokens, so that longer answers do not count more (Lambert et "
        "al. 2024, arXiv:2411.15124); beta is then larger, such as 5.",
    )
    answer_weight: float = Field(
        0.0,
        ge=0.0,
        description="Adds so many times the mean loss of the chosen answer's tokens, so that it does not become less "
        "likely itself (Pang et al. 2024, arXiv:2404.19733); a model that cannot answer yet needs it.",
    )


class _Distilled(Config):
    """What a teacher adds to the labels (Hinton et al. 2015, arXiv:1503.02531)."""

    teacher: ModelResource = Field(
        description="The model to learn from, trained for the same task: as in model.base; run://NAME is the one that "
        "the last run of NAME trained."
    )
    temperature: float = Field(
        2.0, gt=0.0, description="Softens the teacher's probabilities and the student's alike; 1 leaves them."
    )
    teacher_weight: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the teacher in the loss, above 0 to 1; the labels have the rest."
    )


class DistillClassesObjective(_Distilled):
    """One class a text, as the labels and a larger classifier say it. Both must have the same classes."""

    task: ClassVar[TaskName] = "classify"
    cost: ClassVar[Cost] = Cost(before="teacher", at_once=32, values_of_classes=True)

    kind: Literal["distill_classes"] = Field("distill_classes", description="A small classifier from a larger one.")


class DistillCausalObjective(_Distilled):
    """Each next token, as the texts and a larger language model say it.

    Both must have the same tokenizer; a small model from scratch takes the teacher's.
    """

    task: ClassVar[TaskName] = "generate"
    cost: ClassVar[Cost] = Cost(beside="teacher")

    kind: Literal["distill_causal"] = Field("distill_causal", description="A small language model from a larger one.")
    learn: Literal["answers", "all"] = Field(
        "answers", description="Of a conversation: as in kind causal. Plain texts are always learned whole."
    )


class MaskedObjective(Config):
    """Words that are hidden in a text, from those around them (BERT, Devlin et al. 2018, arXiv:1810.04805)."""

    task: ClassVar[TaskName] = "fill"

    kind: Literal["masked"] = Field("masked", description="Foresee hidden words.")
    share: float = Field(
        0.15,
        gt=0.0,
        lt=1.0,
        description="Share of a text's tokens that is to be foreseen, above 0 to below 1; of these 80 % are hidden, "
        "10 % replaced by another token, 10 % left.",
    )
    whole_words: bool = Field(
        False, description="Hide all tokens of a word together; words of Chinese text are found by rjieba."
    )


class ContrastiveObjective(Config):
    """Texts that belong together lie near one another: each text finds its own counterpart among those of its batch.

    Henderson et al. 2017, arXiv:1705.00652 (multiple negatives); with a temperature and cosine similarity InfoNCE, van
    den Oord et al. 2018, arXiv:1807.03748. Larger batches have more counterparts to tell apart.
    """

    task: ClassVar[TaskName] = "embed"
    cost: ClassVar[Cost] = Cost(separable=False)

    kind: Literal["contrastive"] = Field("contrastive", description="Texts that belong together lie near one another.")
    temperature: float = Field(
        0.05,
        gt=0.0,
        description="Divides the cosines, which lie between -1 and 1; smaller looks harder at near misses.",
    )
    both_ways: bool = Field(False, description="Each counterpart is to find its text too.")
    pooling: Literal["mean", "first"] = Field(
        "mean", description="A text's vector: the mean over its tokens, or that of its first token (bge models)."
    )


ObjectiveConfig = Annotated[
    ClassesObjective
    | LabelsObjective
    | ValueObjective
    | MultitaskObjective
    | CausalObjective
    | PreferenceObjective
    | DistillClassesObjective
    | DistillCausalObjective
    | ContrastiveObjective
    | MaskedObjective,
    Field(discriminator="kind"),
]

#: What training aims at where the recipe does not say.
DEFAULTS: dict[TaskName, ObjectiveConfig] = {
    "classify": ClassesObjective(),
    "tag": LabelsObjective(),
    "regress": ValueObjective(),
    "multitask": MultitaskObjective(),
    "generate": CausalObjective(),
    "embed": ContrastiveObjective(),
    "fill": MaskedObjective(),
}


def aim_of(task: TaskName, asked: ObjectiveConfig | None) -> ObjectiveConfig:
    """The objective that a recipe asks for, or its task's own. Raises `ValueError` for another task's objective."""
    if asked is None:
        return DEFAULTS[task]
    if asked.task != task:
        raise ValueError(
            f"train.objective.kind {asked.kind} makes a model for task {asked.task}, but the recipe's task is {task}"
        )
    return asked


def cost_of(aim: Any) -> Cost:
    """What the section of an objective says of its cost; where it says nothing, one pass over its rows."""
    found: Cost = getattr(aim, "cost", Cost())
    return found


def check_pieces(aim: Any, *, micro_batch: int | None, grow: bool) -> None:
    """Raise `ValueError` for a batch that is to be taken in pieces where the objective's loss does not allow it."""
    if cost_of(aim).separable:
        return
    asked = {"train.micro_batch": micro_batch is not None, "train.batching.grow": grow}
    for name, given in asked.items():
        if given:
            raise ValueError(
                f"{name} is given, but train.objective.kind {aim.kind} compares each sample with the others of its "
                "batch, which therefore cannot be taken in pieces. Leave it out, and set train.batch_size to what "
                "memory allows"
            )


def check_processes(aim: Any, processes: int, *, grow: bool) -> None:
    """Raise `ValueError` for several processes where the objective, or a batch that grows, does not allow them."""
    if processes == 1:
        return
    if not cost_of(aim).separable:
        raise ValueError(
            f"train.processes is {processes}, but train.objective.kind {aim.kind} compares each sample with the others "
            "of its batch, which therefore cannot be divided among processes. Leave it out"
        )
    if grow:
        raise ValueError(
            f"train.processes is {processes}, but train.batching.grow measures the noise of the gradient within one "
            "process. Leave one of them out"
        )
