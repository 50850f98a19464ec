"""The corridor: one row a stage. Order follows from what each reads."""

from __future__ import annotations

from danlu.compress.config import CompressStage
from danlu.core.stage import Stage, in_order
from danlu.data.config import CleanStage, DataStage, DuplicatesStage
from danlu.evaluate.config import EvaluateStage, SpeedStage
from danlu.plan.config import PlanStage
from danlu.release.config import ReleaseStage
from danlu.train.config import TrainStage

STAGES: tuple[Stage, ...] = in_order(
    (
        Stage(
            name="plan",
            config=PlanStage,
            run="danlu.plan.stage:run",
            reads=(),
            writes="Plan",
            version=2,
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
            version=1,
            libraries=("daft", "ftfy"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="duplicates",
            config=DuplicatesStage,
            run="danlu.data.duplicates:run",
            reads=("clean",),
            writes="Links",
            version=1,
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="data",
            config=DataStage,
            run="danlu.data.stage:run",
            reads=("clean", "duplicates"),
            writes="Corpus",
            version=2,
            libraries=("scikit-learn",),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="train",
            config=TrainStage,
            run="danlu.train.stage:run",
            reads=("data",),
            writes="Checkpoint",
            version=1,
            numeric=True,
            libraries=("torch", "transformers", "tokenizers", "accelerate"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="compress",
            config=CompressStage,
            run="danlu.compress.stage:run",
            reads=("data", "train"),
            writes="Export",
            version=1,
            numeric=True,
            libraries=("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime", "scipy"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="evaluate",
            config=EvaluateStage,
            run="danlu.evaluate.stage:run",
            reads=("data", "compress"),
            writes="Evidence",
            version=1,
            numeric=True,
            libraries=("torch", "tokenizers", "onnxruntime", "scikit-learn", "scipy", "numpy"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="speed",
            config=SpeedStage,
            run="danlu.evaluate.stage:run_speed",
            reads=("data", "compress"),
            writes="Speed",
            version=1,
            machine=True,
            libraries=("torch", "tokenizers", "onnxruntime"),
            example="danlu.examples:EXAMPLE",
        ),
        Stage(
            name="release",
            config=ReleaseStage,
            run="danlu.release.stage:run",
            reads=("data", "train", "compress", "evaluate", "speed"),
            writes="Release",
            version=1,
            example="danlu.examples:EXAMPLE",
        ),
    )
)
