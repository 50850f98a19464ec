"""The engines by name. Adding one is a file, a row here, and a test."""

from __future__ import annotations

import importlib
from pathlib import Path

from danlu.core.errors import ModelError
from danlu.core.lazy import missing
from danlu.engines.base import Engine, Form, read_form

#: Name in `form.json` -> "module:class"; imported when a form asks for it, so that ONNX serving never loads torch.
ENGINES: dict[str, str] = {
    "torch": "danlu.engines.torch_engine:TorchEngine",
    "onnx": "danlu.engines.onnx_engine:OnnxEngine",
    "classic": "danlu.engines.classic_engine:ClassicEngine",
    "ensemble": "danlu.engines.ensemble_engine:EnsembleEngine",
}


def load(folder: Path, threads: int = 0) -> Engine:
    """The engine that answers for the form in `folder`, on `threads` CPU threads (0: all cores).

    Raises `ModelError` for a folder without a readable form, and `MissingDependency` where the engine's library
    is not installed.
    """
    return open_form(folder, read_form(folder), threads)


def open_form(folder: Path, form: Form, threads: int = 0) -> Engine:
    """`load` where what the folder holds is known already: a checkpoint has no `form.json`."""
    if form.engine not in ENGINES:
        raise ModelError(
            f"{folder} needs the engine {form.engine!r}; this version of Danlu has {', '.join(ENGINES)}. "
            "Upgrade Danlu, or export the model again with `danlu run`."
        )
    module, _, name = ENGINES[form.engine].partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("danlu"):
            raise
        raise missing(error.name) from error
    engine: Engine = kind(folder, form, threads)
    return engine
