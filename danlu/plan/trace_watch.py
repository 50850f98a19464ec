"""What a step allocates and computes, seen from below autograd, without a single number being computed.

Tensors of the model are fake: they have a shape, a kind of number and a device, but no memory (`FakeTensorMode`). The
token numbers of a batch are real, so that what depends on them (which places have a target, whether a mask is needed)
comes out as in training. Every block that torch would ask its allocator for is seen when it comes and when it goes.
"""

from __future__ import annotations

import functools
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

#: The parts of a peak, in the order in which they are told.
WEIGHTS, GRADIENTS, OPTIMIZER, ACTIVATIONS, TEMPORARY = PARTS = (
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "temporary",
)

_aten = torch.ops.aten
_DEVICE_OF = torch.ops.prim.device.default

#: Which arguments of an operation choose places by True and False: with such a mask the size of the answer depends on
#: the numbers in it.
_BY_MASK = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


@dataclass(kw_only=True)
class Tally:
    """What was computed. `flops`: operations of matrix products by kind of number; `bytes`: read and written by all
    other operations; `read`: by matrix products; `calls`: of operations that compute something.
    """

    flops: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes: float = 0.0
    read: float = 0.0
    calls: int = 0

    def as_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {"flops": dict(self.flops), "bytes": self.bytes, "read": self.read, "calls": self.calls}


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stands above a `FakeTensorMode` and keeps account of it.

    `peak` is the largest number of bytes that were held at once, and `parts` what they were then; `reset` begins anew
    from what is held. What is made during the forward pass counts as activations, what is made during the backward pass
    or an update as temporary, unless `mark` says otherwise.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tally = Tally()
        self.held: dict[str, int] = dict.fromkeys(PARTS, 0)
        self._known: dict[int, tuple[str, int, weakref.ref[Any]]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the peak and what was counted, but not what is held."""
        self.peak = sum(self.held.values())
        self.parts = dict(self.held)
        self.tally = Tally()

    def mark(self, tensors: Iterable[torch.Tensor], part: str) -> None:
        """Count the blocks behind `tensors` as `part`, whatever they were before."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            known = self._known.get(storage._cdata)
            if known is None:
                self._take(storage, part)
            elif known[0] != part:
                self.held[known[0]] -= known[1]
                self.held[part] += known[1]
                self._known[storage._cdata] = (part, *known[1:])
        self._look()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func is _DEVICE_OF:  # asked most of all, and nothing is computed
            return func(*args)
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if inputs and not any(isinstance(tensor, FakeTensor) for tensor in inputs):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func in _ANSWERS:
            return _ANSWERS[func](*args)
        if func in _BY_MASK:
            args = (args[0], _as_places(args[1]), *args[2:])
        answer = func(*args, **kwargs)
        outputs = [part for leaf in tree_leaves(answer) if isinstance(leaf, FakeTensor) for part in _blocks(leaf)]
        self._count(func, args, kwargs, inputs, outputs, answer)
        part = self._part(func, inputs)
        for tensor in outputs:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                self._take(storage, part)
        self._look(_inside(func, inputs, outputs))
        return answer

    def _part(self, func: Any, inputs: list[torch.Tensor]) -> str:
        if torch._C._current_graph_task_id() != -1 or not torch.is_grad_enabled():
            return TEMPORARY
        if func is _aten._to_copy.default:
            known = self._known.get(inputs[0].untyped_storage()._cdata)
            if known is not None and known[0] == WEIGHTS:  # a copy of 16 bits for matrix products
                return WEIGHTS
        return ACTIVATIONS

    def _take(self, storage: Any, part: str) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            part, size, _ = self._known.pop(key)
            self.held[part] -= size

        self._known[key] = (part, size, weakref.ref(storage, gone))
        self.held[part] += size

    def _look(self, inside: int = 0) -> None:
        """Note a new peak; `inside`: what an operation took and gave back meanwhile."""
        now = sum(self.held.values()) + inside
        if now > self.peak:
            self.peak, self.parts = now, self.held | {TEMPORARY: self.held[TEMPORARY] + inside}

    def _count(
        self, func: Any, args: Any, kwargs: Any, inputs: list[Any], outputs: list[FakeTensor], answer: Any
    ) -> None:
        if func.is_view or not outputs:
            return
        moved = sum(tensor.untyped_storage().nbytes() if _is_dense(tensor) else _size(tensor) for tensor in outputs)
        moved += sum(_size(part) for tensor in inputs for part in _blocks(tensor))
        self.tally.calls += 1
        flops = _FLOPS.get(func._overloadpacket) or flop_registry.get(func._overloadpacket)
        if flops is None:
            self.tally.bytes += moved
            return
        self.tally.read += moved
        self.tally.flops[str(outputs[0].dtype).removeprefix("torch.")] += flops(*args, **kwargs, out_val=answer)


def _inside(func: Any, inputs: list[torch.Tensor], outputs: list[FakeTensor]) -> int:
    """Bytes that an operation takes for itself and gives back before it answers.

    Where an element by element operation mixes kinds of numbers, torch's `TensorIterator` first copies on a CPU what is
    of another kind than the common one; so does a sum that is asked for in another kind.
    """
    if not outputs:
        return 0
    if torch.Tag.pointwise in func.tags:
        mixed = [tensor for tensor in inputs if tensor.dim()]
        kinds = {tensor.dtype for tensor in mixed if tensor.dtype is not torch.bool}
        if len(kinds) < 2 or func is _aten._to_copy.default:
            return 0
        common = functools.reduce(torch.promote_types, kinds)
        others = [tensor for tensor in mixed if tensor.dtype in kinds - {common}]
        # What is written in place is among inputs and outputs alike: it is copied once.
        others += [tensor for tensor in outputs if tensor.dtype.is_floating_point and tensor.dtype is not common]
        return sum(tensor.numel() * common.itemsize for tensor in {id(tensor): tensor for tensor in others}.values())
    if func in _REDUCING and inputs[0].dtype is not outputs[0].dtype:
        return inputs[0].numel() * outputs[0].element_size()
    return 0


#: Sums that may be asked for in another kind of number.
_REDUCING = {_aten.sum.dim_IntList, _aten.sum.default, _aten.mean.dim, _aten.mean.default}


def _blocks(tensor: Any) -> list[Any]:
    """The tensors that hold the numbers of `tensor`: itself, or places and values of a sparse one."""
    return [tensor] if tensor.layout is torch.strided else [tensor._indices(), tensor._values()]


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()


def _attention(query: Any, key: Any, value: Any, *rest: Any, out_val: Any = None, **settings: Any) -> int:
    del rest, out_val, settings
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(
    outer: Any, query: Any, key: Any, value: Any, *rest: Any, out_val: Any = None, **more: Any
) -> int:
    del rest, out_val, more
    shapes = (tensor.shape for tensor in (outer, query, key, value))
    return int(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


#: Attention of a CPU, which torch's own table lacks.
_FLOPS: dict[Any, Any] = {
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def _as_places(indices: Any) -> list[Any]:
    """Masks of real numbers as the places that they choose; the rest as it came."""
    found: list[Any] = []
    for index in indices:
        if index is not None and index.dtype is torch.bool and not isinstance(index, FakeTensor):
            with unset_fake_temporarily():
                found += index.nonzero(as_tuple=True)
        else:
            found.append(index)
    return found


def _number(tensor: torch.Tensor) -> float | int | bool:
    """A fake tensor's number where Python asks for it: 1, which is finite, positive and true."""
    if tensor.dtype is torch.bool:
        return True
    return 1.0 if tensor.dtype.is_floating_point else 1


#: Operations whose answer is a plain value, which a fake tensor cannot give.
_ANSWERS: dict[Any, Any] = {
    _aten._local_scalar_dense.default: _number,
    _aten.equal.default: lambda *_: False,
    _aten.is_nonzero.default: lambda *_: True,
}


def fake_from_meta(model: torch.nn.Module, mode: FakeTensorMode) -> None:
    """Make every weight and buffer of a model on the device meta a fake one on the CPU, in place; ties stay."""
    made: dict[int, Any] = {}

    def of(tensor: torch.Tensor) -> Any:
        if id(tensor) not in made:
            fake: torch.Tensor = mode.fake_tensor_converter.from_meta_and_device(mode, tensor, torch.device("cpu"))
            if isinstance(tensor, torch.nn.Parameter):
                fake = torch.nn.Parameter(fake, requires_grad=tensor.requires_grad)
            made[id(tensor)] = fake
        return made[id(tensor)]

    for module in model.modules():
        for name, tensor in list(_tensors(module._parameters)):
            module._parameters[name] = of(tensor)
        for name, tensor in list(_tensors(module._buffers)):
            module._buffers[name] = of(tensor)


def _tensors(named: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, tensor) for name, tensor in named.items() if tensor is not None)
