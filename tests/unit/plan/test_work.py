"""Formulas: what they must agree with, and in which direction they must go."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from danlu.core.machine import this_machine
from danlu.learning.adapters.config import DoraMethod, FreezeMethod, FullMethod, LoraMethod, MethodConfig, QloraMethod
from danlu.learning.adapters.table import adapt
from danlu.learning.batching import BatchSize, Order
from danlu.learning.optimizers.config import (
    AdafactorOptimizer,
    AdamOptimizer,
    AdamWOptimizer,
    OptimizerConfig,
    RMSPropOptimizer,
    SGDOptimizer,
)
from danlu.learning.optimizers.table import MAKERS, make_optimizer
from danlu.plan.beyond import beyond
from danlu.plan.budget import check_budget
from danlu.plan.calibrate import Rates, measure
from danlu.plan.catalogue import read_catalogue
from danlu.plan.config import BudgetConfig
from danlu.plan.cost import Total, seconds_on
from danlu.plan.interval import Interval, add, largest
from danlu.plan.predict import seconds_of_training
from danlu.plan.shape import Shape, from_config
from danlu.plan.tokens import _pieces
from danlu.plan.trained import Trained, trained_by
from danlu.plan.work import ADAMW_BYTES_MOVED, Batches, Memory, forward_flops, training, training_memory

SHAPE = Shape(
    layers=4,
    width=128,
    heads=4,
    key_heads=4,
    head_width=32,
    inner=512,
    matrices=2,
    vocabulary=2_000,
    positions=512,
    learned_positions=True,
    types=2,
    biases=True,
    attention_dropout=True,
    tied=True,
)
BATCHES = Batches.of([8, 8, 4], [32, 48, 40])
RATES = Rates(gemm=1e12, gemm32=2e11, stream=1e10, elementwise=1e8)


def counted_flops(model: torch.nn.Module, size: int, length: int) -> int:
    ids = torch.zeros(size, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(input_ids=ids)
    return int(counter.get_total_flops())


def test_operations_agree_with_torchs_own_count_for_bert() -> None:
    config = BertConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256
    )
    config._attn_implementation = "eager"  # torch does not count the fused kernel
    real = counted_flops(BertForSequenceClassification(config), 4, 40)
    assert forward_flops(from_config(config.to_dict()), Batches.of([4], [40]), generates=False) == pytest.approx(
        real, rel=0.01
    )


def test_operations_agree_with_torchs_own_count_for_llama() -> None:
    config = LlamaConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=160,
    )
    config._attn_implementation = "eager"
    real = counted_flops(LlamaForCausalLM(config), 4, 40)
    assert forward_flops(from_config(config.to_dict()), Batches.of([4], [40]), generates=True) == pytest.approx(
        real, rel=0.01
    )


def test_batches_add_up() -> None:
    assert BATCHES.tokens == 8 * 32 + 8 * 48 + 4 * 40
    assert BATCHES.pairs == 8 * 32**2 + 8 * 48**2 + 4 * 40**2
    assert (BATCHES.widest, BATCHES.widest_pairs, BATCHES.count) == (8 * 48, 8 * 48**2, 3)
    assert BATCHES.times(2.0).tokens == 2 * BATCHES.tokens


def memory(
    shape: Shape = SHAPE, parameters: int = 1_000_000, batches: Batches = BATCHES, precision: str = "float32"
) -> Memory:
    trained = Trained(trainable=parameters)
    return training_memory(
        shape,
        parameters,
        batches,
        trained=trained,
        generates=False,
        precision=precision,
        framework=0.0,
        optimizer=8.0 * parameters,
    )


def test_memory_grows_with_everything_that_makes_a_run_larger() -> None:
    least = memory()
    assert memory(parameters=2_000_000).total > least.total
    assert memory(batches=Batches.of([16], [48])).activations > least.activations
    assert memory(batches=Batches.of([8], [96])).activations > 2 * least.activations, "attention grows with the square"
    assert memory(dataclasses.replace(SHAPE, layers=8)).activations == 2 * least.activations
    assert memory(precision="bfloat16").activations < least.activations


def test_model_state_is_sixteen_bytes_a_parameter() -> None:
    parts = memory(parameters=1_000)
    assert parts.weights + parts.gradients + parts.optimizer == 16_000


def test_time_grows_with_work_and_falls_with_rates() -> None:
    work = training(SHAPE, Trained(trainable=1_000_000), BATCHES, generates=False, mixed=True)
    more = training(SHAPE, Trained(trainable=1_000_000), BATCHES.times(2.0), generates=False, mixed=True)
    assert seconds_of_training(more, RATES) == pytest.approx(2 * seconds_of_training(work, RATES))
    assert seconds_of_training(work, dataclasses.replace(RATES, gemm=2e12)) < seconds_of_training(work, RATES)
    both = training(SHAPE, Trained(trainable=1_000_000), BATCHES, generates=True, mixed=True)
    assert both.flops - work.flops == 6 * 2_000 * 128 * BATCHES.tokens


def test_a_faster_gpu_is_never_slower() -> None:
    catalogue = {gpu.name: gpu for gpu in read_catalogue()}
    large = dataclasses.replace(SHAPE, layers=32, width=4_096, inner=16_384, heads=32, head_width=128)
    work = training(large, Trained(trainable=7_000_000_000), Batches.of([32], [512]), generates=True, mixed=True)
    assert seconds_on(catalogue["NVIDIA H100 80GB SXM"], work) < seconds_on(catalogue["NVIDIA A10"], work)


def test_every_row_of_the_catalogue_names_its_sources() -> None:
    for gpu in read_catalogue():
        assert "http" in gpu.facts
        assert gpu.confidence in {"high", "medium", "low"}
        assert min(gpu.memory, gpu.bandwidth, gpu.peak) > 0
        assert gpu.watts is None or gpu.watts > 0
        for price in gpu.prices:
            assert "http" in price.source
            assert price.date[:3] == "202"
            assert price.confidence in {"high", "medium", "low"}
            assert price.in_usd(7.0) > 0


def test_the_machine_has_rates() -> None:
    calls: list[int] = []
    rates = measure(
        precision="float32",
        tokens=64,
        width=32,
        inner=64,
        threads=1,
        check=lambda: calls.append(1),
        seconds=0.01,
    )
    assert min(rates.gemm, rates.gemm32, rates.stream, rates.elementwise) > 0
    assert rates.gemm == rates.gemm32
    assert len(calls) >= 9, "Ctrl-C and caps are looked at between repetitions"


def test_intervals_add_bound_by_bound() -> None:
    one, two = Interval.around(10.0, 0.5, 2.0), Interval.around(1.0, 0.9, 30.0)
    assert add([one, two]) == Interval(value=11.0, low=5.9, high=50.0)
    assert largest([one, two]) == Interval(value=10.0, low=5.0, high=30.0)
    assert one.times(2.0).as_json() == {"value": 20.0, "low": 10.0, "high": 40.0}


def plan_of(hours: float, gib: float) -> dict[str, dict[str, dict[str, float]]]:
    return {
        "total": {
            "seconds": Interval.around(3600 * hours, 0.5, 2.0).as_json(),
            "memory_bytes": Interval.around(2**30 * gib, 0.8, 1.25).as_json(12),
            "kwh": Interval.around(0.1 * hours, 0.5, 2.0).as_json(),
            "usd": Interval.around(0.02 * hours, 0.5, 2.0).as_json(),
        }
    }


@pytest.mark.parametrize(
    ("hours", "cap", "words"),
    [(1.0, 3.0, None), (1.0, 1.5, "The plan may exceed budget.hours"), (2.0, 1.0, "The plan exceeds budget.hours")],
)
def test_the_cap_on_hours_is_compared(hours: float, cap: float, words: str | None) -> None:
    said = check_budget(plan_of(hours, 1.0), BudgetConfig(hours=cap))
    assert [line.split(":")[0] for line in said] == ([] if words is None else [words])


def test_the_cap_on_memory_is_compared_and_no_cap_says_nothing() -> None:
    assert check_budget(plan_of(100.0, 100.0), BudgetConfig()) == []
    (said,) = check_budget(plan_of(1.0, 4.0), BudgetConfig(memory_gib=2.0))
    assert "The plan exceeds budget.memory_gib: 4 GiB predicted (3.2 to 5), the cap is 2." in said
    assert "train.batch_size" in said


def test_the_caps_on_energy_and_money_are_compared() -> None:
    assert check_budget(plan_of(1.0, 1.0), BudgetConfig(kwh=0.21, usd=0.041)) == []
    energy, money = check_budget(plan_of(1.0, 1.0), BudgetConfig(kwh=0.15, usd=0.01))
    assert energy.startswith("The plan may exceed budget.kwh: 0.1 kWh predicted (0.05 to 0.2), the cap is 0.15.")
    assert money.startswith("The plan exceeds budget.usd: 0.02 USD predicted (0.01 to 0.04), the cap is 0.01.")


METHODS: list[MethodConfig] = [
    FullMethod(),
    FreezeMethod(),
    FreezeMethod(layers=2),
    LoraMethod(),
    DoraMethod(rank=4),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_trainable_parameters_are_those_that_training_counts(method: MethodConfig) -> None:
    bert = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256)
    model = BertForSequenceClassification(bert)
    total = sum(parameter.numel() for parameter in model.parameters())
    predicted = trained_by(method, from_config(bert.to_dict()), total, generates=False)
    assert predicted.trainable == adapt(model, method).trainable


def test_trainable_parameters_of_a_language_model() -> None:
    llama = LlamaConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=160,
    )
    model = LlamaForCausalLM(llama)
    predicted = trained_by(LoraMethod(rank=8), from_config(llama.to_dict()), 1_000_000, generates=True)
    assert predicted.trainable == predicted.added == adapt(model, LoraMethod(rank=8)).trainable


def test_frozen_weights_save_memory_and_time() -> None:
    def cost(method: MethodConfig, *, checkpointing: bool = False) -> tuple[Memory, float]:
        trained = trained_by(method, SHAPE, 1_200_000, generates=False)
        settings = {"generates": False, "checkpointing": checkpointing}
        held = training_memory(
            SHAPE,
            1_200_000,
            BATCHES,
            trained=trained,
            precision="float32",
            framework=0.0,
            optimizer=8.0 * trained.trainable,
            **settings,
        )
        work = training(SHAPE, trained, BATCHES, mixed=False, **settings)
        return held, seconds_of_training(work, RATES)

    full, lora, frozen = cost(FullMethod()), cost(LoraMethod(rank=4)), cost(FreezeMethod())
    assert lora[0].gradients + lora[0].optimizer < 0.2 * (full[0].gradients + full[0].optimizer)
    assert frozen[0].activations == 0.0
    assert frozen[1] < lora[1] < full[1]
    assert cost(QloraMethod(rank=4))[0].weights < lora[0].weights < 1.1 * full[0].weights
    again = cost(FullMethod(), checkpointing=True)
    assert again[0].activations < 0.5 * full[0].activations
    assert again[1] > full[1]


OPTIMIZERS: list[OptimizerConfig] = [
    AdamWOptimizer(),
    AdamOptimizer(),
    RMSPropOptimizer(),
    RMSPropOptimizer(momentum=0.5),
    SGDOptimizer(),
    SGDOptimizer(momentum=0.0),
    AdafactorOptimizer(),
]


@pytest.mark.parametrize("method", [FullMethod(), FreezeMethod(layers=1), LoraMethod(rank=4)], ids=lambda one: one.kind)
@pytest.mark.parametrize("config", OPTIMIZERS, ids=lambda one: one.kind)
def test_an_optimizer_holds_as_many_bytes_as_its_row_says(config: OptimizerConfig, method: MethodConfig) -> None:
    bert = BertConfig(vocab_size=700, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256)
    model = BertForSequenceClassification(bert)
    total = sum(parameter.numel() for parameter in model.parameters())
    adapt(model, method)
    optimizer = make_optimizer(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    maker = MAKERS[config.kind]
    states = [
        state
        for name, parameter in model.named_parameters()
        for of, state in optimizer.state.items()
        # What is held for each row and column is counted for the matrices of embeddings and layers alone.
        if of is parameter
        and not (maker.held_a_line and (parameter.ndim < 2 or name.startswith(("classif", "bert.po"))))
    ]
    held = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    # The count of steps, one number a tensor, is left out.
    real = sum(value.numel() * value.element_size() for value in held if value.ndim > 0)
    trained = trained_by(method, from_config(bert.to_dict()), total, generates=False)
    counted = maker.held(config) * trained.trainable + maker.held_a_line * trained.lines
    assert counted == real


def test_an_update_moves_what_adamw_moved_when_the_factors_were_fitted() -> None:
    work = training(SHAPE, Trained(trainable=1_000), BATCHES, generates=False, mixed=False)
    assert work.optimizer_bytes == 44 * 1_000 * BATCHES.count
    assert MAKERS["adamw"].moved(AdamWOptimizer()) == ADAMW_BYTES_MOVED


def test_pieces_cost_memory_of_one_and_no_further_update() -> None:
    trained = Trained(trainable=1_000_000)
    pieces = Batches.of([2] * 10, [32, 32, 32, 32, 48, 48, 48, 48, 40, 40])
    whole = training(SHAPE, trained, BATCHES, generates=False, mixed=False)
    taken = training(SHAPE, trained, pieces, generates=False, mixed=False, steps=BATCHES.count)
    assert taken.flops == whole.flops
    assert taken.optimizer_bytes - whole.optimizer_bytes == 12 * 1_000_000 * 7, "seven gradients are added"
    assert memory(batches=pieces).activations == pytest.approx(memory().activations / 4)
    assert memory(batches=pieces).gradients == memory().gradients


def test_processes_divide_each_batch_and_hold_the_rest_each() -> None:
    """Two with half the batch: the activations of one, and everything else twice."""
    lengths = np.full(12, 32)
    order = Order(lengths, size=BatchSize(samples=8), samples=12, seed=1)
    whole, _ = _pieces(lengths, order, 1, None, packed=False)
    halves, _ = _pieces(lengths, order, 1, None, packed=False, processes=2)
    assert (whole.count, halves.count) == (2, 4)
    assert halves.tokens == whole.tokens
    assert halves.widest == whole.widest / 2
    one, two = memory(batches=whole), memory(batches=halves).times(2)
    assert two.activations == pytest.approx(one.activations)
    assert two.total - two.activations == pytest.approx(2 * (one.total - one.activations))


def test_an_adversary_passes_again_and_goes_down_to_the_embeddings() -> None:
    settings: dict[str, Any] = {"generates": False, "mixed": False}
    for trained in (Trained(trainable=1_000), Trained(trainable=1_000, passed=0.25, learned=0.25)):
        once = training(SHAPE, trained, BATCHES, **settings)
        forward = forward_flops(SHAPE, BATCHES, generates=False)
        assert once.flops == forward * (1 + trained.passed + trained.learned)
        fgm = training(SHAPE, trained, BATCHES, adversary=1, **settings)
        assert fgm.flops == pytest.approx(forward * 2 * (2 + trained.learned))
        pgd = training(SHAPE, trained, BATCHES, adversary=4, **settings)
        assert pgd.flops - fgm.flops == pytest.approx(forward * 3 * 2), "no gradient of weights in between"


def test_what_is_out_of_reach_is_said_plainly() -> None:
    machine = dataclasses.replace(this_machine(), memory_bytes=16 * 10**9)

    def told(gigabytes: float, days: float, rented: list[dict[str, Any]]) -> list[str]:
        total = Total(
            seconds=Interval.around(days * 86_400, 0.5, 2.0),
            memory=Interval.around(gigabytes * 1e9, 0.8, 1.25),
            kwh=Interval.around(1.0, 1.0, 1.0),
            usd=Interval.around(1.0, 1.0, 1.0),
            co2=Interval.around(1.0, 1.0, 1.0),
        )
        return beyond(machine, total, rented)

    large = {"name": "H100", "fits": True, "seconds": {"value": 86_400.0}}
    small = {"name": "A10", "fits": False, "seconds": {"value": 86_400.0}}
    assert told(15.0, 29.0, [large]) == []
    (memory_,) = told(160.0, 1.0, [small, large])
    assert "does not fit into this machine" in memory_
    assert "160 GB of memory (128 GB to 200 GB), and there are 16.0 GB. Rent H100" in memory_
    (days,) = told(1.0, 210.0, [small])
    assert "would take 210 days here (105 to 420). No single GPU of the catalogue would do either" in days
    assert len(told(1_000.0, 1_000.0, [])) == 2
