"""What a training run needs to go on after a crash: safetensors and JSON below `ctx.state`, never a pickle.

latest.json           names the newest whole checkpoint; moved last
step-00000120/        model.safetensors, optimizer.safetensors, progress.json
best-00000100.safetensors   the best weights so far, named by progress.json

A checkpoint is written beside, synced and renamed before `latest.json` names it; what it replaces is removed after
that. Order, noise and learning rate are functions of the step, so they need no state.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from danlu.core.store import write_json_atomically

_LATEST = "latest.json"


@dataclass(kw_only=True)
class Progress:
    """How far training is. All of it must be the same after a resume, but for the seconds.

    `step`: batches of the order that are done with; `updates`: steps of the optimizer. `loss_sum` and `loss_weight`:
    since the last validation. `best`: step, metric and value. `without_gain`: validations since the best one.
    `waited`: those since a plateau last reduced the rate; `rate_factor`: what that left of it. `history`: a row a
    validation. `metrics`: rows for the logs.

    What `guard.py` goes by: `events`, what it decided. `recent`: first batch, last batch + 1 and loss of the last
    steps; `started`: median of the first losses. `noise`: steps, and running means of the squared gradient and of
    its noise. `growth`: a row for each time the batch was doubled. `overflows`: steps that float16 could not hold;
    `scaler`: the scale of its loss.
    """

    step: int = 0
    samples: int = 0
    tokens: int = 0
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    best: dict[str, Any] | None = None
    without_gain: int = 0
    waited: int = 0
    rate_factor: float = 1.0
    updates: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    recent: list[list[Any]] = field(default_factory=list)
    started: float | None = None
    noise: list[float] | None = None
    growth: list[dict[str, int]] = field(default_factory=list)
    overflows: int = 0
    scaler: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    step_seconds: float = 0.0
    adversarial_seconds: float = 0.0

    def go_back(self, to: Progress) -> None:
        """Be as `to` was; but the time that was spent is spent."""
        times = ("seconds", "step_seconds", "adversarial_seconds")
        vars(self).update(vars(to) | {name: max(getattr(self, name), getattr(to, name)) for name in times})


class TrainingState:
    """The state folder of one training run; `writes`: False for all processes of a gang but the first."""

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self._folder = folder
        self._writes = writes
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Bring model and optimizer to the newest checkpoint; None where there is none."""
        self._clean()
        pointer = self._pointer()
        if pointer is None:
            return None
        folder = self._folder / pointer
        progress = Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))
        put_weights(model, load_file(folder / "model.safetensors"))
        _put_optimizer(model, optimizer, load_file(folder / "optimizer.safetensors"))
        return progress

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write a checkpoint; a crash at any instant leaves the one before or this one."""
        name = f"step-{progress.step:08d}"
        if not self._writes or self._pointer() == name:
            return
        beside = self._folder / f".{name}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        _save_synced(weights_of(model), beside / "model.safetensors")
        _save_synced(_optimizer_tensors(model, optimizer), beside / "optimizer.safetensors")
        (beside / "progress.json").write_text(json.dumps(asdict(progress), allow_nan=False), encoding="utf-8")
        _sync(beside / "progress.json")
        _sync(beside)
        beside.rename(self._folder / name)
        _sync(self._folder)
        write_json_atomically(self._folder / _LATEST, {"folder": name, "best": progress.best})
        self._clean()

    def record(self, events: list[dict[str, Any]]) -> None:
        """Let the newest checkpoint know what was decided since, so that who resumes from it decides nothing anew."""
        pointer = self._pointer()
        if pointer is None or not self._writes:
            return
        path = self._folder / pointer / "progress.json"
        write_json_atomically(path, json.loads(path.read_text(encoding="utf-8")) | {"events": events})

    def save_best(self, model: torch.nn.Module, step: int) -> None:
        """Keep the weights as the best of the run so far, those of `step`."""
        if not self._writes:
            return
        beside = self._folder / f".best-{step:08d}.tmp"
        _save_synced(weights_of(model), beside)
        beside.replace(self._best(step))
        _sync(self._folder)
        self._clean(but=self._best(step))

    def load_best(self, model: torch.nn.Module, step: int) -> None:
        """Put the weights that `save_best` kept for `step` into `model`."""
        put_weights(model, load_file(self._best(step)))

    def _best(self, step: int) -> Path:
        return self._folder / f"best-{step:08d}.safetensors"

    def _pointer(self) -> str | None:
        path = self._folder / _LATEST
        return str(json.loads(path.read_text(encoding="utf-8"))["folder"]) if path.exists() else None

    def _clean(self, but: Path | None = None) -> None:
        """Remove what the newest checkpoint does not name, `but` excepted."""
        if not self._writes:
            return
        keep = {but}
        if (self._folder / _LATEST).exists():
            latest = json.loads((self._folder / _LATEST).read_text(encoding="utf-8"))
            keep.add(self._folder / latest["folder"])
            if latest["best"] is not None:
                keep.add(self._best(latest["best"]["step"]))
        for pattern in ("step-*", "best-*", ".step-*", ".best-*"):
            for path in self._folder.glob(pattern):
                if path in keep:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that are trained and saved buffers by name, a shared one once, on the CPU.

    Frozen ones are a function of the base and the seed: a resumed run makes them anew.
    """
    saved = model.state_dict()
    tensors: dict[str, torch.Tensor] = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name in saved}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def put_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """The reverse of `weights_of`."""
    tensors: dict[str, torch.Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in weights.items():
        tensors[name].copy_(value)


#: Marks an entry of an optimizer's state that is a plain number (bitsandbytes counts its steps in one).
_NUMBER = "#number"


def _optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{name}|{key}"] = value.detach().cpu().contiguous()
            elif value is not None:
                tensors[f"{name}|{key}{_NUMBER}"] = torch.tensor(value)
    return tensors


def _put_optimizer(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for name, value in tensors.items():
        parameter_name, _, key = name.rpartition("|")
        parameter = parameters[parameter_name]
        if key.endswith(_NUMBER):
            optimizer.state[parameter][key.removesuffix(_NUMBER)] = value.item()
        else:
            optimizer.state[parameter][key] = value.to(parameter.device)


def _save_synced(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file(tensors, path)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
