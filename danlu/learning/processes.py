"""What the processes of a gang say to one another while they train one model.

Each has the whole model and a part of every batch. They add up their gradients and decide everything together, so that
all take the same step with the same weights; see `danlu.learning.step`.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import distributed

from danlu.core.context import Rank
from danlu.core.errors import PeerGone, UserError

#: How long one waits for the others, who may be reading a large corpus. One that is gone is noticed at once.
_PATIENCE = datetime.timedelta(days=7)

#: How gloo says that another process is gone; nccl and the store have errors of a class of their own.
_NO_PEER = ("gloo", "connection closed by peer", "connection reset by peer", "broken pipe")

#: They are on one machine, so they need not go by its name, which may not be found.
_LOOPBACK = "lo"


@contextlib.contextmanager
def joined(rank: Rank) -> Iterator[None]:
    """Inside, the processes of the gang can be reached: by nccl where each has a GPU, else by gloo.

    Raises `UserError` where there are GPUs, but too few of them, and `PeerGone` where another process is no more.
    """
    if rank.count == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    if 0 < gpus < rank.count:
        raise UserError(f"train.processes is {rank.count}, but there are {gpus} GPUs here. Give at most that.")
    if gpus:
        torch.cuda.set_device(rank.number)
    with _environment(rank, gpus=gpus):
        try:
            _meet(rank, "nccl" if gpus else "gloo")
            try:
                yield
            finally:
                distributed.destroy_process_group()
        except RuntimeError as error:
            if not _says_that_one_is_gone(error):
                raise
            raise PeerGone(str(error)) from error


def _meet(rank: Rank, backend: str) -> None:
    # A path, for in an address of the kind file:// a name such as "C#" would end it.
    assert rank.meeting is not None, "several processes have a place to meet"
    store = distributed.FileStore(str(rank.meeting / "meeting"), rank.count)  # type: ignore[attr-defined]
    store.set_timeout(_PATIENCE)
    distributed.init_process_group(backend, store=store, rank=rank.number, world_size=rank.count, timeout=_PATIENCE)


def _says_that_one_is_gone(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or any(said in str(error).lower() for said in _NO_PEER)


@contextlib.contextmanager
def _environment(rank: Rank, *, gpus: int) -> Iterator[None]:
    """What accelerate reads; it asks for an address even where the processes have met already."""
    number, count = str(rank.number), str(rank.count)
    settings = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    settings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"} | ({} if gpus else {"ACCELERATE_USE_CPU": "1"})
    settings |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    if Path(f"/sys/class/net/{_LOOPBACK}").exists():
        settings["GLOO_SOCKET_IFNAME"] = _LOOPBACK
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def first_alone(rank: Rank) -> Iterator[None]:
    """The first process runs what is inside before all others do, who then find what it left."""
    if rank.count > 1 and not rank.first:
        distributed.barrier()
    yield
    if rank.count > 1 and rank.first:
        distributed.barrier()


def first_says(accelerator: Accelerator, value: float) -> float:
    """The `value` of the first process, in all of them."""
    if accelerator.num_processes == 1:
        return value
    own = torch.tensor(value, dtype=torch.float64, device=accelerator.device)
    return float(broadcast(own, from_process=0))


def over_all(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """The sum of each of `values` over all processes."""
    if accelerator.num_processes == 1:
        return list(values)
    own = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    sums: list[float] = accelerator.reduce(own, reduction="sum").tolist()
    return sums


def sum_gradients(accelerator: Accelerator, model: Any, *, failed: bool, told: Sequence[float]) -> list[float] | None:
    """Let every process have the sum of all gradients; the sums of what they `told`, None where one has `failed`.

    A weight that got no gradient anywhere has none afterwards either, so that it does not decay.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums = over_all(accelerator, [failed, *told, *(parameter.grad is not None for parameter in trained)])
    if sums[0]:
        return None
    under_way = []
    for parameter, holders in zip(trained, sums[1 + len(told) :], strict=True):
        if not holders:
            continue
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
        under_way.append(distributed.all_reduce(parameter.grad, async_op=True))
    for work in under_way:
        work.wait()
    return sums[1 : 1 + len(told)]
