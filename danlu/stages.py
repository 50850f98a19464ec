"""The corridor: one row a stage. Order follows from what each reads."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel

from danlu.compress.config import CompressStage
from danlu.core.errors import UserError
from danlu.core.plugins import installed
from danlu.core.stage import Stage, in_order
from danlu.data.config import CleanStage, DataStage, DuplicatesStage
from danlu.evaluate.config import ChampionStage, EvaluateStage, SpeedStage
from danlu.evaluate.questions.config import QuestionsStage
from danlu.folds.config import FoldsStage
from danlu.plan.config import PlanStage
from danlu.release.config import ReleaseStage
from danlu.train.config import TrainStage
from danlu.tune.config import TuneStage

#: What decides how a text reads after cleaning, and what is masked in it: of the rows, and of benchmarks.
_CLEANING = ("ftfy", "opencc", "selectolax", "presidio-analyzer", "spacy", "torch", "transformers")
#: What reads texts out of files that are none themselves.
_READING = ("openpyxl", "markitdown", "pypdfium2")

STAGES: tuple[Stage, ...] = in_order(
    (
        Stage(
            name="plan",
            config=PlanStage,
            run="danlu.plan.stage:run",
            reads=(),
            writes="Plan",
            version=41,
            machine=True,
            resolves=True,
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="clean",
            config=CleanStage,
            run="danlu.data.clean:run",
            reads=(),
            writes="Texts",
            version=26,
            libraries=("daft", *_CLEANING, *_READING, "ahocorasick-rs"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="duplicates",
            config=DuplicatesStage,
            run="danlu.data.duplicates:run",
            reads=("clean",),
            writes="Links",
            version=25,
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="data",
            config=DataStage,
            run="danlu.data.stage:run",
            reads=("clean", "duplicates"),
            writes="Corpus",
            version=32,
            libraries=(*_CLEANING, *_READING, "scikit-learn", "scipy", "rjieba", "pypinyin"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="tune",
            config=TuneStage,
            run="danlu.tune.stage:run",
            reads=("data",),
            writes="Study",
            version=15,
            numeric=True,
            resolves=True,
            libraries=("optuna",),
            when="tune",
            starts=("train",),
            example="danlu.examples:TUNED",
        ),
        Stage(
            name="train",
            config=TrainStage,
            run="danlu.train.stage:run",
            reads=("data",),
            writes="Checkpoint",
            version=25,
            numeric=True,
            libraries=(
                "torch",
                "transformers",
                "tokenizers",
                "accelerate",
                "peft",
                "bitsandbytes",
            ),
            # No other model is trained anew because of them.
            libraries_with={
                "model.classic": ("lightgbm", "scikit-learn", "scipy", "imbalanced-learn"),
                "train.objective.whole_words": ("rjieba",),
            },
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="compress",
            config=CompressStage,
            run="danlu.compress.stage:run",
            reads=("data", "train"),
            writes="Export",
            version=21,
            numeric=True,
            libraries=(
                "torch",
                "transformers",
                "tokenizers",
                "onnx",
                "onnxscript",
                "onnxruntime",
                "lightgbm",
                "scikit-learn",
                "scipy",
            ),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="evaluate",
            config=EvaluateStage,
            run="danlu.evaluate.stage:run",
            reads=("data", "compress"),
            writes="Evidence",
            version=27,
            numeric=True,
            libraries=("torch", "tokenizers", "onnxruntime", "lightgbm", "scikit-learn", "scipy", "numpy"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="champion",
            config=ChampionStage,
            run="danlu.evaluate.champion:run",
            reads=("data", "compress", "evaluate"),
            writes="Comparison",
            version=11,
            numeric=True,
            libraries=("torch", "tokenizers", "onnxruntime", "lightgbm", "scikit-learn", "scipy", "numpy"),
            when="champion",
            example="danlu.examples:TUNED",
        ),
        Stage(
            name="questions",
            config=QuestionsStage,
            run="danlu.evaluate.questions.stage:run",
            reads=("data", "compress"),
            writes="Answers",
            version=5,
            numeric=True,
            libraries=("torch", "tokenizers", "onnxruntime", "numpy", "rapidfuzz", "sacrebleu", "openpyxl"),
            when="questions",
            example="danlu.examples:ASKED",
        ),
        Stage(
            name="folds",
            config=FoldsStage,
            run="danlu.folds.stage:run",
            reads=("data",),
            writes="Folds",
            version=12,
            numeric=True,
            libraries=("numpy",),
            when="folds",
            starts=("train", "compress", "evaluate"),
            example="danlu.examples:TUNED",
        ),
        Stage(
            name="speed",
            config=SpeedStage,
            run="danlu.evaluate.stage:run_speed",
            reads=("data", "compress"),
            writes="Speed",
            version=27,
            machine=True,
            libraries=("torch", "tokenizers", "onnxruntime", "lightgbm", "scikit-learn"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="release",
            config=ReleaseStage,
            run="danlu.release.stage:run",
            reads=("data", "train", "compress", "evaluate", "speed"),
            may_read=("champion", "questions"),
            writes="Release",
            version=14,
            example="danlu.examples:EXAMPLE",
        ),
    )
)


def _with_folds(stages: tuple[Stage, ...], recipe: BaseModel) -> tuple[Stage, ...]:
    """Where the models of folds are released together, training takes those, so it comes after them."""
    folds = getattr(recipe, "folds", None)
    if folds is None or folds.release != "ensemble":
        return stages
    return in_order(tuple(replace(stage, may_read=("folds",)) if stage.name == "train" else stage for stage in stages))


def stages_of(recipe: BaseModel) -> tuple[Stage, ...]:
    """The corridor of one recipe: Danlu's own stages, and those of third parties that its `extensions` ask for.

    One of a third party runs as soon as what it reads is there. Raises `UserError` that names the distribution of a
    stage that does not fit in.
    """
    own = _with_folds(
        tuple(stage for stage in STAGES if stage.when is None or getattr(recipe, stage.when, None) is not None), recipe
    )
    extensions = getattr(recipe, "extensions", None)
    if not isinstance(extensions, BaseModel) or not type(extensions).model_fields:
        return own
    asked, sections = type(extensions).model_fields, type(recipe).model_fields
    plugins = [plugin for plugin in installed(sections).plugins if asked.keys() & plugin.own_sections(sections)]
    names = [stage.name for stage in own] + [plugin.stage.name for plugin in plugins]
    for plugin in plugins:
        stage = plugin.stage
        unknown = [name for name in stage.reads if name not in names]
        why = f"it reads {', '.join(map(repr, unknown))}, which no stage of this recipe is called" if unknown else ""
        if names.count(stage.name) > 1:
            why = "another stage has that name"
        if why:
            raise UserError(f"The stage {stage.name!r} that {plugin.distribution} brings cannot be used: {why}.")
    first, *others = own
    try:
        return in_order((first, *(plugin.stage for plugin in plugins), *others))
    except ValueError as error:
        whose = ", ".join(plugin.distribution for plugin in plugins)
        raise UserError(f"The stages that {whose} bring cannot be used: {error}.") from None
