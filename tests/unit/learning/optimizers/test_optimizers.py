"""Each optimizer does what its definition says, refuses clearly, and goes on from saved state bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter

from danlu.core.errors import UserError
from danlu.learning.optimizers.config import (
    AdafactorOptimizer,
    AdamOptimizer,
    AdamW8bitOptimizer,
    AdamWOptimizer,
    OptimizerConfig,
    RMSPropOptimizer,
    SGDOptimizer,
)
from danlu.learning.optimizers.table import MAKERS, make_optimizer
from danlu.train.state import Progress, TrainingState

HERE = [AdamWOptimizer(), AdamOptimizer(), RMSPropOptimizer(momentum=0.5), SGDOptimizer(), AdafactorOptimizer()]
RATE = 0.01


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def model_of(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 3))


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_every_kind_has_a_maker() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(OptimizerConfig)[0])}
    assert kinds == set(MAKERS)
    chosen: Any = TypeAdapter(OptimizerConfig).validate_python({"kind": "sgd", "momentum": 0.5})
    assert chosen == SGDOptimizer(momentum=0.5)


@pytest.mark.parametrize("config", HERE, ids=lambda config: config.kind)
def test_saved_and_loaded_it_goes_on_bit_equal(config: Any, tmp_path: Path) -> None:
    whole = model_of(0)
    optimizer = make_optimizer(whole, config)
    for seed in range(3):
        step(whole, optimizer, seed)
    TrainingState(tmp_path).save(whole, optimizer, Progress(step=3))
    resumed = model_of(1)
    again = make_optimizer(resumed, config)
    step(resumed, again, 9)
    TrainingState(tmp_path).load(resumed, again)
    for seed in range(3, 6):
        step(whole, optimizer, seed)
        step(resumed, again, seed)
    assert torch.equal(weights(whole), weights(resumed))
    assert not torch.equal(weights(whole), weights(model_of(0)))


@pytest.mark.parametrize("config", HERE, ids=lambda config: config.kind)
def test_what_has_one_dimension_does_not_decay(config: Any) -> None:
    decaying = config.model_copy(update={"weight_decay": 0.5})
    first, second = model_of(0), model_of(0)
    step(first, make_optimizer(first, config.model_copy(update={"weight_decay": 0.0})), 0)
    step(second, make_optimizer(second, decaying), 0)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other) == (one.ndim == 1)


def test_sgd_and_adam_are_their_formulas() -> None:
    """Two steps by hand: momentum as the running sum of gradients; Adam's corrected means (algorithm 1)."""
    gradients = [torch.tensor([[0.5, -2.0]]), torch.tensor([[1.0, 1.0]])]
    start = torch.tensor([[1.0, -1.0]])
    moved = {}
    for config in (SGDOptimizer(momentum=0.9), AdamOptimizer()):
        model = torch.nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            model.weight.copy_(start)
        optimizer = make_optimizer(model, config)
        optimizer.param_groups[0]["lr"] = RATE
        for gradient in gradients:
            model.weight.grad = gradient.clone()
            optimizer.step()
        moved[config.kind] = model.weight.detach()
    one, two = gradients
    torch.testing.assert_close(moved["sgd"], start - RATE * one - RATE * (0.9 * one + two))
    adam = start - RATE * one / (one.abs() + 1e-8)
    mean, square = 0.09 * one + 0.1 * two, 0.000999 * one**2 + 0.001 * two**2
    adam = adam - RATE * (mean / (1 - 0.9**2)) / ((square / (1 - 0.999**2)).sqrt() + 1e-8)
    torch.testing.assert_close(moved["adam"], adam)


def test_adafactor_holds_next_to_nothing() -> None:
    model = torch.nn.Linear(64, 64, bias=False)
    optimizer = make_optimizer(model, AdafactorOptimizer())
    step(model, optimizer, 0)
    held = sum(value.numel() for value in optimizer.state[model.weight].values())
    assert held <= 2 * 64 + 1


def test_frozen_parameters_have_no_part() -> None:
    model = model_of(0)
    model[0].requires_grad_(False)
    optimizer = make_optimizer(model, AdamWOptimizer())
    chosen = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(chosen) == 4


def test_numbers_in_the_state_come_back_as_numbers(tmp_path: Path) -> None:
    """The library bitsandbytes counts steps in an int and keeps bytes; the state file holds both."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state[model.weight] = {"step": 7, "state1": torch.arange(4, dtype=torch.uint8), "empty": None}
    TrainingState(tmp_path).save(model, optimizer, Progress(step=1))
    again = torch.optim.SGD(model.parameters(), lr=0.1)
    TrainingState(tmp_path).load(model, again)
    loaded = again.state[model.weight]
    assert loaded["step"] == 7
    assert isinstance(loaded["step"], int)
    assert loaded["state1"].dtype == torch.uint8
    assert "empty" not in loaded


def test_what_cannot_run_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"adamw8bit.*NVIDIA GPU.*adafactor"):
        make_optimizer(model_of(0), AdamW8bitOptimizer())
    with pytest.raises(UserError, match=r"nesterov.*momentum is 0"):
        make_optimizer(model_of(0), SGDOptimizer(nesterov=True, momentum=0.0))
