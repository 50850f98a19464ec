"""Heavy libraries are imported where they are used; a missing one is explained once, here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from danlu.core.errors import MissingDependency

#: Which extra of Danlu brings a library, by the name it is imported with.
EXTRA_OF: dict[str, str] = {
    "accelerate": "train",
    "ahocorasick_rs": "data",
    "cleanlab": "labels",
    "daft": "data",
    "fastapi": "serve",
    "ftfy": "data",
    "httpx": "augment",
    "huggingface_hub": "train",
    "imblearn": "classic",
    "jinja2": "report",
    "lightgbm": "classic",
    "markitdown": "documents",
    "matplotlib": "report",
    "mlflow": "mlflow",
    "modelscope": "modelscope",
    "modelscope_hub": "modelscope",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "opencc": "chinese",
    "optuna": "tune",
    "openpyxl": "data",
    "peft": "train",
    "pyarrow": "data",
    "psycopg": "sql",
    "pymysql": "sql",
    "pypdfium2": "documents",
    "pypinyin": "chinese",
    "rapidfuzz": "questions",
    "rjieba": "chinese",
    "sacrebleu": "questions",
    "safetensors": "train",
    "selectolax": "data",
    "sklearn": "train",
    "sqlalchemy": "sql",
    "tensorboard": "train",
    "tokenizers": "train",
    "torch": "train",
    "transformers": "train",
    "uvicorn": "serve",
}


def missing(module: str, extra: str | None = None) -> MissingDependency:
    """The error for a library that is not installed."""
    extra = extra or EXTRA_OF.get(module.partition(".")[0])
    how = f"pip install 'danlu[{extra}]'" if extra else f"pip install {module}"
    return MissingDependency(f"This step needs the library {module!r}, which is not installed. Install it with: {how}")


def need(module: str, extra: str | None = None) -> ModuleType:
    """Import `module`, or raise `MissingDependency` with the one command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise missing(module, extra) from error


def load_attribute(where: str) -> Any:
    """The object that "module:attribute" names; a library missing on the way raises `MissingDependency`."""
    module, _, attribute = where.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in EXTRA_OF:
            raise missing(error.name) from error
        raise
