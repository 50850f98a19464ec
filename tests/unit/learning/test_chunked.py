"""A loss in chunks is the plain one: value and every gradient, for every objective that has it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from tokenizers import Tokenizer
from tokenizers.models import BPE
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from danlu.learning import chunked
from danlu.learning.adapters.config import LoraMethod
from danlu.learning.adapters.table import adapt
from danlu.learning.batching import NO_TARGET, Batch
from danlu.learning.chunked import States, applies, mean_loss, token_losses
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.causal import outcome
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.objectives.preference import log_probabilities
from danlu.learning.objectives.table import make_objective
from danlu.learning.regularizers.adversary import Adversary
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.step import make_accelerator, train_step

VOCABULARY, WIDTH = 53, 16


@pytest.fixture(autouse=True)
def _one_precision_a_test() -> Iterator[None]:
    """Accelerate keeps the precision of a process; each test starts without one."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`in_chunks(targets)` lets every loss be taken in chunks of so many targets; 0 none."""

    def choose(targets: int) -> None:
        monkeypatch.setattr(chunked, "MANY_LOGITS", 0 if targets else 1 << 60)
        monkeypatch.setattr(chunked, "CHUNK_LOGITS", targets * VOCABULARY)

    return choose


def problem(*, bias: bool) -> tuple[torch.Tensor, nn.Linear, torch.Tensor]:
    torch.manual_seed(3)
    targets = torch.randint(VOCABULARY, (3, 11))
    targets[torch.rand(targets.shape) < 0.3] = NO_TARGET
    return torch.randn(3, 11, WIDTH, requires_grad=True), nn.Linear(WIDTH, VOCABULARY, bias=bias), targets


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("targets_at_once", [1, 4, 1000])
@pytest.mark.parametrize("what", ["mean", "each"])
def test_value_and_gradients_are_those_of_cross_entropy(
    in_chunks: Callable[[int], None], what: str, targets_at_once: int, bias: bool
) -> None:
    in_chunks(targets_at_once)
    hidden, head, targets = problem(bias=bias)
    wants = [hidden, *head.parameters()]
    found = States(hidden=hidden, head=head, dtype=torch.float32)
    logits = head(hidden).flatten(0, 1)
    if what == "mean":
        ours, theirs = mean_loss(found, targets), F.cross_entropy(logits, targets.flatten(), ignore_index=NO_TARGET)
    else:
        # Each loss counts differently, and not as it is.
        weights = torch.randn(targets.shape)
        plain = F.cross_entropy(logits, targets.flatten(), ignore_index=NO_TARGET, reduction="none")
        ours, theirs = ((weights * each).sum().sin() for each in (token_losses(found, targets), plain.view_as(weights)))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for one, other in zip(torch.autograd.grad(3 * ours, wants), torch.autograd.grad(3 * theirs, wants), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_large_logits_neither_overflow_nor_vanish(in_chunks: Callable[[int], None]) -> None:
    in_chunks(4)
    hidden, head, targets = problem(bias=False)
    found = States(hidden=hidden * 1e3, head=head, dtype=torch.float32)
    plain = F.cross_entropy(head(hidden * 1e3).flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)
    torch.testing.assert_close(mean_loss(found, targets), plain, rtol=1e-5, atol=1e-5)


def test_frozen_weights_get_no_gradient_and_a_second_backward_pass_is_refused(
    in_chunks: Callable[[int], None],
) -> None:
    in_chunks(4)
    hidden, head, targets = problem(bias=True)
    head.requires_grad_(requires_grad=False)
    loss = mean_loss(States(hidden=hidden, head=head, dtype=torch.float32), targets)
    loss.backward(retain_graph=True)
    assert hidden.grad is not None
    assert head.weight.grad is None
    with pytest.raises(RuntimeError, match="can be asked for once"):
        loss.backward()


@pytest.mark.parametrize("unwatched", [torch.no_grad, torch.inference_mode])
def test_a_validation_makes_no_gradient(
    in_chunks: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, unwatched: Callable[[], Any]
) -> None:
    in_chunks(4)
    hidden, head, targets = problem(bias=True)
    found = States(hidden=hidden, head=head, dtype=torch.float32)
    learned = mean_loss(found, targets)

    def product(*_: object) -> None:
        raise AssertionError("a gradient of the output layer was made for a loss that nobody learns from")

    monkeypatch.setattr(chunked, "_add_product", product)
    with unwatched():
        torch.testing.assert_close(mean_loss(found, targets), learned.detach())
    with pytest.raises(AssertionError, match="nobody learns from"):
        mean_loss(found, targets)


def llama(*, tied: bool, **settings: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    shape = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=tied, **shape, **settings)
    return LlamaForCausalLM(config).train()


def batch() -> Batch:
    generator = np.random.default_rng(5)
    ids = generator.integers(0, VOCABULARY, size=(4, 9))
    targets = np.where(generator.random(ids.shape) < 0.4, NO_TARGET, np.roll(ids, -1, axis=1))
    return Batch(ids=ids, mask=np.ones_like(ids), targets=targets, size=4)


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


LOSSES: dict[str, Callable[[Any], torch.Tensor]] = {
    "causal": lambda model: outcome(model, batch()).loss,
    "preference": lambda model: F.logsigmoid(log_probabilities(model, batch())[0]).sum(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_model_learns_the_same(
    in_chunks: Callable[[int], None], loss: Callable[[Any], torch.Tensor], lora: bool, tied: bool
) -> None:
    model = llama(tied=tied)
    if lora:
        adapt(model, LoraMethod(rank=4))
    found = []
    for targets_at_once in (0, 5):
        in_chunks(targets_at_once)
        assert applies(model, batch()) == bool(targets_at_once)
        value = loss(model)
        found.append((value.detach(), gradients(model, value)))
    (plain, expected), (ours, ones) = found
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    assert ones.keys() == expected.keys()
    for name, one in ones.items():
        torch.testing.assert_close(one, expected[name], rtol=1e-5, atol=1e-5)


def test_dropout_and_the_output_layer_are_what_they_were(in_chunks: Callable[[int], None]) -> None:
    model = llama(tied=False, attention_dropout=0.5)
    head, values = model.lm_head, []
    for targets_at_once in (0, 5):
        in_chunks(targets_at_once)
        torch.manual_seed(1)
        values.append(outcome(model, batch()).loss.item())
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert model.lm_head is head
    assert model.training


def test_bfloat16_products_are_those_of_the_model(in_chunks: Callable[[int], None]) -> None:
    """Within what bfloat16 can tell apart (8 bits: 0.4 %); in float32 the loss would be another."""
    model = llama(tied=True)
    found = []
    for targets_at_once in (0, 5):
        in_chunks(targets_at_once)
        cast = make_accelerator("bfloat16").prepare(copy.deepcopy(model))
        value = outcome(cast, batch()).loss
        found.append((value.item(), gradients(cast, value)))
    (plain, expected), (ours, ones) = found
    assert ours == pytest.approx(plain, rel=1e-3)
    for name, one in ones.items():
        assert one.dtype == torch.float32
        assert float((one - expected[name]).norm() / expected[name].norm()) < 0.02, name


def test_an_adversary_finds_the_same_disturbance(in_chunks: Callable[[int], None]) -> None:
    norms = []
    for targets_at_once in (0, 5):
        in_chunks(targets_at_once)
        model = llama(tied=True)
        result = train_step(
            make_accelerator("float32"),
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            make_objective(CausalObjective(), Facts(tokenizer=Tokenizer(BPE()))),
            [batch(), batch()],
            rate=0.1,
            clip=1e9,
            regularizer=Regularizer(adversary=Adversary(epsilon=0.5, steps=2, step_size=0.3)),
        )
        norms.append([result.loss, result.norm])
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def capped() -> Any:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    shape = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = {"num_key_value_heads": 1, "head_dim": 8, "final_logit_softcapping": 30.0}
    return Gemma2ForCausalLM(Gemma2Config(vocab_size=VOCABULARY, **shape, **settings))


def scaled() -> Any:
    from transformers import CohereConfig, CohereForCausalLM

    shape = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return CohereForCausalLM(CohereConfig(vocab_size=VOCABULARY, logit_scale=0.0625, pad_token_id=0, **shape))


class Adapted(nn.Linear):
    """Stands for an output layer that is more than one product."""


def adapted() -> Any:
    model = llama(tied=False)
    model.lm_head.__class__ = Adapted
    return model


@pytest.mark.parametrize("make", [capped, scaled, adapted])
def test_a_model_that_does_more_with_its_logits_is_left_alone(
    in_chunks: Callable[[int], None], make: Callable[[], Any]
) -> None:
    in_chunks(5)
    model = make().train()
    head = model.get_output_embeddings()
    assert not applies(model, batch())
    assert model.get_output_embeddings() is head
    assert model.training
    wanted = torch.from_numpy(batch().targets).flatten()
    logits = model(input_ids=torch.from_numpy(batch().ids)).logits.flatten(0, 1)
    torch.testing.assert_close(
        outcome(model, batch()).loss, F.cross_entropy(logits, wanted, ignore_index=NO_TARGET), rtol=1e-5, atol=1e-5
    )


def test_small_batches_are_taken_whole() -> None:
    assert not applies(llama(tied=True), batch())
    assert chunked.worth(2_048, 262_144)
    assert chunked.worth(2_048, 32_768)
    assert not chunked.worth(2_048, 8_000)


def test_a_loss_that_is_made_once_is_worth_it_sooner() -> None:
    assert chunked.worth(2_048, 8_000, once=True)
    assert not chunked.worth(512, 2_000, once=True)


class Made(TorchDispatchMode):
    """Names of the operations inside that make something of the table's size anew."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = function(*args, **(kwargs or {}))
        if isinstance(answer, torch.Tensor) and not answer.is_sparse and not answer._is_view():
            whole = answer.numel() >= VOCABULARY * WIDTH
            if whole and not any(answer is one for one in args):
                self.names.append(str(function))
        return answer


def test_a_shared_table_has_one_gradient(in_chunks: Callable[[int], None]) -> None:
    """What the embedding adds to that of the output layer is added in place: nothing of its size is made for it."""
    in_chunks(5)
    model = llama(tied=True)
    table = model.model.embed_tokens.weight
    loss = outcome(model, batch()).loss
    with Made() as made:
        loss.backward()
    assert not [name for name in made.names if "embedding" in name or "add" in name], made.names
    assert model.model.embed_tokens.weight is table is model.lm_head.weight
    assert isinstance(table, nn.Parameter)
    assert not model.model.embed_tokens.sparse
    in_chunks(0)
    with Made() as plain:
        gradients(model, outcome(model, batch()).loss)
    assert any("embedding" in name for name in plain.names), "the test sees what autograd does by itself"


def test_what_a_broken_backward_pass_left_is_forgotten(in_chunks: Callable[[int], None]) -> None:
    in_chunks(5)
    model = llama(tied=True)
    expected = gradients(model, outcome(model, batch()).loss)
    chunked._ROWS[model].append(torch.ones(VOCABULARY, WIDTH).to_sparse(1))
    for name, one in gradients(model, outcome(model, batch()).loss).items():
        assert torch.equal(one, expected[name]), name


def test_gradients_of_pieces_add_up_in_a_shared_table(in_chunks: Callable[[int], None]) -> None:
    in_chunks(5)
    model = llama(tied=True)
    once = gradients(model, outcome(model, batch()).loss)
    model.zero_grad()
    for _ in range(2):
        outcome(model, batch()).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("numbers", [1, 7 * WIDTH, 1 << 21])
def test_a_product_is_added_in_parts(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    monkeypatch.setattr(chunked, "_PRODUCT_NUMBERS", numbers)
    torch.manual_seed(2)
    left, right = torch.randn(VOCABULARY, 9).bfloat16(), torch.randn(9, WIDTH).bfloat16()
    total = torch.ones(VOCABULARY, WIDTH)
    chunked._add_product(total, left, right)
    torch.testing.assert_close(total, 1 + (left @ right).float(), rtol=0.02, atol=0.02)


def test_large_gradients_have_pages_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "_OWN_PAGES", 1)
    weight = torch.randn(VOCABULARY, WIDTH)
    zeros = chunked._zeros_like(weight)
    assert zeros.shape == weight.shape
    assert zeros.dtype == weight.dtype
    assert not zeros.any()
    assert zeros.add_(1).sum() == weight.numel()


def test_a_chunk_is_small_beside_its_output_layer() -> None:
    assert chunked.chunk_logits(262_144, 64) == 1 << 22
    assert chunked.chunk_logits(262_144, 128) == 1 << 23
    assert chunked.chunk_logits(151_936, 1_024) == 1 << 24, "a quarter of the layer would be more than ever pays"
