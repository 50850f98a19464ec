"""The methods by kind. A new one is a class in `config.py`, a function beside this file, and a row here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from danlu.core.errors import ModelError
from danlu.learning.adapters.base import Adapted
from danlu.learning.adapters.config import MethodConfig, check_start


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One method. `adapt`: "module:function" of `(model, config) -> Adapted`.

    `load`: "module:function" of `() -> settings` for the `from_pretrained` of the base; it refuses a machine on which
    the method cannot run.
    """

    adapt: str
    load: str | None = None


METHODS: dict[str, Kind] = {
    "full": Kind(adapt="danlu.learning.adapters.part:full"),
    "freeze": Kind(adapt="danlu.learning.adapters.part:freeze"),
    "lora": Kind(adapt="danlu.learning.adapters.low_rank:lora"),
    "dora": Kind(adapt="danlu.learning.adapters.low_rank:dora"),
    "qlora": Kind(adapt="danlu.learning.adapters.four_bit:qlora", load="danlu.learning.adapters.four_bit:settings"),
}


def check_method(config: MethodConfig, *, has_base: bool) -> dict[str, Any]:
    """The settings that the base is loaded with. Raises `ModelError` where the method cannot do anything."""
    try:
        check_start(config, has_base=has_base)
    except ValueError as error:
        raise ModelError(f"{error}.") from None
    kind = METHODS[config.kind]
    settings: dict[str, Any] = _find(kind.load)() if kind.load is not None else {}
    return settings


def adapt(model: Any, config: MethodConfig) -> Adapted:
    """`model`, changed in place so that the method's part of it is trained. Raises `ModelError`; seed torch first."""
    adapted: Adapted = _find(METHODS[config.kind].adapt)(model, config)
    return adapted


def _find(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
